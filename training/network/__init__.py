"""The network in training, whatever trains it: what it starts from, its losses, its batch statistics."""

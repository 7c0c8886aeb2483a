"""From finished runs to what is served: exported folds, INT8's activation ranges, W&B artifacts."""

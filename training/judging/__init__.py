"""How good folds are on scans that they never saw, and what is chosen by that; nothing is trained here."""

"""Training on one CUDA card: scans, augmentation and all folds of a run on the card, against the clock."""

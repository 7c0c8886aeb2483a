"""From scans to a fold's weights: draws, augmentation, losses, the run, its log; nothing is scored here."""

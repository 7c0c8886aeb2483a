"""From scans and labels to published fold weights: data, folds, augmentation, fitting, evaluation."""

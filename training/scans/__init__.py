"""The data set: scans and labels on disk, their folds, what greys mean; nothing is changed here."""

"""The data set: scans and labels on disk, how they are dealt into folds, what their greys mean in units."""

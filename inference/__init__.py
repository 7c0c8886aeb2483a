"""From a MIP-PET scan to a tumour mask: settings, weights, preparation, flips, folds, findings."""

__version__ = "0.1.0"

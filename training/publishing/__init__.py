"""From finished runs to what is served: exported folds, INT8's ranges, W&B artifacts; no judging."""

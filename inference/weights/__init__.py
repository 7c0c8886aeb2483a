"""Where folds come from: files, `ensemble.json`, checkpoints, W&B artifacts, their cache; none is run."""

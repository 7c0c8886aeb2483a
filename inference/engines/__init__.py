"""What runs the folds' networks, one engine a process; where the folds come from is `weights`' business."""

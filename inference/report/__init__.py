"""What is said of a prediction, and drawn of it; how it is written or sent is its caller's business."""

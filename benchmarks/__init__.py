"""What a scan costs."""

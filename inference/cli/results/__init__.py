"""What a run leaves in its folder: masks, overlays, findings, files of volumes; scans are read elsewhere."""

"""PET series in DICOM: read as volumes in SUV, and written back as MIP and mask."""

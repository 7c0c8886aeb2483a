"""PET series in DICOM, read as volumes in SUV, and written as MIP and mask; archives are in `pacs`."""

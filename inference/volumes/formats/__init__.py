"""One reader, and for NIfTI one writer, for each kind of volume file but DICOM."""

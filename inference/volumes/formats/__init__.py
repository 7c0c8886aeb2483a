"""A reader, and of NIfTI a writer, for each kind of volume file but DICOM; `reading` chooses one."""

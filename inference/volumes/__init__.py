"""From a PET volume to a scan, and from its mask back to where the volume came from.

NiBabel, pydicom and highdicom, which take their time, are imported with the first volume that needs them.
"""

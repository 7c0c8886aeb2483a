"""From a PET volume to a scan, and from its mask back to where the volume came from.

Nothing of it is imported before the first volume: NiBabel, pydicom and highdicom take their time.
"""

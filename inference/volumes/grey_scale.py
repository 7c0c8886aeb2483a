"""What the data set's scans look like, in units: how large a pixel is, and which SUV is black.

Neither is written anywhere in the data set. `python -m training greys` measures what follows from
its controls, and `docs/volumes.md` says how sure that is.
"""

PIXEL_MM = 2.0
"""The side of a pixel of the scans that the folds were trained on, in mm."""

SUV_MAX = 7.0
"""The SUV from which on a pixel is black; 0 is white, and grey is linear between."""

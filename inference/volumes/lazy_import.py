"""Imports that wait until something needs them, which may be in several threads at once."""

import threading

IMPORT_LOCK = threading.RLock()
"""Held while a part of NiBabel, pydicom or highdicom is imported inside a function.

The parts of each of these packages import one another. Two threads that come in by different parts can
each wait for what the other is importing; Python then ends the wait by showing one of them a package
that is half imported, and that import fails.
"""

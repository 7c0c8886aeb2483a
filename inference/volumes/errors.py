"""What can be wrong with a volume, by name."""

from typing import Literal

from inference.errors import ScanError

Fault = Literal[
    "ambiguous_file",
    "counts_without_scale",
    "cut_short",
    "doubled_slice",
    "implausible_value",
    "missing_dose",
    "missing_field",
    "missing_slice",
    "missing_weight",
    "mixed_series",
    "no_orientation",
    "not_corrected",
    "not_suv",
    "too_large",
    "unreadable",
    "uneven_slices",
    "unsupported_units",
    "wrong_modality",
    "wrong_shape",
]
"""The names stay the same from version to version: programs may tell faults apart by them."""


class VolumeError(ScanError):
    """A volume cannot be read or projected; `fault` names why, and so does the message's beginning."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault.replace('_', ' ')}: {detail}")
        self.fault: Fault = fault

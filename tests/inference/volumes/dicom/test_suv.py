"""SUV by body weight, against numbers worked out by hand from QIBA's formula."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydicom import Dataset

from inference.volumes.dicom.suv import suv_factor
from inference.volumes.errors import VolumeError
from training.phantoms.volume_files import DOSE_BQ, HALF_LIFE_S, INJECTION, SCAN, WEIGHT_KG, make_image
from training.phantoms.volumes import PhantomVolume

UNDECAYED = WEIGHT_KG * 1000 / DOSE_BQ
DECAYED = UNDECAYED * 2 ** (3750 / HALF_LIFE_S)  # from 9:15 to 10:17:30


@pytest.fixture
def header(small: PhantomVolume) -> Dataset:
    """The header of the last slice, whose bed was scanned last."""
    return make_image(small, len(small.suv) - 1, {"study": "1.2", "series": "1.3", "frame": "1.4"})


def tracer(header: Dataset) -> Dataset:
    found: Dataset = header.RadiopharmaceuticalInformationSequence[0]
    return found


def by_administration(header: Dataset) -> None:
    header.DecayCorrection = "ADMIN"


def by_date_and_time(header: Dataset) -> None:
    del tracer(header).RadiopharmaceuticalStartTime
    tracer(header).RadiopharmaceuticalStartDateTime = f"{INJECTION:%Y%m%d%H%M%S}.00+0100"


def over_midnight(header: Dataset) -> None:
    header.SeriesDate = header.AcquisitionDate = "20240306"
    header.SeriesTime, header.AcquisitionTime = "002730", "004130"
    tracer(header).RadiopharmaceuticalStartTime = "232500.000"


def processed_later(header: Dataset) -> None:
    header.SeriesTime = f"{SCAN + timedelta(hours=3):%H%M%S}"


def processed_later_by_ge(header: Dataset) -> None:
    processed_later(header)
    header.AcquisitionTime = "120000"
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", f"{SCAN:%Y%m%d%H%M%S}.00")


def in_suv(header: Dataset) -> None:
    header.Units, header.SUVType = "GML", "BW"
    del header.PatientWeight


def philips(header: Dataset) -> None:
    header.Units = "CNTS"
    header.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.000125")


def philips_activity(header: Dataset) -> None:
    header.Units = "CNTS"
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0")
    block.add_new(0x09, "DS", "1.5")


def unchanged(_: Dataset) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        (unchanged, DECAYED),
        (by_administration, UNDECAYED),
        (by_date_and_time, DECAYED),
        (over_midnight, DECAYED),
        (processed_later, DECAYED),
        (processed_later_by_ge, DECAYED),
        (in_suv, 1),
        (philips, 0.000125),
        (philips_activity, 1.5 * DECAYED),
    ],
)
def test_factor(change: Callable[[Dataset], None], factor: float, header: Dataset) -> None:
    change(header)
    assert suv_factor(header) == pytest.approx(factor, rel=1e-3)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("PatientWeight", 7200, "PatientWeight is 7200 kg"),
        ("SeriesTime", "noon", "SeriesTime cannot be read as a time"),
        ("SeriesDate", "20240301", "min after the injection"),
        ("CorrectedImage", "ATTN", "not corrected for decay"),
    ],
)
def test_what_makes_no_sense_is_named(field: str, value: object, said: str, header: Dataset) -> None:
    tracer(header).RadiopharmaceuticalStartDateTime = f"{INJECTION:%Y%m%d%H%M%S}"
    setattr(header, field, value)
    with pytest.raises(VolumeError, match=said):
        suv_factor(header)


def test_a_dose_in_megabecquerel_and_a_lean_suv_are_refused(header: Dataset) -> None:
    tracer(header).RadionuclideTotalDose = 260
    with pytest.raises(VolumeError, match="RadionuclideTotalDose is 260, and not in becquerel"):
        suv_factor(header)
    header.Units, header.SUVType = "GML", "LBM"
    with pytest.raises(VolumeError, match="SUVs by 'LBM'"):
        suv_factor(header)

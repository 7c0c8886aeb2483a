from pathlib import Path

import numpy as np
import pytest

from training.card.packing import read_packed, read_scans, write_packed
from training.scans.dataset import DataError, LabelledScan


def test_a_packed_data_set_is_the_one_that_was_packed(
    scans: list[LabelledScan], data: Path, tmp_path: Path
) -> None:
    size = write_packed(scans, tmp_path / "scans.npz")
    assert size == (tmp_path / "scans.npz").stat().st_size
    assert size < sum(scan.grey.nbytes for scan in scans) / 2
    for read in (read_packed(tmp_path / "scans.npz"), read_scans(tmp_path / "scans.npz"), read_scans(data)):
        assert [scan.case.name for scan in read] == [scan.case.name for scan in scans]
        for again, scan in zip(read, scans, strict=True):
            assert again.case.is_patient == scan.case.is_patient
            np.testing.assert_array_equal(again.grey, scan.grey)
            np.testing.assert_array_equal(again.label, scan.label)


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "scans.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "other.npz", names=np.zeros(3))
    for name in ("scans.npz", "other.npz"):
        with pytest.raises(DataError, match=rf"{name} is no file that `python -m training pack` wrote"):
            read_packed(tmp_path / name)

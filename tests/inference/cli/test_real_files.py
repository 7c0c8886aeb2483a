"""Every file that pydicom and nibabel bring is segmented, or refused by the sentence in `real_files.csv`."""

import csv
import shutil
from pathlib import Path

import pytest

from inference.ensemble import Ensemble
from inference.errors import ScanError
from inference.volumes.reading import scan_of_path
from tests.inference.cli.test_patient_data import told
from tests.real_files import ANSWERED, answers, real_files


def test_every_file_of_other_hands_is_answered_as_the_table_says(
    ensemble: Ensemble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = real_files()
    assert len(files) > 280
    copies = {}
    for number, (name, path) in enumerate(files.items()):
        copy = tmp_path / "files" / f"{number:03d}_{path.name}"
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
        copies[copy.name] = name
    paths = [str(tmp_path / "files" / name) for name in copies]
    status, said = told(["segment", *paths, "--out", str(tmp_path / "out"), "--no-overlay"], capfd)
    assert (status, "Traceback" in said) == (1, False)
    with (tmp_path / "out" / "findings.csv").open(newline="", encoding="utf-8") as file:
        found = {copies[row["scan"]]: row["error"] or ANSWERED for row in csv.DictReader(file)}
    assert found == answers()
    assert not [name for name, answer in found.items() if "could not be segmented (" in answer]


@pytest.mark.parametrize("part", range(4))
def test_a_folder_of_any_of_them_is_no_series_or_is_refused(part: int, tmp_path: Path) -> None:
    """Each by itself in a folder, as a series of one slice."""
    for number, (name, path) in enumerate(real_files().items()):
        if number % 4 != part:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copyfile(path, folder / path.name)
        with pytest.raises(ScanError) as caught:
            scan_of_path(folder)
        assert len(str(caught.value)) > 30, name

import os
from pathlib import Path

import numpy as np
import pytest

from training.scans.dataset import Case, DataError, LabelledScan, find_cases, read_cases
from training.scans.folds import Split, read_split, split_scans, write_split

REAL_SCANS = os.environ.get("TUMOR_DATA_DIR")


def scans(patients: int, controls: int) -> list[LabelledScan]:
    generator = np.random.default_rng(0)
    made = []
    for number in range(patients + controls):
        height = 865 if number % 5 == 0 else 489
        label = np.zeros((height, 40), bool)
        is_patient = number < patients
        label[: generator.integers(1, height // 4) if is_patient else 0] = True
        path = Path(f"{number}.png")
        case = Case(f"{'patient' if is_patient else 'control'}_{number}", path, path if is_patient else None)
        made.append(LabelledScan(case, np.zeros((height, 40), np.uint8), label))
    return made


def test_every_scan_is_held_out_once_and_folds_are_balanced() -> None:
    made = scans(120, 200)
    split = split_scans(made)
    cases = [scan.case for scan in made]
    held_out = [split.held_out(cases, fold) for fold in range(4)]
    assert sorted(case.name for fold in held_out for case in fold) == sorted(case.name for case in cases)
    by_name = {scan.case.name: scan for scan in made}
    for fold in held_out:
        patients = [by_name[case.name] for case in fold if case.is_patient]
        assert 29 <= len(patients) <= 31
        assert 5 <= sum(scan.grey.shape[0] > 500 for scan in patients) <= 7
        sizes = np.mean([scan.label.mean() for scan in patients])
        assert sizes == pytest.approx(np.mean([s.label.mean() for s in made[:120]]), rel=0.2)


def test_training_and_held_out_do_not_overlap() -> None:
    made = scans(20, 20)
    split, cases = split_scans(made), [scan.case for scan in made]
    training, held_out = split.training(cases, 1), split.held_out(cases, 1)
    assert not {case.name for case in training} & {case.name for case in held_out}
    assert len(training) + len(held_out) == 40


def test_the_seed_decides() -> None:
    made = scans(40, 40)
    assert split_scans(made, seed=1) == split_scans(made, seed=1)
    assert split_scans(made, seed=1).fold_of != split_scans(made, seed=2).fold_of


def test_there_must_be_a_patient_for_every_fold() -> None:
    with pytest.raises(DataError, match="3 patients cannot be dealt into 4 folds"):
        split_scans(scans(3, 8))


def test_a_split_file_comes_back(tmp_path: Path) -> None:
    split = split_scans(scans(20, 20))
    write_split(split, tmp_path / "folds.json")
    assert read_split(tmp_path / "folds.json") == split
    assert read_split(tmp_path / "folds.json").sha256 == split.sha256


def test_unknown_scans_and_folds_are_refused() -> None:
    made = scans(20, 20)
    split = split_scans(made)
    with pytest.raises(DataError, match="1 scans are not in the split file"):
        split.held_out([*[s.case for s in made], Case("patient_999", Path(), Path())], 0)
    with pytest.raises(DataError, match="there is no fold 4"):
        split.training([], 4)


@pytest.mark.parametrize("text", ["", "[]", '{"seed": 1}', '{"seed": 1, "fold_of": {"a": "x"}}'])
def test_a_malformed_split_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "folds.json").write_text(text)
    with pytest.raises(DataError, match="cannot be read"):
        read_split(tmp_path / "folds.json")


@pytest.mark.skipif(not REAL_SCANS, reason="TUMOR_DATA_DIR is not set")
def test_the_committed_split_is_the_one_that_the_data_gives() -> None:
    assert REAL_SCANS is not None
    made: Split = split_scans(read_cases(find_cases(Path(REAL_SCANS))))
    assert made == read_split()

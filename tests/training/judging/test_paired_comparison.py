from pathlib import Path

import numpy as np
import pytest

from training.judging.evaluation import ScanScore, write_scores
from training.judging.paired_comparison import pair, read_scores
from training.judging.statistics import compare_pairs, estimate_mean, rank_correlation
from training.scans.dataset import DataError


def write(path: Path, dice: dict[str, float], strays: dict[str, int]) -> Path:
    patients = [ScanScore(name, 0, value, 10, 10, 3, 0.9) for name, value in dice.items()]
    controls = [ScanScore(name, 0, None, 0, px, px, 0.1) for name, px in strays.items()]
    write_scores([*patients, *controls], path)
    return path


def test_common_scans_are_compared_and_the_others_counted(tmp_path: Path) -> None:
    names = [f"patient_{n}" for n in range(20)]
    first = write(tmp_path / "a.csv", dict.fromkeys(names, 0.5), {"control_1": 0, "control_2": 10})
    better = {n: 0.5 + 0.01 * (k + 1) for k, n in enumerate(names)}
    second = write(tmp_path / "b.csv", better | {"patient_new": 1.0}, {"control_2": 0, "control_1": 0})
    compared = pair(read_scores(first), read_scores(second))
    assert compared.dice is not None
    assert compared.false_positive_px is not None
    assert (compared.dice.pairs, compared.false_positive_px.pairs, compared.left_out) == (20, 2, 1)
    assert compared.dice.mean.value == pytest.approx(0.105)
    assert 0 < compared.dice.mean.low < 0.105 < compared.dice.mean.high
    assert compared.dice.p_value < 0.001
    assert (compared.first.blank_controls, compared.second.blank_controls) == (0.5, 1)
    assert compared.false_positive_px.mean.value == -5


def test_what_cannot_be_compared_is_one_sentence(tmp_path: Path) -> None:
    scored = write(tmp_path / "a.csv", {"patient_1": 0.5}, {})
    other = write(tmp_path / "b.csv", {"patient_2": 0.5}, {})
    as_control = write(tmp_path / "c.csv", {}, {"patient_1": 4})
    (tmp_path / "d.csv").write_text("scan,dice\npatient_1,half\n")
    with pytest.raises(DataError, match="no scan in common"):
        pair(read_scores(scored), read_scores(other))
    with pytest.raises(DataError, match="patient in one evaluation and a control in the other"):
        pair(read_scores(scored), read_scores(as_control))
    for path in (tmp_path / "d.csv", tmp_path / "missing.csv", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_scores(path)


def test_an_interval_covers_the_mean_of_most_samples() -> None:
    generator = np.random.default_rng(0)
    intervals = [estimate_mean(generator.normal(0.7, 0.2, 40)) for _ in range(60)]
    assert np.mean([interval.low <= 0.7 <= interval.high for interval in intervals]) > 0.85
    assert estimate_mean([0.5, 0.9, 0.7]) == estimate_mean([0.5, 0.9, 0.7])


def test_statistics_of_hardly_anything_are_not_made_up() -> None:
    alone = estimate_mean([0.5])
    assert alone.value == 0.5
    assert np.isnan((alone.low, alone.high)).all()
    same = compare_pairs(np.array([0.5, 0.6]), np.array([0.5, 0.6]))
    assert (same.mean.value, same.p_value) == (0, 1)
    assert np.isnan(rank_correlation(np.zeros(5), np.arange(5.0)).value)
    assert rank_correlation(np.arange(9.0), -np.arange(9.0)).value == pytest.approx(-1)

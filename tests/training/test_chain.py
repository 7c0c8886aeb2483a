"""From runs to a folder that the service starts from, and its scores."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.engines.ranges import read_ranges
from inference.ensemble_file import read_ensemble_file, write_ensemble_file
from inference.errors import SegmentationError
from inference.weights import read_fold
from tests.conftest import plain_settings
from training.__main__ import calibrate, evaluate_command, main, phantoms, quantize, split
from training.calibration import VIEW_SETS, HeldOutMap, fit_classifier, score_classifier, score_views
from training.comparison import Comparison, compare
from training.config import FitConfig
from training.data import DataError, find_cases, read_cases
from training.evaluation import ScanScore, evaluate, summarize
from training.fit import fit
from training.folds import Split, read_split, split_scans, write_split
from training.phantoms import write_phantoms
from training.publishing import export_runs, stamp_choices


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of phantoms, each trained for one epoch, exported."""
    folder = tmp_path_factory.mktemp("chain")
    write_phantoms(folder / "data", patients=6, controls=4)
    split = split_scans(read_cases(find_cases(folder / "data")), folds=2)
    write_split(split, folder / "folds.json")
    for fold in (0, 1):
        config = FitConfig(fold=fold, epochs=1, input_scale=0.2, crop_size=(64, 64), patients_per_batch=2)
        fit(config, data_dir=folder / "data", split=split, run_dir=folder / f"fold{fold}")
    export_runs([folder / "fold1", folder / "fold0"], folder / "models")
    return folder


def split_of(chain: Path) -> Split:
    return split_scans(read_cases(find_cases(chain / "data")), folds=2)


def test_exported_folds_are_listed_in_order_with_their_hashes(chain: Path) -> None:
    listed = read_ensemble_file(chain / "models")
    assert [entry.fold for entry in listed.folds] == [0, 1]
    for entry in listed.folds:
        assert (
            read_fold(chain / "models" / entry.file, expected_sha256=entry.sha256).metadata.fold == entry.fold
        )


def test_unfinished_and_repeated_runs_are_not_exported(chain: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no fold\.safetensors"):
        export_runs([tmp_path], tmp_path / "models")
    with pytest.raises(DataError, match="second run of fold 0"):
        export_runs([chain / "fold0", chain / "fold0"], tmp_path / "models")


def test_every_scan_is_scored_once_by_the_fold_that_never_saw_it(chain: Path) -> None:
    split = split_of(chain)
    settings = plain_settings(tta=False, engine="torch")
    scores = list(evaluate(chain / "models", data_dir=chain / "data", split=split, settings=settings))
    assert {score.scan: score.fold for score in scores} == split.fold_of
    assert len(scores) == 10
    for score in scores:
        assert (score.dice is None) == score.scan.startswith("control")
        assert score.false_positive_px <= score.predicted_px


def test_another_split_is_refused(chain: Path) -> None:
    other = split_scans(read_cases(find_cases(chain / "data")), folds=2, seed=5)
    scoring = evaluate(chain / "models", data_dir=chain / "data", split=other, settings=plain_settings())
    with pytest.raises(SegmentationError, match="trained on another split"):
        next(scoring)


def test_quantised_folds_are_compared_with_float32_on_the_same_scans(
    chain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"data": chain / "data", "split_file": chain / "folds.json", "models": chain / "models"}
    monkeypatch.setenv("MODEL_CACHE_DIR", str(chain / "cache"))
    quantize(**folders)
    assert capsys.readouterr().out.count("86 activation ranges from") == 2
    for entry in read_ensemble_file(chain / "models").folds:
        ranges = read_ranges(read_fold(chain / "models" / entry.file))
        assert ranges is not None
        assert ranges.scans == 5

    settings = plain_settings(model_cache_dir=chain / "cache")
    outcomes = list(
        compare(
            chain / "models", data_dir=chain / "data", split=split_of(chain), settings=settings, scales=[0.3]
        )
    )
    named = {outcome.variant.name: outcome for outcome in outcomes if isinstance(outcome, Comparison)}
    skipped = [variant.name for variant, _ in (o for o in outcomes if not isinstance(o, Comparison))]
    assert next(iter(named)) == "torch f32"
    assert set(skipped) <= {"openvino bf16"}  # where the processor has none
    assert named["torch f32"].difference == 0
    assert abs(named["openvino f32"].difference) < 0.01  # one epoch leaves every pixel near the threshold
    assert named["openvino int8"].summary.patients == 6
    assert named["auto auto, scale 0.3"].summary != named["auto auto"].summary


def test_calibrate_keeps_the_ranges_of_the_weights_that_it_stamps(chain: Path) -> None:
    listed = read_ensemble_file(chain / "models")
    stamped = stamp_choices(listed.model_copy(update={"threshold": 0.3}), chain / "models")
    assert [entry.sha256 for entry in stamped.folds] != [entry.sha256 for entry in listed.folds]
    for entry in stamped.folds:
        assert read_ranges(read_fold(chain / "models" / entry.file)) is not None
    write_ensemble_file(stamped, chain / "models")


def test_calibrate_and_evaluate_choose_and_score(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE", "torch")  # spares the conversion
    folders = {"data": chain / "data", "split_file": chain / "folds.json", "models": chain / "models"}
    calibrate(**folders)
    assert "ROC AUC" in capsys.readouterr().out
    listed = read_ensemble_file(chain / "models")
    assert listed.tta_ops in VIEW_SETS.values()
    assert listed.classifier is not None
    for entry in listed.folds:
        fold = read_fold(chain / "models" / entry.file, expected_sha256=entry.sha256)
        assert fold.metadata.threshold == listed.threshold
        assert fold.metadata.tta_ops == listed.tta_ops
        assert entry.out_of_fold_patients == 3

    evaluate_command(**folders, out=tmp_path / "scores.csv")
    printed = capsys.readouterr().out
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    dice = [float(row["dice"]) for row in rows if row["dice"]]
    assert (len(rows), len(dice)) == (10, 6)
    assert f"{np.mean(dice):.4f}" in printed
    by_fold = [np.mean([float(r["dice"]) for r in rows if r["fold"] == str(k) and r["dice"]]) for k in (0, 1)]
    assert [entry.out_of_fold_dice for entry in listed.folds] == pytest.approx(by_fold, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["evaluate"], "name the folder that holds patients/ and controls/"),
        (["fit", "--fold", "0", "--set", "epochs=none"], "epochs: Input should be a valid integer"),
        (["fit", "--fold", "0", "--set", "epoch=3"], "epoch: Extra inputs are not permitted"),
    ],
)
def test_the_command_line_names_what_is_wrong(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["training", *arguments, "--data", str(tmp_path)])
    assert main() == 1
    assert reason in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["training", "phantoms", str(tmp_path / "file" / "data")])
    assert main() == 1
    (sentence,) = capsys.readouterr().out.strip().splitlines()
    assert sentence.startswith("error: ")


def test_calibrate_works_with_one_fold(chain: Path, tmp_path: Path) -> None:
    export_runs([chain / "fold0"], tmp_path)
    calibrate(data=chain / "data", split_file=chain / "folds.json", models=tmp_path)
    assert read_ensemble_file(tmp_path).folds[0].out_of_fold_patients == 3


def test_phantoms_and_split_make_a_data_set(tmp_path: Path) -> None:
    phantoms(tmp_path / "data", patients=4, controls=4, seed=0)
    split(data=tmp_path / "data", out=tmp_path / "folds.json", folds=2, seed=0)
    assert len(read_split(tmp_path / "folds.json").fold_of) == 8


def scan_score(dice: float | None, strays: int) -> ScanScore:
    return ScanScore("scan", 0, dice, 10, 10, strays, 0.5)


def test_a_summary_keeps_controls_out_of_the_dice() -> None:
    summary = summarize([scan_score(0.5, 5), scan_score(0.9, 1), scan_score(None, 0), scan_score(None, 40)])
    assert (summary.patients, summary.controls) == (2, 2)
    assert summary.mean_dice == pytest.approx(0.7)
    assert summary.dice_error == pytest.approx(0.2)
    assert summary.false_positive_px == 20
    assert summary.blank_controls == 0.5


def held_out(views: str, fold: int, area: float, *, is_patient: bool, dice: float) -> HeldOutMap:
    scores = tuple(dice - 0.01 * abs(step - 3) for step in range(9)) if is_patient else ()
    return HeldOutMap(views, fold, is_patient, scores, np.array([area, area, min(1.0, area / 5)]))


def test_the_best_views_and_threshold_win() -> None:
    maps = [
        held_out(views, fold, 5, is_patient=True, dice=dice)
        for fold in (0, 1)
        for views, dice in (("no flip", 0.6), ("horizontal", 0.7), ("all four", 0.65))
    ]
    best = score_views(maps)[0]
    assert (best.views, best.threshold) == ("horizontal", 0.45)
    assert best.mean_dice == pytest.approx(0.7)


def test_the_classifier_tells_large_maps_from_small_ones() -> None:
    generator = np.random.default_rng(0)
    maps = [
        held_out("no flip", n % 3, generator.normal(5 if n < 60 else 1), is_patient=n < 60, dice=0.7)
        for n in range(120)
    ]
    classifier, score = fit_classifier(maps), score_classifier(maps)
    assert classifier is not None
    assert score is not None
    assert classifier.probability_of(np.array([6.0, 6, 1])) > 0.9
    assert classifier.probability_of(np.array([0.0, 0, 0])) < 0.1
    assert score.roc_auc > 0.95
    assert score.brier < 0.1


def test_without_controls_or_a_second_fold_there_is_no_score() -> None:
    patients = [held_out("no flip", fold, 5, is_patient=True, dice=0.7) for fold in (0, 1)]
    one_fold = [held_out("no flip", 0, area, is_patient=area > 3, dice=0.7) for area in (1, 2, 4, 5)]
    assert fit_classifier(patients) is None
    assert score_classifier(patients) is None
    assert fit_classifier(one_fold) is not None
    assert score_classifier(one_fold) is None

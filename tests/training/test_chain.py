"""From runs to a folder that the service starts from, and its scores."""

import sys
from pathlib import Path

import pytest

from inference.errors import SegmentationError
from inference.weights.activation_ranges import read_ranges
from inference.weights.ensemble_file import read_ensemble_file, write_ensemble_file
from inference.weights.fold_file import read_fold
from tests.conftest import plain_settings
from training.__main__ import main, phantoms, quantize, split
from training.judging.choices import stamp_choices
from training.judging.evaluation import evaluate
from training.judging.variant_comparison import Comparison, compare
from training.publishing.export import export_runs
from training.scans.dataset import DataError, find_cases, read_cases
from training.scans.folds import Split, read_split, split_scans


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
    cases = [case.name for case in find_cases(chain / "data")]
    quick = list(evaluate(chain / "models", data_dir=chain / "data", split=split, settings=settings, every=4))
    assert sorted(score.scan for score in quick) == sorted(cases[::4])
    assert all(score in scores for score in quick)
    for score in scores:
        assert (score.dice is None) == score.scan.startswith("control")
        assert score.false_positive_px <= score.predicted_px


def test_another_split_is_refused(chain: Path) -> None:
    other = split_scans(read_cases(find_cases(chain / "data")), folds=2, seed=5)
    scoring = evaluate(chain / "models", data_dir=chain / "data", split=other, settings=plain_settings())
    with pytest.raises(SegmentationError, match="trained on another split"):
        next(scoring)


def test_quantised_folds_are_compared_with_float32_on_the_same_scans(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {"data": chain / "data", "split_file": chain / "folds.json", "models": chain / "models"}
    quantize(**folders)
    assert capsys.readouterr().out.count("86 activation ranges from") == 2
    for entry in read_ensemble_file(chain / "models").folds:
        ranges = read_ranges(read_fold(chain / "models" / entry.file))
        assert ranges is not None
        assert ranges.scans == 5

    settings = plain_settings()
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


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["evaluate"], "name the folder that holds patients/ and controls/"),
        (["fit", "--fold", "0", "--set", "epochs=none"], "epochs: Input should be a valid integer"),
        (["fit", "--fold", "0", "--set", "epoch=3"], "epoch: Extra inputs are not permitted"),
        (
            ["fit", "--fold", "0", "--recipe", "orignal"],
            "--recipe orignal is none of default, further, original",
        ),
        (["fit", "--fold", "0", "--recipe", "further"], "name them with --set start_from=runs"),
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


def test_phantoms_and_split_make_a_data_set(tmp_path: Path) -> None:
    phantoms(tmp_path / "data", patients=4, controls=4, seed=0)
    split(data=tmp_path / "data", out=tmp_path / "folds.json", folds=2, seed=0)
    assert len(read_split(tmp_path / "folds.json").fold_of) == 8

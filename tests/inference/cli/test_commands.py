import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from inference.cli.app import app, main
from inference.cli.info import describe
from inference.ensemble import Ensemble, Prediction
from tests.conftest import ROOT, plain_settings, run_script
from tests.ports import free_port
from utils import Scan


def test_help_teaches_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = " ".join(capsys.readouterr().out.split())
    names = [str(command.callback.__name__) for command in app.registered_commands if command.callback]
    assert names == ["segment", "serve", "info", "weights", "benchmark", "export"]
    assert all(f"│ {name} " in overview for name in (*names, "pacs"))
    assert main(["segment", "--help"]) == 0
    taught = " ".join(capsys.readouterr().out.split())
    for example in ("segment scan.png", 'segment "data/**/*.png"', "segment -", "--out masks --resume"):
        assert example in taught


def test_help_waits_for_no_engine() -> None:
    loaded = (
        "import sys; from inference.cli.app import main; main(['--help']); "
        "print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    )
    slow = ("openvino", "torch", "wandb", "fastapi", "pydicom", "requests", "dicomweb_client")
    printed = subprocess.run(
        [sys.executable, "-c", loaded, *slow], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.splitlines()[-1] == "[]"


def test_a_command_that_does_not_exist_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segmnt"]) == 2
    assert "segmnt" in capsys.readouterr().err


def test_a_misspelt_setting_is_told_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("PRECISON=f32\n")
    assert main(["segment", "nothing.png"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert (
        told[0] == "warning: .env has PRECISON, which is no setting and changes nothing: is PRECISION meant?"
    )
    assert "nothing.png" in told[1]


def test_export_does_not_overwrite_the_folds_that_it_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (ROOT / "models" / "ensemble.json").read_text()
    monkeypatch.setenv("MODELS_DIR", str(ROOT / "models"))
    assert main(["export", str(ROOT / "models")]) == 1
    assert "is the folder that the folds come from: name another" in capsys.readouterr().err
    assert (ROOT / "models" / "ensemble.json").read_text() == before


def test_info_says_what_would_run(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble.engine.name = "torch-cuda-bf16"
    monkeypatch.setattr("inference.cli.info.load_ensemble", lambda _: ensemble)
    monkeypatch.setenv("DEADLINE_S", "5")
    assert main(["info"]) == 0
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in ("engine torch", "precision bf16", "device cuda", "folds none (00000000)", "views identity"):
        assert line in said
    assert "DEADLINE_S 5.0 environment or .env" in said
    assert "MAX_QUEUE 64 default" in said


def test_info_shows_no_key() -> None:
    key = "a-key-of-some-length"
    shown = list(describe(plain_settings(wandb_api_key=SecretStr(key), api_key=(SecretStr(key),))))
    assert ("WANDB_API_KEY", "**********", "environment or .env") in shown
    assert not any(key in value for _, value, _ in shown)


def test_benchmark_segments_as_many_scans_as_it_is_told(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inference.cli.benchmark.load_ensemble", lambda _: ensemble)
    predicted: list[Scan] = []
    predict = ensemble.predict

    def count(scan: Scan) -> Prediction:
        predicted.append(scan)
        return predict(scan)

    monkeypatch.setattr(ensemble, "predict", count)
    assert main(["benchmark", "--scans", "7"]) == 0
    said = capsys.readouterr().out
    assert all(part in said for part in ("dark, 1 folds, 1 views", "one scan: ", "scans/s"))
    assert len(predicted) == 1 + 7 + 7


def test_serve_starts_the_service_where_it_is_told(tmp_path: Path) -> None:
    """A set-up that stops the start ends as that of `api.py` does, so that no folds are loaded for it."""
    port = free_port()
    ended = run_script(
        "-m", "inference", "serve", "--port", port, MODELS_DIR=tmp_path, LOG_DIR=tmp_path, PORT=1
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("The service cannot start: ")
    assert str(tmp_path) in ended.stderr


def test_serve_gives_host_and_port_to_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT"):
        monkeypatch.setenv(name, "before")
    run: list[tuple[str, str, str, str]] = []
    monkeypatch.setattr(
        "runpy.run_path",
        lambda path, run_name: run.append((path, run_name, os.environ["HOST"], os.environ["PORT"])),
    )
    assert main(["serve", "--host", "::1", "--port", "0"]) == 0
    assert run == [(str(ROOT / "api.py"), "__main__", "::1", "0")]


def test_three_lines_of_python_segment_a_file(tmp_path: Path) -> None:
    """`import inference` alone is light, and the first scan loads the folds."""
    script = f"""
import sys, inference
assert not {{"numpy", "cv2", "pydantic", "typer"}} & sys.modules.keys()
from inference import load_ensemble, predict
prediction = predict("samples/phantom_1.png")
prediction.save_mask({str(tmp_path / "made" / "mask.png")!r})
from utils import decode_image
scan = decode_image(open("samples/phantom_1.png", "rb").read())
assert (predict(scan[..., 0].copy()).mask == prediction.mask).all()
from inference.predictor import _shared_ensemble
assert _shared_ensemble.cache_info().misses == 1
for wrong in (scan / 255, scan[0, 0], scan[:5]):
    try:
        predict(wrong)
    except inference.errors.ScanError as error:
        print(error)
"""
    ended = run_script("-c", script)
    assert ended.returncode == 0, ended.stderr
    dtype, shape, small = ended.stdout.splitlines()
    assert "dtype is float64, not uint8" in dtype
    assert "it must be (height, width)" in shape
    assert "32 px at least" in small
    assert (tmp_path / "made" / "mask.png").stat().st_size > 0

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client_test import main
from tests.conftest import ROOT, Server, run_script
from tests.ports import free_port


def test_client_saves_mask_and_overlay_and_prints_findings(server: Server, tmp_path: Path) -> None:
    ended = run_script("client_test.py", "--url", server.url, "--out", tmp_path)
    assert ended.returncode == 0, ended.stderr
    mask = np.asarray(Image.open(tmp_path / "phantom_1_mask.png"))
    scan = np.asarray(Image.open(ROOT / "samples" / "phantom_1.png"))
    assert mask.shape == (*scan.shape, 3)
    assert set(np.unique(mask)) <= {0, 255}
    overlay = np.asarray(Image.open(tmp_path / "phantom_1_overlay.png").convert("RGB"))
    coloured = (overlay.max(axis=2) != overlay.min(axis=2)).any()
    assert coloured == (mask > 0).any()
    assert "answered in" in ended.stdout
    assert "probability" in ended.stdout
    assert "Dice" in ended.stdout


def test_client_takes_a_scan_and_the_predict_url(server: Server, tmp_path: Path) -> None:
    scan = ROOT / "samples" / "phantom_2.png"
    ended = run_script("client_test.py", scan, "--url", f"{server.url}/predict", "--out", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "phantom_2_mask.png").exists()
    assert "Dice" not in ended.stdout


def test_client_without_a_server_says_so_in_one_sentence(tmp_path: Path) -> None:
    ended = run_script("client_test.py", "--url", f"http://127.0.0.1:{free_port()}", "--out", tmp_path)
    assert ended.returncode == 1
    assert "uv run api.py" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("content", [b"no picture", None], ids=["text", "missing"])
@pytest.mark.parametrize("place", ["scan", "label"])
def test_client_names_the_file_that_is_no_picture_and_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, content: bytes | None
) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    sample = str(ROOT / "samples" / "phantom_1.png")
    files = [str(path)] if place == "scan" else [sample, "--label", str(path)]
    assert main([*files, "--url", f"http://127.0.0.1:{free_port()}", "--out", str(tmp_path / "out")]) == 1
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert f"{path} cannot be read: " in sentence
    assert not (tmp_path / "out").exists()


def test_client_refuses_a_label_of_another_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan, label = (str(ROOT / "samples" / name) for name in ("phantom_1.png", "phantom_2_label.png"))
    assert main([scan, "--label", label, "--out", str(tmp_path)]) == 1
    assert "the label is (426, 400), but the scan is (489, 400)" in capsys.readouterr().err

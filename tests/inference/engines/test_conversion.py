from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from inference.engines import conversion
from inference.engines.conversion import ConvertedFold, convert_folds, write_converted
from inference.errors import WeightsError
from inference.weights.fold_file import FoldFile, read_fold
from tests.conftest import ROOT, run_script

FOLD_PATH = ROOT / "models" / "fold0.safetensors"


@pytest.fixture(scope="module")
def fold() -> FoldFile:
    return read_fold(FOLD_PATH)


@pytest.fixture(scope="module")
def form(fold: FoldFile) -> ConvertedFold:
    """The shipped fold, converted once for all tests of this machine."""
    return convert_folds([fold], ROOT / "models" / "cache")[0]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, form: ConvertedFold) -> list[FoldFile]:
    """Every fold that is converted from here on; the conversion itself is not done again."""
    converted: list[FoldFile] = []

    def convert_apart(folds: list[FoldFile], cache_dir: Path) -> list[ConvertedFold]:
        converted.extend(folds)
        for each in folds:
            write_converted(each, form, conversion.kept_at(each, cache_dir))
        return [form for _ in folds]

    monkeypatch.setattr(conversion, "_convert_apart", convert_apart)
    return converted


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "converted").iterdir())


def test_a_second_start_finds_the_first_ones_work(
    tmp_path: Path, fold: FoldFile, form: ConvertedFold, counted: list[FoldFile]
) -> None:
    assert convert_folds([fold], tmp_path) == [form]
    assert convert_folds([fold], tmp_path) == [form]
    assert counted == [fold]
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_form_is_made_again(
    tmp_path: Path, fold: FoldFile, form: ConvertedFold, counted: list[FoldFile], damage: str
) -> None:
    convert_folds([fold], tmp_path)
    path = kept(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes({"cut": bytes(content[:100_000]), "changed": bytes(content), "empty": b""}[damage])
    assert convert_folds([fold], tmp_path) == [form]
    assert counted == [fold, fold]
    assert convert_folds([fold], tmp_path) == [form]
    assert counted == [fold, fold]


def test_starts_at_once_leave_one_whole_form(tmp_path: Path, fold: FoldFile, form: ConvertedFold) -> None:
    path = conversion.kept_at(fold, tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write_converted(fold, form, path), range(8)))
    assert kept(tmp_path) == [path]
    assert convert_folds([fold], tmp_path) == [form]


def test_other_weights_are_converted_apart(tmp_path: Path, fold: FoldFile, counted: list[FoldFile]) -> None:
    other = FoldFile(fold.path, "f" * 64, fold.metadata)
    convert_folds([fold, other], tmp_path)
    assert counted == [fold, other]
    assert len(kept(tmp_path)) == 2


def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, fold: FoldFile, form: ConvertedFold, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_converted(fold, form, tmp_path / "converted" / "fold.openvino")
    assert not kept(tmp_path)


def test_what_is_no_unet_is_refused_in_the_process_apart(tmp_path: Path) -> None:
    path = tmp_path / "fold.pth"
    path.write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="no checkpoint of tensors alone"):
        convert_folds([read_fold(path)], tmp_path)


def test_a_script_as_plain_as_can_be_converts_without_a_cache_that_can_be_written(
    tmp_path: Path, fold: FoldFile
) -> None:
    script, blocked = tmp_path / "script.py", tmp_path / "file"
    blocked.write_text("")
    script.write_text(
        "import sys; from pathlib import Path; from inference.weights.fold_file import read_fold\n"
        "from inference.engines.conversion import convert_folds\n"
        "print(len(convert_folds([read_fold(Path(sys.argv[1]))], Path(sys.argv[2]))))\n"
    )
    ended = run_script(script, fold.path, blocked, PYTHONPATH=ROOT)
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr
    assert "the next start converts again" in ended.stderr


def test_an_exported_fold_that_is_damaged_is_not_converted(
    tmp_path: Path, fold: FoldFile, form: ConvertedFold
) -> None:
    path = tmp_path / "fold0.openvino"
    write_converted(fold, form, path)
    assert path.stat().st_mode & 0o777 == 0o644
    exported = read_fold(path)
    assert (exported.sha256, exported.metadata, exported.is_converted) == (fold.sha256, fold.metadata, True)
    assert convert_folds([exported], tmp_path) == [form]
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="make it again with `python -m inference export`"):
        convert_folds([exported], tmp_path)


def test_the_form_takes_scans_of_any_size(form: ConvertedFold) -> None:
    compiled = ov.Core().compile_model(form.model(ov.Core()), "CPU")
    for size in ((64, 96), (256, 192)):
        answer = compiled({0: np.zeros((1, 1, *size), np.float32)})[0]
        assert answer.shape == (1, 1, *size)
        assert answer.min() >= 0
        assert answer.max() <= 1

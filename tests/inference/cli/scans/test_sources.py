import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.cli.scans.sources import Source, find_sources, without_derived
from inference.errors import ScanError
from inference.volumes.reading import LOOKED_AT
from tests.conftest import ROOT

NOTHING = io.BytesIO().read


def names(sources: list[Source]) -> list[str]:
    return [source.name for source in sources]


def test_files_folders_and_globs_are_taken_once_each(folder: Path) -> None:
    below = folder / "below"
    below.mkdir()
    (folder / "scan_5.png").rename(below / "Deep.JPEG")
    (folder / "notes.txt").touch()
    everything = [str(folder / "scan_3.png"), str(folder), f"{folder}/**/*.[pJ]*"]
    assert names(find_sources(everything, NOTHING)) == [
        "scan_3",
        "scan_0",
        "scan_1",
        "scan_2",
        "scan_4",
        "Deep",
    ]
    assert names(find_sources([f"{folder}/*_[01].png"], NOTHING)) == ["scan_0", "scan_1"]


def test_what_belongs_to_a_scan_beside_it_is_passed_over(tmp_path: Path) -> None:
    for name in ("scan.png", "scan_mask.png", "scan_overlay.png", "other_mask.png", ".scan_mask.png.partial"):
        (tmp_path / name).touch()
    assert [path.name for path in without_derived(tmp_path.iterdir())] == ["other_mask.png", "scan.png"]
    assert names(find_sources([str(tmp_path), f"{tmp_path}/*.png"], NOTHING)) == ["other_mask", "scan"]
    assert names(find_sources([str(tmp_path / "scan_mask.png")], NOTHING)) == ["scan_mask"]


def test_results_hidden_files_and_folders_are_no_scans(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "folder.png").mkdir()
    out.mkdir()
    (out / "p1").mkdir()
    for name in ("a.png", "._a.png", "out/a_mask.png", "out/p1/a_overlay.png", "out/made_by.json"):
        (tmp_path / name).touch()
    for argument in (str(tmp_path), f"{tmp_path}/**/*.png", f"{tmp_path}/**/*"):
        assert names(find_sources([argument], NOTHING)) == ["a"]
    with pytest.raises(ScanError, match="there is no PNG"):
        find_sources([str(out)], NOTHING)


def test_scans_of_one_name_keep_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("p1/late/mip.png", "p2/mip.png", "p2/other.png", "p3/pet.nii.gz"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    monkeypatch.chdir(tmp_path)
    sources = find_sources(["data/**/*.*"], NOTHING)
    assert names(sources) == ["p1/late/mip", "p2/mip", "p2/other", "p3/pet"]
    assert [source.listed for source in sources] == [
        "p1/late/mip.png",
        "p2/mip.png",
        "p2/other.png",
        "p3/pet.nii.gz",
    ]
    assert names(find_sources(["data/p2", "data/p3"], NOTHING)) == ["mip", "other", "pet"]
    assert names(find_sources(["data/p2/mip.png", "data/p2/../p1/late/mip.png"], NOTHING)) == [
        "p2/mip",
        "p1/late/mip",
    ]


def test_standard_input_brings_a_scan_or_a_list(folder: Path) -> None:
    path = ROOT / "samples" / "phantom_1.png"
    (scan,) = find_sources(["-"], io.BytesIO(path.read_bytes()).read)
    assert scan.name == "stdin"
    np.testing.assert_array_equal(scan.read()[..., 0], np.asarray(Image.open(path)))
    listed = "\n".join([*map(str, sorted(folder.glob("*_[01].png"))), "", str(folder / "gone.png"), ""])
    for content in (os.fsencode(listed), os.fsencode(listed.replace("\n\n", "\n").replace("\n", "\0"))):
        assert names(find_sources(["-"], io.BytesIO(content).read)) == ["scan_0", "scan_1", "gone"]
    (no_scan,) = find_sources(["-"], io.BytesIO(b"II*\0\0\0 of a TIFF").read)
    assert no_scan.name == "stdin"


def test_standard_input_is_read_for_its_argument_alone(folder: Path) -> None:
    def closed() -> bytes:
        raise AssertionError

    assert len(find_sources([str(folder)], closed)) == 6


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing.png"], "nothing.png does not exist"),
        (["*.gif"], r"no file fits \*.gif"),
        (["empty"], "there is no PNG, JPEG, NIfTI or DICOM file in empty"),
        (["a.png", "a.jpg"], r"a\.png and .*a\.jpg would both have the mask a_mask\.png: .*--out"),
        (["-"], "standard input is empty"),
    ],
)
def test_what_names_nothing_is_said(
    arguments: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(ScanError, match=reason):
        find_sources(arguments, io.BytesIO(b" \n").read)


def test_a_few_other_files_make_a_series_no_folder_of_scans(tmp_path: Path) -> None:
    """Nor one DICOM file a series of pictures, and what comes after the first files is not looked at."""
    image = bytes(128) + b"DICM"
    for folder, files in (
        ("series", {".DS_Store": b"", "DICOMDIR": image, "A README": b"", "a.dcm": image, "sub/b": image}),
        ("pictures", {"a.dcm": image, "b.png": b"", "c.png": b""}),
        ("notes", {"b.txt": b""}),
    ):
        for name, content in files.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_bytes(content)
    assert [source.path for source in find_sources([str(tmp_path / "series")], NOTHING)] == [
        tmp_path / "series"
    ]
    assert names(find_sources([str(tmp_path / "pictures")], NOTHING)) == ["b", "c"]
    with pytest.raises(ScanError, match="there is no PNG"):
        find_sources([str(tmp_path / "notes")], NOTHING)
    for number in range(LOOKED_AT):
        (tmp_path / "pictures" / f"aa_{number:02d}").write_bytes(image)
    for number in range(50):
        (tmp_path / "pictures" / f"z_{number:02d}.png").touch()
    assert names(find_sources([str(tmp_path / "pictures")], NOTHING)) == ["pictures"]


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8"], ids=str
)
@pytest.mark.parametrize("line", ["\r\n", "\n"], ids=["Windows", "Unix"])
def test_a_list_is_read_in_whatever_encoding_it_comes(encoding: str, line: str) -> None:
    listed = ["C:/scans/first.png", "scans/Müller 2.png", "c.png"]
    sources = find_sources(["-"], io.BytesIO(line.join([*listed, ""]).encode(encoding)).read)
    assert [source.path.as_posix() for source in sources] == listed


@pytest.mark.parametrize("mark", ["be", "le"])
def test_a_list_in_utf_16_with_its_mark_in_either_order(mark: str) -> None:
    content = "\ufeffa.png\nb.png".encode(f"utf-16-{mark}")
    assert names(find_sources(["-"], io.BytesIO(content).read)) == ["a", "b"]
    with pytest.raises(ScanError, match="seems to be in utf-16, and is damaged: write it in UTF-8"):
        find_sources(["-"], io.BytesIO(content + b"\0").read)


def test_a_list_with_nul_between_names_stays_one() -> None:
    content = b"\xef\xbb\xbfa.png\0b.png\0c\0"
    assert names(find_sources(["-"], io.BytesIO(content).read)) == ["a", "b", "c"]


@pytest.mark.parametrize("folder", ["scans [1]", "[abc]", "a?b", "study[2024]/pet*1", "[[]"])
def test_a_glob_goes_through_folders_with_brackets_in_their_names(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder / "deep").mkdir(parents=True)
    for name in ("a.png", "b.png", "deep/c.png"):
        (tmp_path / folder / name).touch()
    assert names(find_sources([f"{tmp_path}/{folder}/*.png"], NOTHING)) == ["a", "b"]
    assert names(find_sources([f"{tmp_path}/{folder}/[b-z].png"], NOTHING)) == ["b"]
    assert names(find_sources([f"{tmp_path}/{folder}/**/*.png"], NOTHING)) == ["a", "b", "c"]

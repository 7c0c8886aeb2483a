"""Nothing is used before it is known to be whole: checksums to the end, links, slices without a gap."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from inference.cli.scans.sources import Source, find_sources
from inference.volumes.archive import files_of_folder
from inference.volumes.errors import VolumeError
from inference.volumes.formats import raw_slices
from inference.volumes.reading import scan_of_path
from tests.inference.volumes.conftest import zip_folder
from training.phantoms.volume_files import write_nifti, write_series
from training.phantoms.volumes import PhantomVolume


@pytest.fixture
def series(small: PhantomVolume, tmp_path: Path) -> Path:
    write_series(small, tmp_path / "series")
    return tmp_path / "series"


def test_a_flipped_bit_of_a_compressed_nifti_file_is_seen_wherever_it_is(
    small: PhantomVolume, tmp_path: Path
) -> None:
    """Unless it changes nothing: zeros may be copied from here or from there."""
    path = tmp_path / "a.nii.gz"
    write_nifti(small, path)
    whole = path.read_bytes()
    content = gzip.decompress(whole)
    refused = 0
    for place in np.linspace(12, len(whole) - 1, 150).astype(int).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            scan_of_path(path)
        except VolumeError:
            refused += 1
        else:
            assert gzip.decompress(path.read_bytes()) == content
    assert refused > 100


@pytest.mark.parametrize("lost", [1, 4, 8, 9])
def test_the_checksum_itself_has_to_be_there(lost: int, small: PhantomVolume, tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_nifti(small, path)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(VolumeError, match=r"^cut short: "):
        scan_of_path(path)


def test_what_is_behind_the_last_slice_is_bounded(
    small: PhantomVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nii"
    write_nifti(small, path)
    content = path.read_bytes()
    monkeypatch.setattr(raw_slices, "MOST_BEHIND_BYTES", 3_000_000)
    for behind in (0, 100, 2_900_000):
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(behind)))
        assert scan_of_path(tmp_path / "a.nii.gz").grey.shape == (96, 48)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(5_000_000)))
    with pytest.raises(VolumeError, match="more than 3 MB behind the last slice"):
        scan_of_path(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("place", [0.05, 0.5, 0.95])
def test_an_archives_checksums_are_compared(place: float, series: Path, tmp_path: Path) -> None:
    path = tmp_path / "series.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored, so that nothing else would notice
        for file in series.iterdir():
            archive.write(file, file.name)
        begins = archive.infolist()[5].header_offset
    size = (series / zipfile.ZipFile(path).infolist()[5].filename).stat().st_size
    data = bytearray(path.read_bytes())
    data[begins + 50 + int(size * place)] ^= 4
    path.write_bytes(data)
    with pytest.raises(VolumeError) as caught:
        scan_of_path(path)
    assert caught.value.fault in ("cut_short", "unreadable", "missing_field"), caught.value


def test_a_damaged_magic_number_in_an_archive_is_no_file_to_pass_over(series: Path, tmp_path: Path) -> None:
    path = tmp_path / "series.zip"
    zip_folder(series, path)
    with zipfile.ZipFile(path, "w") as archive:
        for file in series.iterdir():
            archive.write(file, file.name)
    data = bytearray(path.read_bytes())
    data[data.find(b"DICM")] ^= 1
    path.write_bytes(data)
    with pytest.raises(VolumeError, match=r"^cut short: a file of the series is damaged"):
        scan_of_path(path)


def test_another_method_of_packing_is_named(series: Path, tmp_path: Path) -> None:
    path = tmp_path / "series.zip"
    zip_folder(series, path)
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\x01\x02")
    data[place + 10 : place + 12] = (9).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(VolumeError, match=r"a method that is not read here \(9: Deflate64\): pack it anew"):
        scan_of_path(path)


def test_links_are_the_files_that_they_lead_to(series: Path, tmp_path: Path) -> None:
    expected = scan_of_path(series).grey
    files = sorted(series.iterdir())
    ways = {
        "all": [(file.name, file) for file in files],
        "half": [(file.name, file) for file in files[::2]],
        "folder": [("below", series)],
    }
    for name, links in ways.items():
        folder = tmp_path / name
        folder.mkdir()
        for link, target in links:
            (folder / link).symlink_to(target)
        for file in files[1::2] if name == "half" else ():
            (folder / file.name).write_bytes(file.read_bytes())
        np.testing.assert_array_equal(scan_of_path(folder).grey, expected)
        assert find_sources([str(folder)], bytes) == [Source(folder)]
    assert len({Source(tmp_path / name).digest() for name in ways}) == 3


def test_a_link_to_what_is_there_already_is_no_second_slice(series: Path) -> None:
    (series / "again.dcm").symlink_to(next(series.iterdir()))
    (series / "around").symlink_to(series)
    assert len(files_of_folder(series)) == 24
    assert scan_of_path(series).grey.shape == (96, 48)


def test_a_link_that_leads_nowhere_is_a_part_that_is_missing(series: Path) -> None:
    last = sorted(series.iterdir())[-1]
    last.rename(series.parent / "moved")
    last.symlink_to(series / "gone")
    with pytest.raises(
        VolumeError, match=r"^cut short: 1 of the folder's 24 files are links that lead nowhere"
    ):
        scan_of_path(series)


def without_count(image: Dataset) -> Dataset:
    del image.NumberOfSlices
    return image


def test_every_second_slice_is_not_the_whole(small: PhantomVolume, tmp_path: Path) -> None:
    def thinned(index: int, image: Dataset) -> Dataset | None:
        image.SpacingBetweenSlices = image.SliceThickness
        return without_count(image) if index % 2 else None

    write_series(small, tmp_path / "series", thinned)
    with pytest.raises(VolumeError, match=r"16.00 mm apart, and SpacingBetweenSlices says 8.00 mm"):
        scan_of_path(tmp_path / "series")


DOUBTS = {
    "no doubt": (lambda index: True, []),
    "thinned": (lambda index: index % 2, ["slices are 16.00 mm apart and 8.00 mm thick", "numbers between"]),
    "the first": (lambda index: index > 8, ["InstanceNumber begins with 10: are 9 images missing"]),
    "the last": (lambda index: index < 15, []),  # which nothing tells without NumberOfSlices
}


@pytest.mark.parametrize(("kept", "said"), DOUBTS.values(), ids=DOUBTS.keys())
def test_slices_that_may_be_missing_are_told_of(
    kept: object, said: list[str], small: PhantomVolume, tmp_path: Path
) -> None:
    write_series(
        small,
        tmp_path / "series",
        lambda index, image: without_count(image) if kept(index) else None,  # type: ignore[operator]
    )
    told = scan_of_path(tmp_path / "series").warnings
    assert len(told) == len(said)
    assert all(part in sentence for part, sentence in zip(said, told, strict=True))

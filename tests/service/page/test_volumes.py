"""Volumes on the page: what `/analyze` answers, at any threshold, in every form that a volume comes in."""

import base64
import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from playwright.sync_api import Browser, expect
from pydicom import Dataset, dcmread

from inference.ensemble import Ensemble
from service.scan_content import MOST_SLICES
from tests.conftest import plain_settings
from tests.inference.volumes.conftest import zip_folder
from tests.service.in_process import serving, wait_for
from tests.service.page.answers import download_of, fields_of, findings_of, form, mask_of, names_of
from tests.service.page.visiting import DEADLINE_MS, assert_accessible, needs_chromium, visit
from training.phantoms.volume_files import write_array, write_nifti, write_series
from training.phantoms.volumes import make_volume
from utils import decode_request

SAID = ("tumor_detected", "tumor_probability", "tumor_area_px", "tumor_fraction", "lesions", "measures")
OTHER_THRESHOLD = 0.7
NARROW_PX = 320
UNITS = {"area_mm2": 0, "suv_max": 1, "suv_mean": 1}
"""What the table has of a lesion in units, and with how many digits."""


@pytest.fixture(scope="module")
def client(loaded: Ensemble) -> Iterator[httpx.Client]:
    """A service that sees every scan in the same view, whatever else this machine is busy with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaded, "tta_ops", ("identity",))
        with serving(plain_settings(deadline_s=600, max_body_mb=0.1, max_volume_mb=64), loaded) as client:
            wait_for(client, "ready")
            yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("volumes")
    volume = make_volume(shape=(96, 30, 60), spacing_mm=(10.0, 9.0, 7.0))
    write_nifti(volume, written / "suv.nii.gz", "LPI")
    write_array(volume, written / "array.npy")
    write_series(volume, written / "series")
    zip_folder(written / "series", written / "series.zip")
    write_series(make_volume(shape=(24, 20, 24)), written / "weightless", without_weight)
    return written


def without_weight(_: int, image: Dataset) -> Dataset:
    del image.PatientWeight
    return image


def sent(path: Path) -> list[tuple[str, tuple[str, bytes]]]:
    """Return a form of a file, or of each of a folder's."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [("file", (file.name, file.read_bytes())) for file in files]


@pytest.mark.parametrize("name", ["suv.nii.gz", "series.zip"])
def test_the_page_finds_what_the_api_finds_at_the_models_threshold_and_at_another(
    client: httpx.Client, folder: Path, name: str, loaded: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sent(folder / name)
    assert name != "series.zip" or len(content[0][1][1]) > 100_000  # more than a picture may have
    result = client.post("/ui/segment", files=content).text
    answers = [(client.post("/analyze", files=content).json(), result)]
    monkeypatch.setattr(loaded, "threshold", OTHER_THRESHOLD)
    cut_anew = client.post(
        "/ui/cut", files=form(fields_of(result) | {"threshold": str(OTHER_THRESHOLD)})
    ).text
    answers.append((client.post("/analyze", files=content).json(), cut_anew))
    for analysis, shown in answers:
        findings = findings_of(shown)
        assert {said: findings[said] for said in SAID} == {said: analysis[said] for said in SAID}
        assert base64.b64encode(download_of(shown, "mask.png")).decode() == analysis["img"]
        tumour = mask_of(shown)[..., 0] > 0
        nifti = Nifti1Image.from_bytes(gzip.decompress(download_of(shown, "mask.nii.gz")))
        assert np.array_equal(np.asarray(nifti.dataobj)[..., 0].T > 0, tumour)
        if name == "series.zip":
            mip, stored = (
                dcmread(io.BytesIO(download_of(part, file)))
                for part, file in ((result, "mip.dcm"), (shown, "seg.dcm"))
            )
            assert np.array_equal(stored.pixel_array > 0, tumour)
            assert stored.ReferencedSeriesSequence[0].SeriesInstanceUID == mip.SeriesInstanceUID
            assert (stored.PatientID, stored.StudyInstanceUID) == (mip.PatientID, mip.StudyInstanceUID)
        else:
            assert not {"seg.dcm", "mip.dcm"} & set(names_of(shown))
    first, second = (analysis["measures"] for analysis, _ in answers)
    assert 0 < second["projected_area_mm2"] < first["projected_area_mm2"]
    assert second["suv_mean"] > first["suv_mean"]


def test_slices_one_by_one_are_a_series_for_page_and_api(client: httpx.Client, folder: Path) -> None:
    whole = client.post("/analyze", files=sent(folder / "series.zip")).json()
    apart = client.post("/analyze", files=sent(folder / "series")).json()
    assert {said: apart[said] for said in ("img", *SAID)} == {said: whole[said] for said in ("img", *SAID)}
    for route in ("/analyze", "/ui/segment"):
        answer = client.post(route, files=sent(folder / "weightless"))
        assert (answer.status_code, answer.json()["fault"]) == (422, "missing_weight")
    pictures = [("file", (f"{number}.png", b"\x89PNG")) for number in range(2)]
    assert "no DICOM image" in client.post("/ui/segment", files=pictures).json()["detail"]
    assert client.post("/predict", files=pictures).status_code == 400  # the competition's, a scan at a time
    many = client.post("/ui/segment", files=[("file", ("1", b""))] * (MOST_SLICES + 1))
    assert (many.status_code, "Too many files" in many.json()["detail"]) == (400, True)


def test_headers_that_no_dicom_file_can_be_made_of_cost_no_result(
    client: httpx.Client, tmp_path: Path
) -> None:
    def odd(_: int, image: Dataset) -> Dataset:
        del image.StudyInstanceUID
        return image

    write_series(make_volume(shape=(24, 20, 24)), tmp_path / "series", odd)
    answer = client.post("/ui/segment", files=sent(tmp_path / "series"))
    assert answer.status_code == 200, answer.text
    assert "No DICOM files can be made" in answer.text
    assert not {"seg.dcm", "mip.dcm"} & set(names_of(answer.text))


def test_a_picture_may_still_be_no_larger_than_before(client: httpx.Client) -> None:
    answer = client.post("/ui/segment", files={"file": ("large.png", bytes(110_000))})
    assert (answer.status_code, "larger than 0.1 MB" in answer.json()["detail"]) == (413, True)


@needs_chromium
def test_volumes_are_chosen_measured_cut_again_and_taken_home(
    browser: Browser, client: httpx.Client, folder: Path
) -> None:
    url = str(client.base_url)
    with visit(browser.new_context(viewport={"width": NARROW_PX, "height": 800}), url) as visiting:
        page = visiting.page
        page.goto(url + "/ui")
        page.get_by_text("Options for volumes").click()
        page.get_by_label("Spacing in mm").fill("10,9")
        page.set_input_files("#file", folder / "array.npy")
        said = client.post("/analyze", files=sent(folder / "array.npy"), params={"spacing": "10,9"}).json()
        sentence = f"{said['detail'][0].upper()}{said['detail'][1:]}."
        expect(page.get_by_role("alert")).to_have_text(sentence, timeout=DEADLINE_MS)
        assert_accessible(page)

        page.get_by_label("Spacing in mm").fill("10,9,7")
        page.get_by_label("SUV of black").fill("8")
        page.set_input_files("#file", folder / "array.npy")
        visiting.wait_for_result()
        query = {"spacing": "10,9,7", "suv_max": "8"}
        found = client.post("/analyze", files=sent(folder / "array.npy"), params=query).json()["measures"]
        shown = page.locator(".measures dd").all_inner_texts()
        assert [text.split()[0] for text in shown[:3]] == [
            f"{found['projected_area_mm2']:,.0f}",
            f"{found['projected_tlg_mm2']:,.0f}",
            f"{found['suv_max']:.1f}",
        ]
        row = page.locator("tbody tr").first.locator("td").all_inner_texts()
        lesion = found["lesions"][0]
        assert row[1:4] == [f"{lesion[name]:,.{d}f}" for name, d in UNITS.items()]
        assert "SUV of 8 or more" in page.locator("#result").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW_PX
        assert_accessible(page)

        page.get_by_label("SUV of black").fill("")
        visiting.drop(folder / "series")
        expect(page.locator("#result-name")).to_have_text(" for series", timeout=DEADLINE_MS)
        before = page.locator(".measures dd").first.inner_text()
        page.locator("#threshold").fill(str(OTHER_THRESHOLD))
        visiting.wait_for_threshold(f"{OTHER_THRESHOLD:.2f}")
        assert page.locator(".measures dd").first.inner_text() != before
        name, content = visiting.download("Segmentation DICOM")
        assert (name, dcmread(io.BytesIO(content)).Modality) == ("series_seg.dcm", "SEG")
        assert visiting.download("Projection DICOM")[0] == "series_mip.dcm"
        assert decode_request(base64.b64encode(visiting.download("Mask PNG")[1]).decode()).any()

        page.set_input_files("#folder", folder / "weightless")
        expect(page.get_by_role("alert")).to_contain_text("Missing weight: ", timeout=DEADLINE_MS)

"""Files from other people's machines, over HTTP: read as was meant, or refused with the true reason."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from tests.conftest import Server, file_bytes
from tests.inference.volumes.conftest import zip_folder
from tests.real_files import ANSWERED, answers, real_files
from training.phantoms.drawing import Phantom
from training.phantoms.volume_files import Change, write_series
from training.phantoms.volumes import make_volume
from utils import decode_request


def zone(together: str) -> Change:
    def change(_: int, image: Dataset) -> Dataset:
        image.TimezoneOffsetFromUTC = "+0100"
        tracer = image.RadiopharmaceuticalInformationSequence[0]
        tracer.RadiopharmaceuticalStartDateTime = together
        del tracer.RadiopharmaceuticalStartTime
        image.PatientBirthDate, image.PatientName = "19331122", "MARKED"
        return image

    return change


@pytest.mark.parametrize(
    ("together", "told"),
    [("20240305081500+0000", 0), ("20240305091745+0000", 1), ("20240305", None), ("20240304091500", None)],
    ids=["in UTC", "clocks differ", "a date alone", "a day before"],
)
def test_the_time_since_the_injection_is_right_told_or_refused(
    together: str, told: int | None, server: Server, tmp_path: Path
) -> None:
    write_series(make_volume(shape=(24, 20, 24)), tmp_path / "series", zone(together))
    zip_folder(tmp_path / "series", tmp_path / "series.zip")
    content = (tmp_path / "series.zip").read_bytes()
    answer = server.post("/analyze", files={"file": ("series.zip", content)})
    if told is None:
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert f"RadiopharmaceuticalStartDateTime {together}" in answer.json()["detail"]
    else:
        assert answer.status_code == 200, answer.text
        assert sum("a difference of two clocks" in said for said in answer.json()["warnings"]) == told
    for secret in ("MARKED", "19331122"):
        assert secret not in answer.text + server.log.read_text()


def test_a_mask_has_the_size_that_a_viewer_shows(server: Server, phantom: Phantom) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(phantom.grey).transpose(Image.Transpose.ROTATE_90)
    turned.save(buffer, "PNG", exif=exif)
    assert turned.size == phantom.grey.shape
    for path in ("/predict", "/analyze"):
        answer = server.post(path, files={"file": ("scan.png", buffer.getvalue())})
        assert answer.status_code == 200, answer.text
        assert decode_request(answer.json()["img"]).shape[:2] == phantom.grey.shape


def test_few_bits_in_sixteen_are_refused_with_what_to_do(server: Server, phantom: Phantom) -> None:
    twelve = file_bytes(phantom.grey.astype(np.uint16) * 16)
    answer = server.post("/predict", files={"file": ("scan.png", twelve)})
    assert (answer.status_code, "scale them to the whole range" in answer.json()["detail"]) == (422, True)


def test_every_file_of_other_hands_is_answered_as_the_table_says(server: Server) -> None:
    """As on the command line, whatever the client calls the file's type."""
    expected = answers()
    found = {}
    for name, path in real_files().items():
        answer = server.post("/analyze", files={"file": (path.name, path.read_bytes())})
        assert answer.status_code in (200, 422), f"{name}: {answer.status_code} {answer.text}"
        found[name] = ANSWERED if answer.status_code == 200 else " ".join(answer.json()["detail"].split())
    assert found == expected

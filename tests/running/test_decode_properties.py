"""Whatever is sent, decoding gives a scan or says why not; and whatever scan it gives, the mask is valid.

`TUMOR_TEST_EXAMPLES=5000` asks for more than CI has time for.
"""

import io
import os
from contextlib import suppress

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from inference.errors import ScanError
from tests.conftest import Server, as_base64
from utils import MAX_SIDE_PX, MIN_SIDE_PX, Scan, decode_image, decode_request, validate_segmentation

EXAMPLES = int(os.environ.get("TUMOR_TEST_EXAMPLES", "0"))
EITHER = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def pictures(draw: st.DrawFn, largest: int = 160) -> tuple[bytes, tuple[int, int]]:
    """A PNG or JPEG file of any mode and depth, and its (height, width)."""
    size = draw(array_shapes(min_dims=2, max_dims=2, min_side=MIN_SIDE_PX, max_side=largest))
    noise = draw(arrays(np.uint8, (8, 8)))
    grey = np.resize(noise, size)
    buffer = io.BytesIO()
    image = Image.fromarray(grey)
    if draw(st.booleans()):
        mode = draw(st.sampled_from(("L", "RGB", "CMYK", "YCbCr")))
        options = {"quality": draw(st.integers(1, 95)), "progressive": draw(st.booleans())}
        image.convert(mode).save(buffer, "JPEG", **options)
    else:
        depth = draw(st.sampled_from(("1", "L", "LA", "P", "RGB", "RGBA", "I;16")))
        picture = Image.fromarray(grey.astype(np.uint16) * 257) if depth == "I;16" else image.convert(depth)
        transparent = {"transparency": draw(st.integers(0, 255))} if depth in ("L", "P") else {}
        picture.save(buffer, "PNG", compress_level=draw(st.integers(0, 9)), **transparent)
    return buffer.getvalue(), (size[0], size[1])


@st.composite
def damaged_pictures(draw: st.DrawFn) -> bytes:
    """A file some of whose bytes are others, lost, or there twice."""
    data = bytearray(draw(pictures())[0])
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(("other", "lost", "twice", "cut")))
        if how == "other":
            data[place] = draw(st.integers(0, 255))
        elif how == "lost":
            del data[place : place + draw(st.integers(1, 40))]
        elif how == "twice":
            data[place:place] = data[place : place + draw(st.integers(1, 40))]
        else:
            del data[max(place, 1) :]
        data = data or bytearray(b"\0")
    return bytes(data)


def is_scan(scan: Scan) -> bool:
    height, width, channels = scan.shape
    sides_fit = all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in (height, width))
    return scan.dtype == np.uint8 and channels == 3 and sides_fit


@settings(EITHER, max_examples=EXAMPLES or 200)
@given(st.one_of(st.binary(max_size=300), damaged_pictures()))
def test_bytes_are_a_scan_or_a_scan_error(data: bytes) -> None:
    with suppress(ScanError):
        assert is_scan(decode_image(data))


@settings(EITHER, max_examples=EXAMPLES or 200)
@given(st.text(max_size=300) | st.binary(max_size=200).map(as_base64) | damaged_pictures().map(as_base64))
def test_text_is_a_scan_or_a_scan_error(text: str) -> None:
    with suppress(ScanError):
        assert is_scan(decode_request(text))


@settings(EITHER, max_examples=EXAMPLES or 100)
@given(pictures())
def test_a_picture_of_any_mode_is_a_scan_of_its_size(picture: tuple[bytes, tuple[int, int]]) -> None:
    data, size = picture
    scan = decode_image(data)
    assert is_scan(scan)
    assert scan.shape[:2] == size


@settings(EITHER, max_examples=EXAMPLES or 20)
@given(pictures() | damaged_pictures().map(lambda data: (data, None)))
def test_whatever_is_sent_is_answered_with_a_valid_mask_or_a_problem(
    server: Server, picture: tuple[bytes, tuple[int, int] | None]
) -> None:
    data, size = picture
    answer = server.post("/predict", content=data, headers={"Content-Type": "application/octet-stream"})
    if size is None and answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        assert answer.headers["content-type"] == "application/problem+json"
        with pytest.raises(ScanError):
            decode_image(data)
        return
    assert answer.status_code == httpx.codes.OK, answer.text
    validate_segmentation(decode_image(data), decode_request(answer.json()["img"]))

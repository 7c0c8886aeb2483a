import base64
import pickle
import struct
import zlib

import numpy as np
import pytest

from tests.conftest import Server, as_base64, file_bytes
from training.phantoms.drawing import Phantom

GOOD_PNG = file_bytes(np.full((64, 64), 255, np.uint8))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


CLAIMS_30000 = (
    png_header(30000, 30000) + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + png_chunk(b"IEND", b"")
)

BAD_IMAGES = {
    "text": b"this is not a picture",
    "cut png": file_bytes(np.random.default_rng(0).integers(0, 255, (489, 400), dtype=np.uint8))[:5000],
    "header-only png": png_header(400, 489),
    "claims 30000 x 30000": CLAIMS_30000,
    "claims 9000 x 9000": png_header(9000, 9000),
    "too small": file_bytes(np.full((31, 400), 255, np.uint8)),
    "too large": file_bytes(np.full((32, 4097), 255, np.uint8)),
    "pickle": pickle.dumps({"img": [1, 2, 3]}),
    "gif": file_bytes(np.full((64, 64), 255, np.uint8), "GIF"),
    "flipped bits": GOOD_PNG[:50] + bytes(255 - byte for byte in GOOD_PNG[50:]),
    "nothing after the signature": GOOD_PNG[:8],
}

BAD_BODIES = {
    "empty body": b"",
    "no json": b"hello",
    "no img": b"{}",
    "null": b'{"img": null}',
    "number": b'{"img": 7}',
    "list": b"[1, 2]",
    "empty string": b'{"img": ""}',
    "bad base64": b'{"img": "###"}',
    "base64 with a wrong padding": b'{"img": "abcde"}',
    "data URL that is not base64": b'{"img": "data:image/png,abc"}',
    "bytes that are no text": b"\xff\xfe\x00",
    "pickle": pickle.dumps({"img": "x"}),
    "deeply nested": b"[" * 100_000,
} | {f"image: {name}": b'{"img": "' + base64.b64encode(data) + b'"}' for name, data in BAD_IMAGES.items()}


@pytest.mark.parametrize("path", ["/predict", "/analyze"])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_bad_input_is_a_problem_and_the_next_scan_is_answered(
    server: Server, phantom: Phantom, path: str, body: bytes
) -> None:
    answer = server.post(path, content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert len(problem["detail"]) > 15
    small = file_bytes(phantom.grey[:64, :64])
    assert server.post("/predict", json={"img": as_base64(small)}).status_code == 200


def test_a_body_of_60_mb_is_refused_with_413(server: Server) -> None:
    answer = server.post("/predict", content=b'{"img": "' + b"A" * 60_000_000 + b'"}')
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert "32 MB" in answer.json()["detail"]


def test_a_body_of_60_mb_without_a_length_is_refused_with_413(server: Server) -> None:
    chunks = (b"A" * 1_000_000 for _ in range(60))
    answer = server.post("/predict", content=chunks, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


def test_no_input_is_quoted_back(server: Server) -> None:
    answer = server.post("/predict", json={"image": "a secret"})
    assert answer.status_code == 422
    assert "a secret" not in answer.text


@pytest.mark.parametrize("data", BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_bad_files_are_problems_too(server: Server, data: bytes) -> None:
    answer = server.post("/analyze", files={"file": ("scan.png", data)})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")

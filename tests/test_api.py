import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from inference.ensemble import load_ensemble
from tests.conftest import SIZES, Server, as_base64, file_bytes, plain_settings
from training.phantoms.drawing import Phantom, make_phantom
from training.scans.dataset import find_cases
from utils import Scan, decode_image, decode_request, encode_request, validate_segmentation

REAL_SCANS = os.environ.get("TUMOR_DATA_DIR")
EVERY = 1 if "TUMOR_TEST_EVERY_PATIENT" in os.environ else 5
"""Every how many of the real patients, by the size of their scans, is sent; CI has time for a fifth."""


def rgb(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


def rgba(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.dstack([rgb(grey), np.full(grey.shape, 255, np.uint8)])


def test_root_says_that_it_runs(server: Server) -> None:
    answer = server.get("/")
    assert answer.status_code == 200
    assert "running" in answer.json()["message"]


def test_api_names_service_version_uptime_and_model(server: Server) -> None:
    answer = server.get("/api").json()
    assert answer["service"] == "tumor-segmentation-api"
    assert answer["version"].count(".") == 2
    assert answer["uptime_s"] > 0
    assert len(answer["model"]["folds"]) == 3


def test_health(server: Server) -> None:
    assert server.get("/health/live").status_code == 200
    assert server.get("/health/ready").json() == {"state": "ready"}


def test_predict_answers_the_mask_that_the_ensemble_computes(server: Server, phantom: Phantom) -> None:
    answer = server.post("/predict", json={"img": as_base64(file_bytes(phantom.grey))})
    assert answer.status_code == 200
    assert list(answer.json()) == ["img"]
    expected = load_ensemble(plain_settings()).predict(phantom.grey).mask
    np.testing.assert_array_equal(decode_request(answer.json()["img"]), expected)


@pytest.mark.parametrize("size", [*SIZES, (32, 32), (991, 400), (32, 400)])
def test_predict_answers_a_valid_mask_of_the_scans_size(server: Server, size: tuple[int, int]) -> None:
    scan = rgb(make_phantom(7, size=size).grey)
    answer = server.post("/predict", json={"img": encode_request(scan)})
    validate_segmentation(scan, decode_request(answer.json()["img"]))


def test_predict_accepts_the_largest_scan(server: Server) -> None:
    scan = np.full((4096, 4096), 255, np.uint8)
    answer = server.post("/predict", json={"img": encode_request(scan)})
    validate_segmentation(rgb(scan), decode_request(answer.json()["img"]))


def test_every_way_to_send_a_scan_gives_the_same_mask(server: Server, phantom: Phantom) -> None:
    grey = phantom.grey
    text = as_base64(file_bytes(grey))
    sixteen_bit = grey.astype(np.uint16) * 257
    ways = {
        "grey": text,
        "rgb": as_base64(file_bytes(rgb(grey))),
        "rgba": as_base64(file_bytes(rgba(grey))),
        "16 bit": as_base64(file_bytes(sixteen_bit)),
        "data URL": "data:image/png;base64," + text,
        "wrapped lines": "\n".join(text[start : start + 76] for start in range(0, len(text), 76)),
    }
    masks = {way: server.post("/predict", json={"img": img}).json()["img"] for way, img in ways.items()}
    assert len(set(masks.values())) == 1, {way: len(mask) for way, mask in masks.items()}


def test_predict_accepts_jpeg(server: Server, phantom: Phantom) -> None:
    answer = server.post("/predict", json={"img": as_base64(file_bytes(phantom.grey, "JPEG"))})
    validate_segmentation(rgb(phantom.grey), decode_request(answer.json()["img"]))


def test_analyze_finds_what_predict_masks(server: Server, phantom: Phantom) -> None:
    img = as_base64(file_bytes(phantom.grey))
    answer = server.post("/analyze", json={"img": img}).json()
    assert answer["img"] == server.post("/predict", json={"img": img}).json()["img"]
    tumour = decode_request(answer["img"])[..., 0] > 0
    assert answer["tumor_area_px"] == tumour.sum() == sum(lesion["area_px"] for lesion in answer["lesions"])
    assert answer["tumor_fraction"] == pytest.approx(tumour.mean())
    assert answer["tumor_detected"] == (answer["tumor_probability"] >= 0.5)
    assert 0 <= answer["tumor_probability"] <= 1
    assert {"infer", "encode"} <= answer["timings_ms"].keys()
    for lesion in answer["lesions"]:
        x, y, width, height = lesion["bbox_xywh"]
        assert tumour[y : y + height, x : x + width].sum() >= lesion["area_px"]
        assert x <= lesion["centroid_xy"][0] < x + width
        assert y <= lesion["centroid_xy"][1] < y + height
        assert answer["model"]["threshold"] <= lesion["mean_probability"] <= 1


def test_analyze_says_how_far_the_folds_agree_and_shows_where_when_asked(
    server: Server, phantom: Phantom
) -> None:
    scan = {"img": as_base64(file_bytes(phantom.grey))}
    plain, shown = (server.post(path, json=scan).json() for path in ("/analyze", "/analyze?uncertainty=true"))
    prediction = load_ensemble(plain_settings()).predict(phantom.grey)
    assert (
        plain["disagreement"] == shown["disagreement"] == pytest.approx(prediction.disagreement(), abs=1e-4)
    )
    assert plain["uncertainty_map"] is None
    drawn = decode_request(shown["uncertainty_map"])[..., 0]  # (H, W)
    np.testing.assert_allclose(drawn / 510, prediction.uncertainty_map(), atol=0.5 / 510 + 1e-6)
    assert drawn.any()
    refused = server.post("/analyze?uncertainty=perhaps", json=scan)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    ("scan", "warned"),
    [
        (make_phantom(1, size=(489, 400)).grey, ()),
        (255 - make_phantom(1, size=(489, 400)).grey, ("black background",)),
        (np.full((489, 400), 255, np.uint8), ("is blank",)),
        (
            np.random.default_rng(0).integers(0, 256, (96, 300, 3), np.uint8),
            ("colour", "photograph", "width"),
        ),
    ],
    ids=["ordinary", "inverted", "blank", "no scan"],
)
def test_analyze_warns_of_what_is_unusual(server: Server, scan: Scan, warned: tuple[str, ...]) -> None:
    answer = server.post("/analyze", json={"img": encode_request(scan)}).json()
    validate_segmentation(scan, decode_request(answer["img"]))
    assert len(answer["warnings"]) == len(warned)
    for part, warning in zip(warned, answer["warnings"], strict=True):
        assert part in warning


@pytest.mark.parametrize("path", ["/predict", "/analyze"])
@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_a_file_or_json_of_any_content_type_is_a_scan(
    server: Server, phantom: Phantom, path: str, content_type: str | None
) -> None:
    data = file_bytes(phantom.grey)
    body = b'{"img": "' + as_base64(data).encode() + b'"}'
    headers = {"Content-Type": content_type} if content_type else {}
    answers = [
        server.post(path, files={"file": ("scan.png", data)}),
        server.post(path, content=body, headers=headers),
        server.post(path, json={"img": as_base64(data)}),
    ]
    assert {answer.status_code for answer in answers} == {200}
    as_file, of_any_type, as_json = ({**answer.json(), "timings_ms": 0} for answer in answers)
    assert as_file == of_any_type == as_json


@pytest.mark.parametrize("path", ["/predict", "/analyze"])
def test_a_form_without_a_file_is_refused(server: Server, path: str) -> None:
    answer = server.post(path, files={"other": ("scan.png", b"")})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_other_requests_are_answered_while_a_scan_is_segmented(server: Server) -> None:
    img = encode_request(make_phantom(3, size=(2048, 2048)).grey)
    with ThreadPoolExecutor(1) as clients:
        segmented = clients.submit(server.post, "/predict", json={"img": img})
        answered = 0
        while not segmented.done():
            assert server.get("/health/live").status_code == 200
            answered += not segmented.done()
    assert segmented.result().status_code == 200
    assert answered >= 5


def test_unknown_routes_and_methods_are_problems(server: Server) -> None:
    for answer, status in ((server.get("/nothing"), 404), (server.get("/predict"), 405)):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
        assert "/docs" in answer.json()["detail"]


def test_log_has_one_line_a_request_and_no_content(server: Server, phantom: Phantom) -> None:
    img = as_base64(file_bytes(phantom.grey))
    _, (line,) = post_and_read_log(server, json={"img": img})
    assert " 200 " in line
    assert "scan 400x489 px" in line
    log = server.log.read_text()
    assert img[:40] not in log
    assert "Application startup complete" in log  # uvicorn's own line


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"img": "bm8gcGljdHVyZQ=="}', 422), (b"{}", 422), (b"x" * 33_000_000, 413)],
    ids=["no scan", "no img", "too large"],
)
def test_log_says_why_a_request_was_refused(server: Server, body: bytes, status: int) -> None:
    answer, (line,) = post_and_read_log(server, content=body)
    assert answer.status_code == status
    assert f" {status} " in line
    assert answer.json()["detail"] in line


def post_and_read_log(server: Server, **content: object) -> tuple[httpx.Response, list[str]]:
    """POST to `/predict`; return the answer and its lines in the log, which are written after it."""
    start = len(server.log.read_text())
    answer = server.post("/predict", **content)
    lines: list[str] = []
    deadline = time.monotonic() + 5
    while not lines and time.monotonic() < deadline:
        time.sleep(0.05)
        lines = [line for line in server.log.read_text()[start:].splitlines() if "POST /predict" in line]
    return answer, lines


@pytest.mark.skipif(not REAL_SCANS, reason="TUMOR_DATA_DIR is not set")
def test_real_patients_of_all_sizes_get_a_valid_mask_within_ten_seconds(server: Server) -> None:
    """The largest among them."""
    assert REAL_SCANS is not None
    patients = [case for case in find_cases(Path(REAL_SCANS)) if case.is_patient]
    patients.sort(key=lambda case: math.prod(Image.open(case.scan_path).size), reverse=True)
    slowest = 0.0
    for case in patients[::EVERY]:
        data = case.scan_path.read_bytes()
        started = time.monotonic()
        answer = server.post("/predict", json={"img": as_base64(data)})
        slowest = max(slowest, time.monotonic() - started)
        assert answer.status_code == 200, (case.name, answer.text)
        validate_segmentation(decode_image(data), decode_request(answer.json()["img"]))
    assert slowest < 10

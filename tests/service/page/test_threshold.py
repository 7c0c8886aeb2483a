"""What a page may have cut again: what this service gave it, some at a time, and nothing else."""

import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest

from inference.ensemble import Ensemble, Prediction
from inference.volumes.volume_scan import VolumeScan
from service.page import routes
from service.page.render import Pages, percent
from service.page.result_token import LOWEST_THRESHOLD, UNREADABLE
from service.page.rethreshold import SAME, Rethreshold
from service.page.signature import Signer
from service.page.threshold import ThresholdedScan
from tests.conftest import Server, as_base64, file_bytes, plain_settings
from tests.service.in_process import running, serving, wait_for, wait_until
from tests.service.page.answers import fields_of, findings_of, form, mask_of
from training.phantoms.drawing import Phantom


@pytest.fixture(scope="module")
def drawn(server: Server) -> str:
    """The result of a phantom, as a page has it."""
    return server.post("/ui/samples/phantom_1").text


def test_a_map_that_was_made_up_is_not_cut(server: Server, drawn: str) -> None:
    fields = fields_of(drawn)
    assert server.post("/ui/cut", files=form(fields)).status_code == 200
    points = np.zeros((512, 512), np.float32)
    points[::2, ::2] = 1
    token = json.loads(fields["token"]) | {
        "scan": as_base64(file_bytes(np.zeros(points.shape, np.uint8))),
        "probabilities": as_base64(zlib.compress(points.tobytes())),
    }
    for changes in (
        {"token": json.dumps(token)},  # 65,536 lesions, were it cut
        {"token": fields["token"].replace('"warnings":[', '"warnings":["all is well"')},
        {"token": "no JSON"},
        {"signature": fields["signature"][:-1] + ("0" if fields["signature"][-1] != "0" else "1")},
        {"signature": "ä"},
        {"signature": Signer().sign(fields["token"])},
    ):
        answer = server.post("/ui/cut", files=form(fields | changes))
        assert (answer.status_code, answer.json()["detail"]) == (422, UNREADABLE)


def test_only_a_form_of_parts_is_read(server: Server, drawn: str) -> None:
    for media_type in ("application/x-www-form-urlencoded", "application/json", "text/plain"):
        answer = server.post(
            "/ui/cut", content=urlencode(fields_of(drawn)), headers={"Content-Type": media_type}
        )
        assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
        assert "multipart/form-data" in answer.json()["detail"]


def test_a_blank_mask_can_be_seen_as_the_threshold_alone_marks_it(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "blank_below", 1.0)
    monkeypatch.setattr(ensemble, "threshold", 0.30000412)
    with serving(plain_settings(), ensemble) as client:
        wait_for(client, "ready")
        result = client.post("/ui/samples/phantom_1").text
        assert not mask_of(result).any()
        assert "left blank" in result
        fields = fields_of(result) | {"threshold": "0.300004"}
        blank, shown = (
            client.post("/ui/cut", files=form(fields | more)).text for more in ({}, {"unblank": "true"})
        )
    assert findings_of(blank)["is_blanked"]
    assert not mask_of(blank).any()
    findings = findings_of(shown)
    assert not findings["is_blanked"]
    assert findings["tumor_area_px"] == np.count_nonzero(mask_of(shown)[..., 0]) > 0
    assert findings["threshold"] == ensemble.threshold  # and not the browser's fewer digits


def test_a_threshold_is_the_models_own_only_where_that_was_meant() -> None:
    own = 0.30000412
    chosen = [own + SAME / 2, own - SAME / 2, own + 2 * SAME, 0.31, LOWEST_THRESHOLD]
    near = [Rethreshold(token="", signature="", threshold=value).threshold_near(own) for value in chosen]
    assert near == [own, own, *chosen[2:]]


def test_a_few_maps_wait_to_be_cut_and_the_next_is_told_to_come_back(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, began = threading.Event(), threading.Event()
    inside: list[int] = []
    draw_cut, draw_result = Pages.findings, Pages.result

    def hold(pages: Pages, cut_again: ThresholdedScan) -> str:
        began.set()
        assert go.wait(60)
        return draw_cut(pages, cut_again)

    def watch(pages: Pages, prediction: Prediction, volume: VolumeScan | None, by: Ensemble) -> str:
        inside.append(service.admission.inside)
        return draw_result(pages, prediction, volume, by)

    monkeypatch.setattr(Pages, "findings", hold)
    monkeypatch.setattr(Pages, "result", watch)
    monkeypatch.setattr(routes, "CUTS_WAITING", 1)
    with running(plain_settings(), ensemble) as (client, service), ThreadPoolExecutor(2) as others:
        wait_for(client, "ready")
        fields = fields_of(client.post("/ui/samples/phantom_1").text)
        assert inside == [1]  # a scan has its place until its result is drawn
        url = client.base_url.join("/ui/cut")

        def post() -> httpx.Response:
            return httpx.post(url, files=form(fields), timeout=60)

        waiting = [others.submit(post)]
        assert began.wait(60)
        waiting.append(others.submit(post))
        refused: list[httpx.Response] = []

        def is_full() -> bool:
            answer = client.post("/ui/cut", files=form({"threshold": "none"}))
            refused.append(answer)
            return answer.status_code == 503

        wait_until(is_full)
        assert "1 maps are waiting" in refused[-1].json()["detail"]
        assert refused[-1].headers["retry-after"] == "1"
        go.set()
        assert [answer.result().status_code for answer in waiting] == [200, 200]
        assert 'tumor_refused_total{reason="queue_full"} 1.0' in client.get("/metrics").text


def test_a_scan_too_large_to_be_sent_again_has_no_slider(ensemble: Ensemble, phantom: Phantom) -> None:
    prediction = ensemble.predict(phantom.grey)
    small, large = (
        Pages(plain_settings(max_body_mb=most), Signer()).result(prediction, None, ensemble)
        for most in (1, 0.01)
    )
    assert len(fields_of(small)["token"]) > 10_000
    assert 'name="threshold"' in small
    assert 'name="threshold"' not in large
    assert "token" not in fields_of(large)
    assert "too large for" in large
    assert np.array_equal(mask_of(large), prediction.mask)


@pytest.mark.parametrize(
    ("probability", "read"),
    [(0, "< 1 %"), (0.004, "< 1 %"), (0.01, "1 %"), (0.5, "50 %"), (0.99, "99 %"), (0.997, "> 99 %")],
)
def test_no_probability_is_shown_as_certain(probability: float, read: str) -> None:
    assert percent(probability) == read

"""The competition played at home: every patient to a running service, one after another."""

import asyncio
import base64
import csv
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import httpx
import numpy as np

from inference.errors import ScanError, SegmentationError
from training.scans.dataset import Case, read_case
from utils import decode_request, dice_score, validate_segmentation

LIMIT_S = 10.0
"""How long the competition's server waits for a mask."""

REFUSED = {
    "HTTP 401": "bring its key, with --url ADDRESS/predict/KEY",
    "HTTP 404": "no service of this kind is there, or it has no API_KEY and the address has a key",
}
"""Answers to the first scan after which no other is worth a try, and what to do about them."""

PERCENTILES = (50, 95, 99, 100)
TIME_OUT = "time-out"


class ServiceError(SegmentationError):
    """No service answers where it should."""


@dataclass(frozen=True)
class Answer:
    """What a service made of one patient; whatever is no valid mask in time scores nothing.

    `seconds` runs from the request to the whole answer; `error` is empty, "time-out", or says what
    was wrong.
    """

    scan: str
    dice: float
    label_px: int
    predicted_px: int
    false_positive_px: int
    seconds: float
    error: str


@dataclass(frozen=True)
class Latency:
    """Percentiles of the seconds that answers took, time-outs among them."""

    p50: float
    p95: float
    p99: float
    longest: float


def play(cases: Sequence[Case], url: str, *, limit_s: float = LIMIT_S) -> Iterator[Answer]:
    """Yield the answer to every case in turn, each POSTed once to `url`, with or without /predict.

    Raises `ServiceError` where there is nothing to connect to when the first scan is sent.
    """
    endpoint = predict_url(url)
    shown = endpoint.partition("/predict/")[0].removesuffix("/predict") + "/predict"  # without the key
    with asyncio.Runner() as runner:  # its clock cuts a whole answer off, not one read from a socket
        client = httpx.AsyncClient(timeout=None)
        try:
            for number, case in enumerate(cases):
                try:
                    answer = runner.run(_ask(client, endpoint, case, limit_s))
                    if number == 0 and answer.error in REFUSED:
                        raise ServiceError(f"{shown} answered {answer.error}: {REFUSED[answer.error]}")
                    yield answer
                except httpx.ConnectError as error:
                    if number == 0:
                        raise ServiceError(
                            f"no service answers at {shown} ({error}): start one with `uv run api.py`, "
                            "or say with --url where it is"
                        ) from None
                    yield _nothing(case, 0.0, f"no connection: {error}")
        finally:
            runner.run(client.aclose())


def predict_url(url: str) -> str:
    """Return the address of a service's `/predict`, key included; raises `ServiceError` for no address."""
    if not url.startswith(("http://", "https://")):
        raise ServiceError(f"{url} is no address: it must start with http:// or https://")
    base_url, _, key = f"{url.rstrip('/')}/".partition("/predict/")
    return f"{base_url.rstrip('/')}/predict/{key}".rstrip("/")


def latency(answers: Sequence[Answer]) -> Latency:
    """Return percentiles over all answers."""
    p50, p95, p99, longest = np.percentile([answer.seconds for answer in answers], PERCENTILES)
    return Latency(float(p50), float(p95), float(p99), float(longest))


def recorded(answers: Iterable[Answer], path: Path) -> Iterator[Answer]:
    """Pass answers on, each once its line is in the CSV: a game that is broken off leaves its lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", buffering=1) as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Answer)])
        writer.writeheader()
        for answer in answers:
            writer.writerow(asdict(answer))
            yield answer


async def _ask(client: httpx.AsyncClient, endpoint: str, case: Case, limit_s: float) -> Answer:
    request = {"img": base64.b64encode(case.scan_path.read_bytes()).decode("ascii")}
    started = time.perf_counter()
    try:
        async with asyncio.timeout(limit_s):
            response = await client.post(endpoint, json=request)
    except TimeoutError:
        return _nothing(case, limit_s, TIME_OUT)
    except httpx.ConnectError:
        raise
    except httpx.HTTPError as error:
        return _nothing(case, time.perf_counter() - started, f"{type(error).__name__}: {error}")
    return _score(case, response, time.perf_counter() - started)


def _score(case: Case, response: httpx.Response, seconds: float) -> Answer:
    scan = read_case(case)
    if response.status_code != httpx.codes.OK:
        return _nothing(case, seconds, f"HTTP {response.status_code}")
    try:
        mask = decode_request(response.json()["img"])
        validate_segmentation(scan.grey, mask)
    except (ScanError, ValueError, KeyError, TypeError, AttributeError) as error:
        return _nothing(case, seconds, f"no valid mask: {error}")
    predicted = mask[..., 0] > 0  # (H, W)
    return Answer(
        scan=case.name,
        dice=dice_score(scan.label, predicted),
        label_px=int(scan.label.sum()),
        predicted_px=int(predicted.sum()),
        false_positive_px=int((predicted & ~scan.label).sum()),
        seconds=round(seconds, 4),
        error="",
    )


def _nothing(case: Case, seconds: float, error: str) -> Answer:
    return Answer(case.name, 0.0, int(read_case(case).label.sum()), 0, 0, round(seconds, 4), error)

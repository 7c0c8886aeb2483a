"""The sample client: sends a scan to a running service, checks the answer, and saves what came back.

uv run client_test.py [SCAN] [--label LABEL] [--url URL] [--out FOLDER]
"""

import argparse
import base64
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.errors import ScanError
from inference.findings import Lesion
from inference.recognition import recognise
from inference.report.overlay import draw_overlay
from utils import decode_image, decode_request, dice_score, validate_segmentation

HERE = Path(__file__).parent
SAMPLE = HERE / "samples" / "phantom_1.png"
SAMPLE_LABEL = HERE / "samples" / "phantom_1_label.png"
DEFAULT_URL = "http://127.0.0.1:9051"
TIMEOUT_S = 60


class ClientError(Exception):
    """The scan could not be sent, or the answer is not as it should be."""


def main(arguments: list[str] | None = None) -> int:
    """Send one scan; returns the exit status, 0 where a valid mask came back."""
    options = _parse(arguments)
    try:
        _run(options)
    except (ClientError, ScanError, OSError) as error:
        print(f"client_test: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    data, scan = _read(options.scan)
    label = _read(options.label)[1] if options.label is not None else None
    if label is not None and label.shape != scan.shape:
        raise ClientError(f"the label is {label.shape[:2]}, but the scan is {scan.shape[:2]} (height, width)")
    request = {"img": base64.b64encode(data).decode("ascii")}
    started = time.perf_counter()
    valid = _valid_mask(_post(options.url, "predict", request), scan)
    elapsed = time.perf_counter() - started
    findings = _post(options.url, "analyze", request)
    mask = _valid_mask(findings, scan)
    _save(scan, mask, findings["lesions"], options)
    print(f"answered in {elapsed:.2f} s")
    for warning in findings["warnings"]:
        print(f"warning: {warning}")
    if not np.array_equal(valid, mask):
        print("warning: /predict and /analyze gave different masks, as where time was short for all views")
    print(_sentence(findings))
    for lesion in findings["lesions"]:
        x, y = lesion["centroid_xy"]
        print(
            f"  lesion {lesion['id']}: {lesion['area_px']} px around ({x:.0f}, {y:.0f}), "
            f"mean probability {lesion['mean_probability']:.2f}"
        )
    if label is not None:
        print(f"Dice {dice_score(label[..., 0], mask[..., 0]):.3f}")


def _valid_mask(answer: dict[str, Any], scan: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    mask = decode_request(answer["img"])
    try:
        validate_segmentation(scan, mask)
    except ValueError as error:
        raise ClientError(f"the service's mask is not valid: {error}") from None
    return mask


def _read(path: Path) -> tuple[bytes, npt.NDArray[np.uint8]]:
    try:
        data = path.read_bytes()
        return data, decode_image(data)
    except (OSError, ScanError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ClientError(f"{path} cannot be read: {reason}") from None


def _sentence(findings: dict[str, Any]) -> str:
    verdict = "tumour" if findings["tumor_detected"] else "no tumour"
    count = len(findings["lesions"])
    return (
        f"{verdict} (probability {findings['tumor_probability']:.2f}), "
        f"{count} lesion{'' if count == 1 else 's'}, {findings['tumor_fraction']:.2%} of the scan"
    )


def _save(
    scan: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.uint8],
    lesions: list[dict[str, Any]],
    options: argparse.Namespace,
) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    overlay = draw_overlay(recognise(scan).scan, mask, [Lesion.model_validate(lesion) for lesion in lesions])
    for kind, picture in (("mask", mask), ("overlay", overlay)):
        path = options.out / f"{options.scan.stem}_{kind}.png"
        Image.fromarray(picture).save(path)
        print(f"{kind}: {path}")


def _post(address: str, route: str, content: dict[str, str]) -> dict[str, Any]:
    """POST to a route of the service whose address may end in /predict, or in /predict and a key."""
    if not address.startswith(("http://", "https://")):
        raise ClientError(f"{address} is no address: it must start with http:// or https://")
    base_url, _, key = f"{address.rstrip('/')}/".partition("/predict/")
    url = f"{base_url.rstrip('/')}/{route}"  # without the key, which no message may show
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/{key}".rstrip("/"), json.dumps(content).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        raise ClientError(f"{url} answered {error.code}: {_detail(error.read())}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ClientError(
            f"no service answers at {url} ({reason}): start one with `uv run api.py`, "
            "or say with --url where it is"
        ) from None
    except (ValueError, http.client.HTTPException):
        body = None
    if not isinstance(body, dict) or "img" not in body:
        raise ClientError(f"{url} did not answer with a mask: is it a tumour segmentation service?")
    return body


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return "no detail"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Send a scan to a running service and save mask and overlay."
    )
    parser.add_argument("scan", nargs="?", type=Path, help="a PNG or JPEG scan; by default a sample phantom")
    parser.add_argument("--label", type=Path, help="its label, to print the Dice score")
    parser.add_argument("--url", default=DEFAULT_URL, help=f"the service's address; by default {DEFAULT_URL}")
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="where pictures go; by default results/"
    )
    options = parser.parse_args(arguments)
    if options.scan is None:
        options.scan, options.label = SAMPLE, options.label or SAMPLE_LABEL
    return options


if __name__ == "__main__":
    sys.exit(main())

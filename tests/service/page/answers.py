"""What the page's answers hold: what a slider sends, and what can be downloaded."""

import base64
import html
import json
import re
from typing import Any

from inference.findings import Mask
from utils import decode_image


def fields_of(result: str) -> dict[str, str]:
    """Return what the slider of a result sends."""
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', result)
    return {name: html.unescape(value) for name, value in hidden} | {"threshold": "0.5"}


def form(fields: dict[str, str]) -> dict[str, tuple[None, str]]:
    return {name: (None, value) for name, value in fields.items()}


def names_of(result: str) -> list[str]:
    """Return the names of all that can be downloaded, without the scan's."""
    return re.findall(r'download="([^"]+)"', result)


def download_of(result: str, name: str) -> bytes:
    found = re.search(rf'download="{name}"[^>]* href="data:[^,"]+;base64,([^"]+)"', result)
    assert found is not None, name
    return base64.b64decode(found[1])


def mask_of(result: str) -> Mask:
    return decode_image(download_of(result, "mask.png"))


def findings_of(result: str) -> dict[str, Any]:
    findings: dict[str, Any] = json.loads(download_of(result, "findings.json"))
    return findings

"""Nothing that a sender writes stands in the log as he wrote it, and nobody fills it."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from pydicom import Dataset

from service.operation.flood import FREE_LINES, Flood
from service.operation.logs import MOST_CHARACTERS, redact
from tests.conftest import Server, start_server, stop_server
from tests.inference.volumes.conftest import zip_folder
from training.phantoms.volume_files import write_series
from training.phantoms.volumes import make_volume

KEY = "a-Key.of_the~competition"
FORGED = "\n2026-01-01 00:00:00.000 ERROR   forged \x1b[31m\u202e"
NAME = "Doe^John"
REFUSED = 300
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Z]+ +\S.*")

BREAKS_AT_A_NAME = f"""
import sys, warnings
import api
from service.scan_content import ScanContent
decode = ScanContent.decode
def fail(content):
    if content.data.startswith(b"{NAME}"):
        warnings.warn(content.data.decode())
        try:
            int(content.data)
        except ValueError as error:
            raise RuntimeError(content.data.decode()) from error
    return decode(content)
ScanContent.decode = fail
sys.exit(api.main())
"""


def ask(server: Server, path: str, **content: object) -> httpx.Response:
    headers = {"X-API-Key": KEY} | dict(content.pop("headers", {}))  # type: ignore[call-overload]
    answer = server.post(path, headers=headers, **content)
    assert KEY.lower() not in (answer.text + str(answer.headers)).lower()
    return answer


def attack(server: Server, folder: Path) -> None:
    """Send what a sender could want to read in the log."""

    def with_forged_units(_: int, image: Dataset) -> Dataset:
        image.Units, image.Modality = "BQ\x1b[2J", "PT"
        return image

    write_series(make_volume(shape=(8, 20, 24)), folder / "series", with_forged_units)
    zip_folder(folder / "series", folder / "series.zip")
    volume = (folder / "series.zip").read_bytes()
    assert r"in 'BQ\\x1b[2J'" in ask(server, "/analyze", files={"file": ("a.zip", volume)}).text
    array = {"file": ("a.npy", b"\x93NUMPY")}
    for text in (FORGED[:14], FORGED, KEY, KEY.upper(), "x" * 14_000):
        for query in (f"spacing={quote(text)}", f"orientation={quote(text)}", f"suv_max={quote(text)}"):
            assert ask(server, f"/analyze?{query}", files=array).status_code == 422
    spelt = "".join(f"%{ord(letter):02X}" for letter in KEY)
    for path in (f"/predict?key={KEY}", f"/{spelt}", f"/predict/{spelt}", f"/analyze/{KEY.upper()}"):
        ask(server, path, content=b"no scan", headers={"X-Request-ID": KEY})
    for request_id in (KEY, KEY.upper(), f"x-{KEY}"[:64], FORGED.strip()[:20]):
        answer = ask(server, "/nothing", headers={"X-Request-ID": request_id.encode("utf-8")})
        assert answer.headers["x-request-id"] != request_id
    picture = {"Content-Type": "image/png"}
    assert ask(server, "/predict", content=f"{NAME}{FORGED}".encode(), headers=picture).status_code == 500
    with httpx.Client(base_url=server.url) as client:
        for _ in range(REFUSED):
            assert client.post("/predict", content=b"no scan").status_code == 401


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_sender_writes_no_line_of_the_log_and_none_of_his_own_text(log_format: str, tmp_path: Path) -> None:
    with (tmp_path / "console").open("wb") as console:
        server = start_server(
            tmp_path,
            "-c",
            BREAKS_AT_A_NAME,
            stderr=console,
            API_KEY=KEY,
            LOG_FORMAT=log_format,
            LOG_LEVEL="TRACE",
        )
        try:
            attack(server, tmp_path)
        finally:
            stop_server(server)
    text = server.log.read_text()
    assert (tmp_path / "console").read_text() == text
    assert redact([KEY], text) == text
    for of_a_sender in (NAME, "forged \x1b", "\x1b", "\u202e", "xxxxxxxxxxxxxxxx"):
        assert of_a_sender not in text
        assert json.dumps(of_a_sender)[1:-1] not in text
    lines = text.splitlines()
    if log_format == "json":
        entries = [json.loads(line) for line in lines]
        messages = [entry["message"] for entry in entries]
        (trace,) = [entry["exception"] for entry in entries if "exception" in entry]
        assert not {"kind", "passes", "line"} & {name for entry in entries for name in entry}
    else:
        trace = text[text.index("Traceback") :]
        trace = "\n".join(line for line in trace.splitlines() if not LINE.fullmatch(line))
        messages = [line for line in lines if LINE.fullmatch(line)]
        assert set(lines) - set(messages) == set(trace.splitlines())
    assert "builtins.ValueError" in trace
    assert trace.endswith("builtins.RuntimeError")
    assert "in fail" in trace
    assert any("UserWarning in " in message for message in messages)
    assert any(r"'\n2026-01-01 00'" in message for message in messages)  # marked, and escaped
    assert max(map(len, messages)) < MOST_CHARACTERS
    (told,) = [message for message in messages if "such lines" in message and "/predict 401" in message]
    assert f"… and {REFUSED - FREE_LINES:,} more such lines" in told
    assert sum("/predict 401" in message for message in messages) == FREE_LINES + 1


def test_keys_are_found_in_every_spelling() -> None:
    spelt = "".join(f"%{ord(letter):02x}" for letter in KEY)
    basic = base64.b64encode(f"x:{KEY}".encode()).decode()
    mixed = KEY[:5] + spelt[15:]
    for spelling in (KEY, KEY.upper(), KEY.lower(), spelt, spelt.upper(), mixed, KEY.replace(".", "%2E")):
        assert redact([KEY], f"<{spelling}>") == "<[key]>"
    assert redact([KEY], "aKey-of-the-competition") == "aKey-of-the-competition"
    assert redact([KEY], basic) == basic  # no log has a header


def test_a_flood_is_summed_up_when_it_has_lasted_long_enough() -> None:
    told: list[tuple[str, str]] = []
    now = 0.0
    flood = Flood(lambda *line: told.append(line), free_lines=3, window_s=60, clock=lambda: now)
    assert [flood.passes(("GET", 404), "INFO") for _ in range(4_215)] == [True] * 3 + [False] * 4_212
    assert flood.passes("another", "INFO")
    assert told == []
    now = 30.0
    flood.end()
    assert told == [("INFO", "… and 4,212 more such lines within 30 s: GET 404")]
    assert flood.passes(("GET", 404), "INFO")
    now = 100.0  # a few lines in every minute are no flood
    assert [flood.passes(("GET", 404), "INFO") for _ in range(3)] == [True] * 3
    flood.end()
    assert len(told) == 1

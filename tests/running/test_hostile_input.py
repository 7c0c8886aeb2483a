"""Real headers with a few bytes of others, over every reader and every header of a request: nothing is a 5xx.

`TUMOR_TEST_EXAMPLES=20000` makes of each kind as many as that; CI has time for a tenth of it.
"""

import gzip
import io
import logging
import os
import resource
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import nibabel
import numpy as np
import psutil
import pytest
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import UploadFile

from inference.errors import ScanError
from inference.volumes.options import VolumeOptions
from service.scan_content import Content, ScanContent, SeriesContent, VolumeContent
from tests.conftest import Server, start_server, stop_server
from tests.running.hostile import KINDS, HostileFile, HostileFiles, make_request

LOG = logging.getLogger(__name__)

EXAMPLES = int(os.environ.get("TUMOR_TEST_EXAMPLES", "2000"))
SENT_ONE_OF = 20
"""So many of the files that are refused are sent too: one of these."""

LONGEST_S = 5.0
MOST_GROWTH_BYTES = 400_000_000
KEY = "a-key-that-strangers-lack"
SEED = 1_000_003


def npy(header: str, version: int = 1) -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


def cut_nifti() -> bytes:
    """Return a compressed NIfTI file that ends before the place where its header says that values begin."""
    image = nibabel.Nifti1Image(np.zeros((40, 40, 40), np.float32), np.diag([8.0, 8.0, 8.0, 1.0]))
    data = bytearray(image.to_bytes())
    struct.pack_into("<f", data, 108, 100_000.0)  # vox_offset
    return gzip.compress(bytes(data[:352]) + Random(0).randbytes(200_000))[:20_000]


ARRAYS = {
    "signs": npy("-" * 9000 + "1"),
    "signs in version 2": npy("-" * 9000 + "1", 2),
    "open brackets": npy("(" * 9000),
    "no type": npy("{'descr': (), 'fortran_order': False, 'shape': (40, 40, 40)}"),
    "half a type": npy("{'descr': ('<f4',), 'fortran_order': False, 'shape': (40, 40, 40)}"),
    "a key that is a list": npy("{[]: 1}"),
    "keys of two kinds": npy("{1: 1, 'a': 2}"),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with a key, which some of the requests bring."""
    running = start_server(
        tmp_path_factory.mktemp("hostile"),
        API_KEY=KEY,
        CORS_ORIGINS="https://viewer.example",
        BODY_TIMEOUT_S=2,
        LOG_LEVEL="TRACE",
    )
    yield running
    stop_server(running)


@pytest.mark.parametrize("data", ARRAYS.values(), ids=ARRAYS.keys())
def test_an_array_whose_header_breaks_pythons_parser_is_unreadable(server: Server, data: bytes) -> None:
    answer = server.post("/analyze", files={"file": ("a.npy", data)})
    assert (answer.status_code, answer.json().get("fault")) == (422, "unreadable"), answer.text


def test_a_cut_nifti_file_whose_values_lie_behind_its_end_is_unreadable(server: Server) -> None:
    answer = server.post("/analyze", files={"file": ("a.nii.gz", cut_nifti())})
    assert (answer.status_code, answer.json().get("fault")) == (422, "unreadable"), answer.text


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "rot13", "\xe9", "utf-16", '"'])
@pytest.mark.parametrize("path", ["/predict", "/analyze", "/ui/cut"])
def test_a_form_is_utf_8_whatever_charset_it_names(server: Server, path: str, charset: str) -> None:
    def send(parameters: str) -> tuple[int, str]:
        content_type = f"multipart/form-data; boundary=x{parameters}".encode("latin-1")
        body = b'--x\r\nContent-Disposition: form-data; name="\xc3\xa9"\r\n\r\nt\xc3\xa9xt\r\n--x--\r\n'
        answer = server.post(path, content=body, headers={b"Content-Type": content_type})
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code, answer.json()["detail"]

    status, detail = send("")
    assert status == 422
    assert send(f"; charset={charset}") == (status, detail)


def content_of(file: HostileFile) -> Content:
    """Return a file as `/analyze` takes it."""
    if len(file.parts) > 1:
        files = [UploadFile(io.BytesIO(part), size=len(part)) for part in file.parts]
        return SeriesContent(files, VolumeOptions())
    if file.name.endswith((".png", ".jpeg")):
        return ScanContent(file.parts[0], is_picture=True)
    return VolumeContent(io.BytesIO(file.parts[0]), file.name[file.name.index(".") :], VolumeOptions())


def test_whatever_a_files_header_says_it_is_read_or_refused(guarded: Server, tmp_path: Path) -> None:
    files, kinds = HostileFiles(tmp_path), Counter[str]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(EXAMPLES):
        file = files.make(number)
        began = time.monotonic()
        try:
            content_of(file).decode()
            kinds["read"] += 1
            continue
        except (ScanError, RequestValidationError):
            kinds[file.name] += 1
        except BaseException as error:
            error.add_note(f"number {number}, {file.name}")
            raise
        assert time.monotonic() - began < LONGEST_S, number
        if number // len(KINDS) % SENT_ONE_OF == 0:
            sent = [("file", (file.name, part)) for part in file.parts]
            answer = guarded.post("/analyze", files=sent, headers={"X-API-Key": KEY})
            assert answer.status_code in (413, 422), (number, answer.text)
            kinds["sent"] += 1
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    LOG.info("%d files: %s, %.0f MB more memory", EXAMPLES, dict(kinds), grown / 1e6)
    refused = {name for name in kinds if "." in name}
    assert refused == {"scan.png", "scan.jpeg", "a.nii", "a.nii.gz", "a.npy", "a.zip", "slice.dcm"}
    assert kinds["read"] > EXAMPLES / 20, "the files are too bad to come far"
    assert grown < MOST_GROWTH_BYTES


def test_whatever_a_requests_header_says_it_is_answered_and_not_by_a_fault(guarded: Server) -> None:
    statuses, slowest = Counter[int](), 0.0
    process = psutil.Process(guarded.process.pid)
    before = process.memory_info().rss
    port = int(guarded.url.rpartition(":")[2])
    for number in range(SEED, SEED + EXAMPLES):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=LONGEST_S) as sock:
            sock.sendall(make_request(number, KEY))
            answer = b""
            while b"\r\n" not in answer:
                received = sock.recv(65536)
                assert received, f"no answer to number {number}"
                answer += received
        slowest = max(slowest, time.monotonic() - began)
        status = int(answer.split(b" ", 2)[1])
        statuses[status] += 1
        assert status < 500, (number, answer)
    grown = process.memory_info().rss - before
    LOG.info("%d requests: %s, slowest %.1f s, %.0f MB more", EXAMPLES, dict(statuses), slowest, grown / 1e6)
    assert statuses.keys() >= {200, 400, 401, 405, 422}
    assert slowest < LONGEST_S
    assert grown < MOST_GROWTH_BYTES
    log = guarded.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") :][:4000]

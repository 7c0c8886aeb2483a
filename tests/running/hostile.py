"""Inputs that nobody means well with: real files and real requests, of which a few bytes are others.

Each is made of a number alone, so that one that does harm can be made again.
"""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from tests.conftest import file_bytes
from training.phantoms.volume_files import write_array, write_nifti, write_series
from training.phantoms.volumes import make_volume

NIFTI_HEADER_BYTES = 352
DICOM_PREAMBLE_BYTES = 132
PIXEL_DATA = b"\xe0\x7f\x10\x00"
LONG_VRS = (b"OB", b"OW", b"SQ", b"UN", b"UT")
VRS = (*LONG_VRS, b"AT", b"DA", b"DS", b"FD", b"IS", b"LO", b"PN", b"TM", b"UI", b"US", b"??")
UNKNOWN_LENGTH = 0xFFFFFFFF

NUMBERS = (0, 1, -1, 2**31 - 1, 2**40, -(2**63), 10**30)
FLOATS = (0.0, -1.0, 1e-320, 1e300, float("inf"), float("nan"))
TEXTS = (
    *(b"", b"\0", b"-1", b"0", b"nan", b"1e400", b"1e-320", b"9" * 400, b"\\" * 50, b"a\\b\\c", b"2\\2"),
    *(b"Doe^John", b"\x1b[31m\nforged", b"\xff\xfe", b"99991231235959", b"00010101", b"ISO 2022 IR 87"),
)
"""What a header's field may hold in the place of its value."""

DTYPES = ("'<f4'", "'>i2'", "'<f2'", "'|O'", "'<M8[ns]'", "()", "('<f4',)", "('<f4',(2,2))", "[('a','<f4')]")
WORDS = (*DTYPES, *"()[]{}-:,'", "None", "True", "0", "8", "-8", "1e9", "9" * 300, "'descr'", "'shape'")
"""What the header of a NumPy array may be made of."""

REQUEST_HEADERS = (
    *("Accept", "Accept-Encoding", "Access-Control-Request-Headers", "Access-Control-Request-Method"),
    *("Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie"),
    *("Expect", "Forwarded", "Host", "If-Modified-Since", "If-None-Match", "If-Range", "Origin"),
    *("Range", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "TE"),
    *("Transfer-Encoding", "Upgrade", "User-Agent", "X-API-Key", "X-Forwarded-For"),
    *("X-Forwarded-Proto", "X-Request-ID"),
)
VALUES = (
    *(b"", b"\xff", b"\xe9" * 9, b"a" * 9000, b"\x1b[2J", b"%00%0d%0a", b'"', b"=?utf-8?q?=00?=", b"\t"),
    *(b"Basic \xff", b"Basic ====", b"Basic YTpi", b"Bearer", b"Bearer \xe9", b"bytes=0-", b"bytes=-1,-1,-1"),
    *(b"bytes=" + b"0-1," * 500, b"bytes=9-1", b"application/json; charset=utf-7", b"multipart/form-data"),
    *(b"multipart/form-data; boundary=x; charset=undefined", b"multipart/form-data; boundary*=utf-8''x"),
    *(b"multipart/form-data; boundary=" + b"x" * 300, b'multipart/form-data; boundary="', b"text/html"),
    *(b"multipart/form-data; boundary=x; charset=idna", b"multipart/form-data; boundary=\xe9", b"image/png"),
    *(b"0", b"-1", b"2", b"9" * 30, b"1e3", b"chunked", b"gzip, chunked", b"websocket", b"100-continue"),
    *(b"null", b"http://[", b"http://evil.example", b"cross-site", b"[::1", b"[::1]:x", b"a:b:c", b'W/"x"'),
    *(b"close", b"keep-alive, upgrade", b"*/*;q=x", b"Thu, 99 Foo 99999 99:99:99 GMT", b"a" * 64, b"{}"),
)
PATHS = (
    *("/", "/predict", "/analyze", "/predict/key", "/predict/", "/ui", "/ui/", "/ui/segment"),
    *("/ui/cut", "/metrics", "/api", "/ui/assets/page.js", "/ui/samples/phantom_1", "/docs"),
    *("/openapi.json", "/health/ready", "//", "/%ff/%00"),
)
QUERIES = (
    *("", "?", "?spacing=4,2,2", "?spacing=%0a%1b[31m", "?orientation=%ff", "?orientation=" + "S" * 3000),
    *("?suv_max=nan", "?suv_max=1e400", "?uncertainty=%00", "?spacing=nan,inf,1", "?orientation=%C4%B0PL"),
)


@dataclass(frozen=True)
class HostileFile:
    """A file's name and bytes, or those of several files, which are the slices of a series."""

    name: str
    parts: tuple[bytes, ...]


class HostileFiles:
    """Files of every kind that is read, with other headers than they should have."""

    def __init__(self, folder: Path) -> None:
        volume = make_volume(shape=(3, 34, 34), spacing_mm=(80.0, 8.0, 8.0))
        write_nifti(volume, folder / "volume.nii")
        write_array(volume, folder / "volume.npy")
        write_series(volume, folder / "series")
        self._nifti = (folder / "volume.nii").read_bytes()
        self._array = (folder / "volume.npy").read_bytes()
        self._slices = [path.read_bytes() for path in sorted((folder / "series").iterdir())]
        grey = Random(0).randbytes(40 * 40)
        self._pictures = [
            (f"scan.{kind.lower()}", file_bytes(np.frombuffer(grey, np.uint8).reshape(40, 40), kind))
            for kind in ("PNG", "JPEG")
        ]

    def make(self, number: int) -> HostileFile:
        """Return the file of a number."""
        chance = Random(number)
        return KINDS[number % len(KINDS)](self, chance)

    def picture(self, chance: Random) -> HostileFile:
        name, data = chance.choice(self._pictures)
        return HostileFile(name, (other_bytes(chance, data, 0, len(data)),))

    def nifti(self, chance: Random) -> HostileFile:
        data = bytearray(self._nifti)
        for _ in range(chance.randint(1, 5)):
            kind = chance.choice("bhifd")
            size = struct.calcsize(kind)
            value = chance.choice(FLOATS) if kind in "fd" else chance.randint(-128, 127)
            at = chance.randrange(0, NIFTI_HEADER_BYTES - size)
            data[at : at + size] = _packed(kind, value)
        if chance.random() < 0.3:
            packed = gzip.compress(bytes(data), 1)
            return HostileFile("a.nii.gz", (other_bytes(chance, packed, 0, len(packed), most=1),))
        return HostileFile("a.nii", (bytes(data),))

    def array(self, chance: Random) -> HostileFile:
        if chance.random() < 0.3:
            return HostileFile("a.npy", (other_bytes(chance, self._array, 0, 128),))
        descr, shape = chance.choice(DTYPES), chance.choices((*NUMBERS[:4], 8, 40), k=chance.randint(0, 4))
        header = f"{{'descr': {descr}, 'fortran_order': {chance.choice(WORDS)}, 'shape': {tuple(shape)}}}"
        if chance.random() < 0.5:
            header = "".join(chance.choices(WORDS, k=chance.randint(1, 20))) * chance.choice((1, 1, 500))
        text = header.encode("latin-1")[:60_000] + b"\n"
        major = chance.choice((1, 2, 3, 9))
        length = struct.pack("<H" if major == 1 else "<I", len(text))
        return HostileFile("a.npy", (b"\x93NUMPY" + bytes((major, 0)) + length + text + bytes(1000),))

    def series(self, chance: Random) -> HostileFile:
        alike = chance.getrandbits(32) if chance.random() < 0.5 else None
        parts = [
            other_fields(chance if alike is None else Random(alike), part)
            if alike is not None or chance.random() < 0.6
            else part
            for part in self._slices
        ]
        return HostileFile("slice.dcm", tuple(parts))

    def zipped_series(self, chance: Random) -> HostileFile:
        return HostileFile("a.zip", (_zipped(self.series(chance).parts),))

    def zip(self, chance: Random) -> HostileFile:
        data = _zipped(tuple(self._slices))
        directory = data.index(b"PK\x01\x02")
        return HostileFile("a.zip", (other_bytes(chance, data, directory, len(data)),))


KINDS: tuple[Callable[[HostileFiles, Random], HostileFile], ...] = (
    *(HostileFiles.picture, HostileFiles.nifti, HostileFiles.array),
    *(HostileFiles.series, HostileFiles.zipped_series, HostileFiles.zip),
)


def other_bytes(chance: Random, data: bytes, begin: int, end: int, most: int = 6) -> bytes:
    """Return data some of whose bytes between two places are others, lost, there twice, or the last ones."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, most)):
        at = chance.randrange(begin, max(begin + 1, min(end, len(changed))))
        count = chance.choice((1, 2, 4, 8))
        how = chance.randrange(5)
        if how == 0:
            changed[at : at + count] = chance.randbytes(count)
        elif how == 1:
            changed[at : at + count] = chance.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * count
        elif how == 2:
            del changed[at : at + count]
        elif how == 3:
            changed[at:at] = changed[at : at + count]
        elif chance.random() < 0.3:
            del changed[max(at, 1) :]
    return bytes(changed)


def other_fields(chance: Random, image: bytes) -> bytes:
    """Return a DICOM file some of whose fields have other values, kinds or lengths."""
    changed = bytearray(image)
    for _ in range(chance.randint(1, 3)):
        end = changed.rfind(PIXEL_DATA)
        fields = _fields(changed, end)
        if not fields or chance.random() < 0.3:
            changed = bytearray(other_bytes(chance, bytes(changed), DICOM_PREAMBLE_BYTES, end, most=1))
            continue
        at, header_bytes, length = chance.choice(fields)
        if header_bytes == 8 and length < end:
            value = chance.choice(TEXTS)
            value += b" " * (len(value) % 2)
            changed[at + 6 : at + 8 + length] = struct.pack("<H", len(value)) + value
            if chance.random() < 0.3:
                changed[at + 4 : at + 6] = chance.choice(VRS)
        elif length < end:
            changed[at + 8 : at + 12] = chance.choice((b"\xff" * 4, b"\0" * 4, struct.pack("<I", length + 1)))
    return bytes(changed)


def _fields(image: bytearray, end: int) -> list[tuple[int, int, int]]:
    """Return of each field before the pixels where it begins, and the bytes before its value and of it."""
    fields, at = [], DICOM_PREAMBLE_BYTES
    while at < end - 12:
        is_long = bytes(image[at + 4 : at + 6]) in LONG_VRS
        header_bytes = 12 if is_long else 8
        length = int.from_bytes(image[at + 8 : at + 12] if is_long else image[at + 6 : at + 8], "little")
        fields.append((at, header_bytes, length))
        inside = is_long and bytes(image[at + 4 : at + 6]) == b"SQ"
        at += header_bytes + (8 if inside else 0 if length == UNKNOWN_LENGTH else length)
    return fields


def _packed(kind: str, value: float) -> bytes:
    try:
        return struct.pack(f"<{kind}", value)
    except OverflowError:  # 1e300 is no float32
        return struct.pack(f"<{kind}", 3e38)


def _zipped(parts: tuple[bytes, ...]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, part in enumerate(parts):
            archive.writestr(f"{number}.dcm", part)
    return buffer.getvalue()


def make_request(number: int, key: str) -> bytes:
    """Return the request of a number, whose header is not as it should be; most bring the key."""
    chance = Random(number)
    method = chance.choice(("GET", "GET", "POST", "POST", "POST", "HEAD", "OPTIONS", "PUT", "X-ODD"))
    lines = [f"{method} {chance.choice(PATHS)}{chance.choice(QUERIES)} HTTP/1.1".encode("latin-1")]
    if chance.random() < 0.9:
        lines.append(b"Host: 127.0.0.1")
    if chance.random() < 0.7:
        lines.append(f"X-API-Key: {key}".encode())
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff"\r\n\r\nno scan\r\n--x--\r\n'
    lines.append(b"Content-Length: %d" % len(body))
    for name in chance.sample(REQUEST_HEADERS, chance.randint(1, 4)):
        value = chance.choice(VALUES)
        if chance.random() < 0.3:
            value = other_bytes(chance, value or b"x", 0, len(value)).replace(b"\n", b"").replace(b"\r", b"")
        lines.append(name.encode() + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

"""DICOM files of another form than most: deflated, or without the preamble; both are given the usual one.

Source: DICOM PS3.10 7.1 (preamble and file meta information), PS3.5 A.5 (deflated explicit VR).
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from inference.volumes.archive import MAX_FILE_BYTES, Opener
from inference.volumes.errors import VolumeError

MAGIC_AT, MAGIC = 128, b"DICM"
HEAD_BYTES = 1024
IMPLICIT, EXPLICIT, DEFLATED = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.1.99"
META_GROUP, FIRST_GROUP = 2, 8
VR_OF_BEGINNING = (b"UL", b"UI", b"CS", b"DA", b"TM", b"OB", b"SH", b"LO", b"DT")
LONGEST_FIRST_VALUE = 256


def is_dicom(head: bytes) -> bool:
    """Say whether a file that begins so is one of DICOM, with or without a preamble."""
    return head[MAGIC_AT : MAGIC_AT + 4] == MAGIC or _begins_with_dataset(head)


def in_usual_form(opener: Opener) -> Opener:
    """Return what opens a file in the usual form, which most files have: these are not read for it.

    What it opens raises `VolumeError` where a deflated file is larger than any that is read, and
    `zlib.error` or `EOFError` where it is damaged.
    """

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with opener() as file:
            head = file.read(HEAD_BYTES)
            if head[MAGIC_AT : MAGIC_AT + 4] == MAGIC and DEFLATED not in head:
                file.seek(0)
                yield file
            elif head[MAGIC_AT : MAGIC_AT + 4] == MAGIC:
                yield io.BytesIO(_inflated(head + file.read()))
            elif _begins_with_dataset(head):
                yield io.BytesIO(_preamble(head) + head + file.read())
            else:
                file.seek(0)
                yield file

    return opened


def _begins_with_dataset(head: bytes) -> bool:
    """Say whether a file begins with the first element of file meta information, or of a dataset."""
    if len(head) < 12:
        return False
    group, element, length = struct.unpack_from("<HHL", head)
    if group not in (META_GROUP, FIRST_GROUP) or element > 0x20:
        return False
    return head[4:6] in VR_OF_BEGINNING or (group == FIRST_GROUP and 0 < length <= LONGEST_FIRST_VALUE)


def _preamble(head: bytes) -> bytes:
    """Return what is missing before a file that begins so: with its syntax, where it does not name that."""
    start = bytes(MAGIC_AT) + MAGIC
    if int.from_bytes(head[:2], "little") == META_GROUP:
        return start
    syntax = EXPLICIT + b"\0" if head[4:6] in VR_OF_BEGINNING else IMPLICIT + b"\0"
    named = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax
    return start + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(named)) + named


def _inflated(data: bytes) -> bytes:
    """Return a deflated file as an explicit one, no larger than files may be."""
    begins = MAGIC_AT + 4
    if data[begins : begins + 4] != b"\2\0\0\0":
        raise EOFError("there is no length of the meta information")
    begins += 12 + int.from_bytes(data[begins + 8 : begins + 12], "little")
    if begins > len(data):
        raise EOFError("the meta information is cut short")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    dataset = inflater.decompress(data[begins:], MAX_FILE_BYTES)
    if inflater.unconsumed_tail:
        raise VolumeError(
            "too_large", f"a deflated file has more than {MAX_FILE_BYTES / 1e6:.0f} MB when it is inflated"
        )
    if not inflater.eof:
        raise EOFError("the deflated dataset is cut short")
    return data[:begins].replace(DEFLATED, EXPLICIT.ljust(len(DEFLATED), b"\0"), 1) + dataset

"""How a scan comes: as JSON with `img`, as a form with `file`, or as a picture and nothing else.

A form's file may be a volume, where the route takes them, and its files the slices of a DICOM series.
"""

import codecs
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from inference.volumes.options import VolumeOptions
from inference.volumes.reading import is_volume, scan_of_file, scan_of_series
from inference.volumes.volume_scan import VolumeScan
from service.forms import FORM, media_type, read_form
from service.limits.body_limit import too_large
from service.messages import TumorPredictRequestDto
from service.problems import Refusal
from utils import JPEG_SIGNATURE, PNG_SIGNATURE, Scan, decode_image, decode_request

PICTURES = ("image/png", "image/jpeg", "image/jpg", "application/octet-stream")
READ_AS_JSON = ("", "application/x-www-form-urlencoded")
"""`curl -d` names a form that it does not send, and many a client names nothing. A picture is told from JSON
by its first bytes."""

MOST_SLICES = 2000
"""So many files a form may have. A part takes a kilobyte of memory, however small it is."""

FIELD_BYTES = 1 << 20
"""What a form's one field may have that is no file, and is not looked at."""


@dataclass(frozen=True)
class ScanContent:
    """A request's scan as it came: the bytes of a picture's file, or JSON."""

    data: bytes
    is_picture: bool

    def decode(self) -> Scan:
        """Return the scan (H, W, 3) uint8; raises `ScanError` or `RequestValidationError`."""
        if self.is_picture:
            return decode_image(self.data)
        try:
            body = TumorPredictRequestDto.model_validate_json(self.data.removeprefix(codecs.BOM_UTF8))
        except ValidationError as error:
            faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
            raise RequestValidationError(faults) from None
        return decode_request(body.img)


@dataclass(frozen=True)
class VolumeContent:
    """A request's volume as it came: a file in memory, and the ending that says what it is."""

    file: BinaryIO
    ending: str
    options: VolumeOptions

    def decode(self) -> VolumeScan:
        """Read and project the volume; raises `ScanError`."""
        with self.file:
            return scan_of_file(self.file, self.ending, self.options)


@dataclass(frozen=True)
class SeriesContent:
    """A request's DICOM series as it came: files in memory, in no order."""

    files: list[UploadFile]
    options: VolumeOptions

    def decode(self) -> VolumeScan:
        """Read and project the series; raises `ScanError`."""
        with ExitStack() as opened:
            files = [(opened.enter_context(file.file), file.size or 0) for file in self.files]
            return scan_of_series(files, self.options)


Content = ScanContent | VolumeContent | SeriesContent


async def read_volume_content(
    request: Request, options: VolumeOptions, *, max_bytes: int, max_volume_bytes: int
) -> Content:
    """Read a request's body as `read_content` does, or as a volume where a form's file is named as one.

    Several files are the slices of a DICOM series, whatever their names.
    Raises `Refusal` with 413 where a file that is no volume is larger than `max_bytes`.
    """
    if media_type(request) != FORM:
        return await read_content(request, max_bytes)
    files = await _read_files(request, max_volume_bytes, most=MOST_SLICES)
    if len(files) > 1:
        return SeriesContent(files, options)
    (file,) = files
    name = (file.filename or "").lower()
    if is_volume(name):
        ending = ".nii.gz" if name.endswith(".nii.gz") else name[name.rfind(".") :]
        return VolumeContent(file.file, ending, options)
    if (file.size or 0) > max_bytes:
        raise too_large(max_bytes)
    return ScanContent(await _read_and_close(file), is_picture=True)


async def read_content(request: Request, max_bytes: int) -> ScanContent:
    """Read a request's body as what its content type says; raises `Refusal` with 415 for any other type."""
    kind = media_type(request)
    if kind == FORM:
        (file,) = await _read_files(request, max_bytes, most=1)
        return ScanContent(await _read_and_close(file), is_picture=True)
    if kind in PICTURES:
        return ScanContent(await request.body(), is_picture=True)
    if kind in READ_AS_JSON or kind.startswith("text/") or kind.endswith(("/json", "+json")):
        body = await request.body()
        return ScanContent(body, is_picture=body.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)))
    raise Refusal(
        415,
        "a scan is sent as JSON with 'img', as a form with 'file', or as the bytes of a PNG or JPEG file, "
        "and the content type says so",
        "unsupported_type",
    )


async def _read_and_close(file: UploadFile) -> bytes:
    try:
        return await file.read()
    finally:
        await file.close()


async def _read_files(request: Request, max_bytes: int, *, most: int) -> list[UploadFile]:
    """Return the files of a form, one at least, in memory."""
    form = await read_form(
        request,
        max_files=most,
        max_fields=1,
        max_part_bytes=FIELD_BYTES,
        max_file_bytes=max_bytes,  # no scan is ever left on a disk, not even for a moment
    )
    files = [part for name, part in form.multi_items() if name == "file" and isinstance(part, UploadFile)]
    if not files:
        await form.close()
        raise Refusal(422, "the form has no file named 'file'", "unusable_scan")
    return files

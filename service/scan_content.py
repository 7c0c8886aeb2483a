"""How a scan comes: as JSON with `img`, as a form with `file`, or as a picture and nothing else."""

from dataclasses import dataclass

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from service.messages import TumorPredictRequestDto
from service.problems import Refusal
from utils import Scan, decode_image, decode_request

FORM = "multipart/form-data"
PICTURES = ("image/png", "image/jpeg", "image/jpg", "application/octet-stream")
READ_AS_JSON = ("", "application/x-www-form-urlencoded")
"""`curl -d` names a form that it does not send, and many a client names nothing."""


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
            body = TumorPredictRequestDto.model_validate_json(self.data)
        except ValidationError as error:
            faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
            raise RequestValidationError(faults) from None
        return decode_request(body.img)


async def read_content(request: Request, max_bytes: int) -> ScanContent:
    """Read a request's body as what its content type says; raises `Refusal` with 415 for any other type."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == FORM:
        return ScanContent(await _read_file(request, max_bytes), is_picture=True)
    if media_type in PICTURES:
        return ScanContent(await request.body(), is_picture=True)
    if (
        media_type in READ_AS_JSON
        or media_type.startswith("text/")
        or media_type.endswith(("/json", "+json"))
    ):
        return ScanContent(await request.body(), is_picture=False)
    raise Refusal(
        415,
        "a scan is sent as JSON with 'img', as a form with 'file', or as the bytes of a PNG or JPEG file, "
        "and the content type says so",
        "unsupported_type",
    )


async def _read_file(request: Request, max_bytes: int) -> bytes:
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=1)
    parser.spool_max_size = max_bytes  # no scan is ever left on a disk, not even for a moment
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refusal(400, f"the form cannot be read: {error.message}", "bad_request") from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refusal(422, "the form has no file named 'file'", "unusable_scan")
        return await file.read()
    finally:
        await form.close()

"""Forms, `multipart/form-data`, whose texts are UTF-8 whatever charset they name."""

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from service.problems import Refusal

FORM = "multipart/form-data"


def media_type(request: Request) -> str:
    """Return what a request says that its body is, in small letters and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_form(
    request: Request, *, max_files: int, max_fields: int, max_part_bytes: int, max_file_bytes: int = 0
) -> FormData:
    """Read a request's form, whose files stay in memory up to `max_file_bytes`.

    Raises `Refusal` with 400 where it is none, or has more files, fields or bytes a field.
    """
    parser = MultiPartParser(
        _without_charset(request.headers),
        request.stream(),
        max_files=max_files,
        max_fields=max_fields,
        max_part_size=max_part_bytes,
    )
    parser.spool_max_size = max_file_bytes
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise Refusal(400, f"the form cannot be read: {error.message}", "bad_request") from None


def _without_charset(headers: Headers) -> Headers:
    """Return the content type with its boundary alone.

    A charset names the codec that is run on the form, and among Python's are some that raise what no
    parser expects, and some that take a time quadratic in a field's length (RFC 7578, 5.1.2: UTF-8).
    """
    try:
        boundary = parse_options_header(headers["content-type"])[1][b"boundary"].decode("latin-1")
    except Exception:  # of parameters that are none
        return Headers({"content-type": FORM})
    quoted = boundary.replace("\\", "\\\\").replace('"', '\\"')
    return Headers({"content-type": f'{FORM}; boundary="{quoted}"'})

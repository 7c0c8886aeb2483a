"""What a page sends to be cut again: what it took along, and the threshold that its visitor chose."""

from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError

from inference.errors import ScanError
from service.forms import FORM, media_type, read_form
from service.page.result_token import UNREADABLE, ResultToken
from service.page.signature import Signer
from service.problems import Refusal

FIELDS = 4
FORM_BYTES = 2000
"""What a browser puts around the fields, at most."""

SAME = 1e-5
"""A browser may write the model's threshold with fewer digits than it has."""


class Rethreshold(BaseModel):
    """The form of the slider; `token` is JSON, and `signature` its own."""

    token: str
    signature: str
    threshold: Annotated[float, Field(gt=0, lt=1)]
    unblank: bool = False

    def open(self, signer: Signer) -> ResultToken:
        """Return what the page took along; raises `ScanError` where it is none of this process's.

        Forged maps never get further: one of single pixels would be millions of lesions.
        """
        if not signer.verifies(self.token, self.signature):
            raise ScanError(UNREADABLE)
        return ResultToken.model_validate_json(self.token)

    def threshold_near(self, own: float) -> float:
        """Return the chosen threshold, or the model's own where that is what was meant."""
        return own if abs(self.threshold - own) < SAME else self.threshold


async def read_rethreshold(request: Request, max_bytes: int) -> Rethreshold:
    """Read the form; raises `Refusal` where it is another.

    A form in an address's notation would be undone on the event loop, at seconds a body.
    """
    if media_type(request) != FORM:
        raise Refusal(415, f"a map to be cut again is sent as {FORM}", "unsupported_type")
    # no part of it is a file, which would be spooled to the disk
    form = await read_form(request, max_files=0, max_fields=FIELDS, max_part_bytes=max_bytes)
    try:
        return Rethreshold.model_validate(dict(form))
    except ValidationError:
        raise Refusal(422, UNREADABLE, "unusable_scan") from None

"""What a page sends to be cut again: what it took along, and the threshold that its visitor chose."""

from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, Field, Json, ValidationError

from service.page.kept import UNREADABLE, Kept
from service.problems import Refusal

FIELDS = 3
SAME = 1e-5
"""A browser may write the model's threshold with fewer digits than it has."""


class Recut(BaseModel):
    """The form of the slider."""

    kept: Json[Kept]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    unblank: bool = False

    def threshold_near(self, own: float) -> float:
        """Return the chosen threshold, or the model's own where that is what was meant."""
        return own if abs(self.threshold - own) < SAME else self.threshold


async def read_recut(request: Request, max_bytes: int) -> Recut:
    """Read the form; raises `Refusal` where it is another."""
    # no part of it is a file, which would be spooled to the disk
    async with request.form(max_files=0, max_fields=FIELDS, max_part_size=max_bytes) as form:
        try:
            return Recut.model_validate(dict(form))
        except ValidationError:
            raise Refusal(422, UNREADABLE, "unusable_scan") from None

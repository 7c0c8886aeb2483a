"""Everything that decides a run on a card, in one place; it is written beside the run's weights."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from inference.preparation import Preparation
from training.config import CropSize

Share = Annotated[float, Field(ge=0, le=1)]


class CardConfig(BaseModel):
    """One run on a card. Shares are of the scans of their kind that come to a batch.

    `lesion_paste` and `synthetic_lesions` are of controls, `..._patients` of patients; synthetic lesions end
    at `synthetic_until` of a fold's time, so that the rest of it shows what lesions really look like.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: tuple[Annotated[int, Field(ge=0)], ...] = (0, 2, 3)
    minutes: Annotated[float, Field(gt=0)] = 8.0
    seed: int = 0

    input_scale: Annotated[float, Field(gt=0, le=4)] = 0.88
    crop_size: CropSize = (384, 352)
    patients_per_batch: Annotated[int, Field(ge=1)] = 20
    controls_per_batch: Annotated[int, Field(ge=0)] = 12

    lesion_rows: Share = 0.5
    lesion_paste: Share = 0.4
    lesion_paste_patients: Share = 0.4
    synthetic_lesions: Share = 0.2
    synthetic_lesions_patients: Share = 0.2
    synthetic_until: Share = 0.7

    start_from: Path | None = None
    loss: str = "dice-ce"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    warmup_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998
    statistics_batches: Annotated[int, Field(ge=1)] = 40
    closing_share: Annotated[float, Field(gt=0, lt=1)] = 0.08
    checkpoint_every_s: Annotated[float, Field(gt=0)] = 60.0
    compiled: bool = False

    @field_validator("folds")
    @classmethod
    def _different_folds(cls, folds: tuple[int, ...]) -> tuple[int, ...]:
        if not folds or len(set(folds)) < len(folds):
            raise ValueError("name different folds")
        return folds

    @property
    def preparation(self) -> Preparation:
        """Return the preparation that scans of this run get in serving."""
        return Preparation(input_scale=self.input_scale)

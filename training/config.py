"""Everything that decides a training run, in one place; it is written beside the run's weights."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from inference.preparation import PAD_MULTIPLE, Preparation

WEIGHTS_FILE = "fold.safetensors"
RUN_ID_FILE = "wandb_run_id.txt"


def _multiples_of_32(crop_size: tuple[int, int]) -> tuple[int, int]:
    if any(side < PAD_MULTIPLE or side % PAD_MULTIPLE for side in crop_size):
        raise ValueError(f"both sides must be multiples of {PAD_MULTIPLE}")
    return crop_size


CropSize = Annotated[tuple[int, int], AfterValidator(_multiples_of_32)]
"""Height and width of a crop, in px of the network's input."""


class FitConfig(BaseModel):
    """One training run. The defaults are how the shipped folds began; `FURTHER` is how they went on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fold: Annotated[int, Field(ge=0)]
    seed: int = 0
    epochs: Annotated[int, Field(ge=1)] = 32

    input_scale: Annotated[float, Field(gt=0, le=4)] | None = 0.72
    input_size: tuple[int, int] | None = None
    normalisation: Literal["uptake", "minmax"] = "uptake"
    grown_labels: bool = False
    crop_size: CropSize = (320, 288)
    augmentation: bool = True
    augmentations: Literal["default", "strong", "original"] = "default"
    vertical_flips: Annotated[float, Field(ge=0, le=1)] = 0.0

    patients_per_batch: Annotated[int, Field(ge=1)] = 5
    controls_per_batch: Annotated[int, Field(ge=0)] = 3
    lesion_paste: Annotated[float, Field(ge=0, le=1)] = 0.5
    lesion_paste_patients: Annotated[float, Field(ge=0, le=1)] = 0.0

    encoder_weights: Literal["lite2", "imagenet"] | None = "lite2"
    start_from: Path | None = None
    loss: Literal["dice-ce", "dice"] = "dice-ce"
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    warmup_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99

    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    validate_every: Annotated[int, Field(ge=1)] = 8
    checkpoint_every: Annotated[int, Field(ge=1)] = 4
    workers: Annotated[int, Field(ge=0)] = 0

    @field_validator("encoder_weights", mode="before")
    @classmethod
    def _none_by_name(cls, encoder_weights: object) -> object:
        return None if encoder_weights == "none" else encoder_weights

    @model_validator(mode="after")
    def _one_kind_of_resize(self) -> "FitConfig":
        if (self.input_scale is None) == (self.input_size is None):
            raise ValueError("give either input_scale or input_size, and set the other to none")
        return self

    @property
    def preparation(self) -> Preparation:
        """Return the preparation that scans of this run get, in training as in serving."""
        return Preparation(
            input_scale=self.input_scale, input_size=self.input_size, normalisation=self.normalisation
        )


def read_config(run_dir: Path) -> FitConfig:
    """Read the configuration that `fit` wrote into a run's folder."""
    return FitConfig.model_validate_json((run_dir / "config.json").read_text())


def write_config(config: FitConfig, run_dir: Path) -> None:
    """Write the whole configuration into the run's folder."""
    (run_dir / "config.json").write_text(config.model_dump_json(indent=1) + "\n")


def read_run_id(run_dir: Path) -> str | None:
    """Read the id of the W&B run that a run's folder belongs to; None where it was never logged there."""
    path = run_dir / RUN_ID_FILE
    return path.read_text().strip() if path.exists() else None


def write_run_id(run_id: str, run_dir: Path) -> None:
    """Keep the id of the W&B run, in which the run goes on when it is resumed."""
    (run_dir / RUN_ID_FILE).write_text(run_id + "\n")

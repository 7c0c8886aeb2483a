"""The same weights in every engine, precision and scale: what is gained and lost, scan by scan."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.errors import SettingsError
from inference.settings import Settings
from training.judging.evaluation import ScanScore, Summary, evaluate, summarize
from training.judging.statistics import compare_pairs
from training.scans.folds import Split

ENGINES = (("torch", "f32"), ("openvino", "f32"), ("openvino", "bf16"), ("openvino", "int8"))


@dataclass(frozen=True)
class Variant:
    """One way to run the folds; `engine` and `precision` are settings, `input_scale` None is their own."""

    engine: str
    precision: str
    input_scale: float | None = None

    @property
    def name(self) -> str:
        """Return the variant's name."""
        scale = "" if self.input_scale is None else f", scale {self.input_scale:g}"
        return f"{self.engine} {self.precision}{scale}"


@dataclass(frozen=True)
class Comparison:
    """A variant's scores, and its Dice less the reference's on the same patients, with standard error."""

    variant: Variant
    summary: Summary
    difference: float
    difference_error: float


def compare(
    models_dir: Path, *, data_dir: Path, split: Split, settings: Settings, scales: Sequence[float] = ()
) -> Iterator[Comparison | tuple[Variant, str]]:
    """Yield each variant against the first, float32 PyTorch; the last is the shipped default.

    What cannot run here is yielded with the reason why.
    """
    variants = [Variant(*names) for names in ENGINES]
    variants += [Variant("auto", "auto", scale) for scale in (*scales, None)]
    reference: list[ScanScore] = []
    for variant in variants:
        changed = settings.model_copy(update={"engine": variant.engine, "precision": variant.precision})
        try:
            scores = list(
                evaluate(
                    models_dir,
                    data_dir=data_dir,
                    split=split,
                    settings=changed,
                    input_scale=variant.input_scale,
                )
            )
        except SettingsError as error:
            yield variant, str(error)
            continue
        reference = reference or scores
        yield _against(reference, scores, variant)


def _against(reference: Sequence[ScanScore], scores: Sequence[ScanScore], variant: Variant) -> Comparison:
    first, second = (np.array([s.dice for s in each if s.dice is not None]) for each in (reference, scores))
    difference = compare_pairs(first, second)
    return Comparison(variant, summarize(scores), difference.mean.value, difference.error)

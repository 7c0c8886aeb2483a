from pathlib import Path

import pytest

from inference.engines import cores
from inference.engines.openvino_engine import choose_precision
from inference.errors import SettingsError
from inference.weights.activation_ranges import ActivationRanges

RANGES = [ActivationRanges(weights_sha256="0" * 64, scans=1, low=(0.0,), high=(1.0,))]


@pytest.mark.parametrize(("native_bf16", "expected"), [(True, "bf16"), (False, "f32")])
def test_auto_is_the_fastest_that_costs_no_accuracy(native_bf16: bool, expected: str) -> None:
    assert choose_precision("auto", native_bf16=native_bf16, ranges=RANGES) == expected


@pytest.mark.parametrize("wanted", ["f32", "bf16", "int8"])
def test_a_precision_that_is_named_is_taken(wanted: str) -> None:
    assert choose_precision(wanted, native_bf16=True, ranges=RANGES) == wanted


def test_a_precision_that_cannot_be_is_refused() -> None:
    with pytest.raises(SettingsError, match="training quantize"):
        choose_precision("int8", native_bf16=True, ranges=[None])
    with pytest.raises(SettingsError, match="no bfloat16"):
        choose_precision("bf16", native_bf16=False, ranges=RANGES)


@pytest.mark.parametrize(
    ("limit", "expected"), [("150000 100000", 2), ("max 100000", 64), ("50000 100000", 1)]
)
def test_a_containers_share_of_the_cores_is_kept_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(limit + "\n")
    monkeypatch.setattr(cores, "CGROUP_LIMIT", file)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert cores.usable_cores() == expected

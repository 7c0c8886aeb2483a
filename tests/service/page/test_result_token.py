"""What a page takes along, and what comes back of pages that nobody here has drawn."""

import base64
import zlib

import numpy as np
import numpy.typing as npt
import pytest

from inference.disagreement import FoldMaps
from inference.ensemble import Prediction
from inference.errors import ScanError
from inference.findings import cut_mask, find_lesions, map_features
from inference.preparation import to_grey
from inference.report.description import Evidence, find
from inference.volumes.volume_scan import Projected
from service.page.result_token import LOWEST_THRESHOLD, ResultToken, SegmentedScan, make_token
from tests.conftest import as_base64, file_bytes

SIZE = (40, 50)


@pytest.fixture
def prediction() -> Prediction:
    draws = np.random.default_rng(0)
    probability_map = np.power(draws.random(SIZE, dtype=np.float32), 6)
    scan = draws.integers(0, 256, SIZE, dtype=np.uint8)
    nobody = FoldMaps((), 1, (), SIZE)
    mask = cut_mask(probability_map, 0.3)
    return Prediction(mask, probability_map, 0.7, ("identity",), {}, nobody, 0.3, scan, ("a warning",))


def segmented_of(prediction: Prediction, projected: Projected | None = None) -> SegmentedScan:
    evidence = Evidence(prediction.probability_map, prediction.views, None, prediction.warnings, projected)
    return SegmentedScan(to_grey(prediction.scan), evidence)


@pytest.mark.parametrize("threshold", [LOWEST_THRESHOLD, 0.3, 0.31, 0.99])
def test_what_is_kept_is_cut_as_the_map_itself(prediction: Prediction, threshold: float) -> None:
    whole = prediction.probability_map
    segmented = make_token(segmented_of(prediction), 0.3).open()
    opened = segmented.evidence.probability_map
    assert (opened == 0).any()
    assert np.array_equal(segmented.scan, prediction.scan)
    mask = cut_mask(whole, threshold)
    assert np.array_equal(cut_mask(opened, threshold), mask)
    assert find_lesions(mask, opened) == find_lesions(mask, whole)
    assert np.array_equal(map_features(opened), map_features(whole))


def test_a_threshold_lower_than_any_other_keeps_more_and_the_highest_is_always_there(
    prediction: Prediction,
) -> None:
    low = make_token(segmented_of(prediction), 0.001).open().evidence.probability_map
    assert np.array_equal(cut_mask(low, 0.001), cut_mask(prediction.probability_map, 0.001))
    faint = np.full(SIZE, 0.002, dtype=np.float32)
    faint[3, 4] = 0.004
    object.__setattr__(prediction, "probability_map", faint)
    assert make_token(segmented_of(prediction), 0.3).open().evidence.probability_map.max() == faint.max()


@pytest.mark.parametrize("size", [(25, 90), (7, 5), SIZE])
def test_a_volume_is_measured_at_any_threshold_as_before_it_was_kept(
    prediction: Prediction, size: tuple[int, int]
) -> None:
    suv = np.random.default_rng(1).random(size, dtype=np.float32) * 20
    projected = Projected(suv, (2.5, 1 / 3), np.diag([-1 / 3, 9.0, -2.5, 1.0]))
    segmented = segmented_of(prediction, projected)
    token = make_token(segmented, 0.3)
    assert token.volume is not None
    again = ResultToken.model_validate_json(token.model_dump_json()).open()
    assert again.evidence.projected is not None
    assert np.array_equal(again.evidence.projected.affine, projected.affine)
    for threshold in (LOWEST_THRESHOLD, 0.3, 0.9):
        mask = cut_mask(prediction.probability_map, threshold)
        before, after = (find(evidence, mask, 0.7) for evidence in (segmented.evidence, again.evidence))
        assert before.measures is not None
        assert len(before.measures.lesions) > 1
        assert after == before
    few = segmented_of(prediction, projected)
    few.evidence.probability_map[5:] = 0
    volume = make_token(few, 0.3).volume
    assert volume is not None
    assert not volume.open().suv[size[0] // 2 :].any()  # what is never tumour does not travel
    for wrong in (packed(-suv), packed(suv[1:]), packed(suv * np.inf)):
        with pytest.raises(ScanError, match="drop the scan once more"):
            token.volume.model_copy(update={"suv": wrong}).open()


def packed(values: npt.NDArray[np.floating]) -> str:
    return as_base64(zlib.compress(values.astype(np.float32).tobytes()))


@pytest.mark.parametrize(
    "probabilities",
    [
        "",
        "no base64!",
        as_base64(b"no zlib"),
        packed(np.zeros((SIZE[0], SIZE[1] - 1))),
        packed(np.zeros((100 * SIZE[0], SIZE[1]))),  # more than the scan has pixels is not even unpacked
        packed(np.full(SIZE, np.nan)),
        packed(np.full(SIZE, 1.5)),
        base64.b64encode(zlib.compress(np.zeros(SIZE, np.float32).tobytes())[:-3]).decode(),
    ],
)
def test_a_map_that_is_none_of_its_scan_is_refused(prediction: Prediction, probabilities: str) -> None:
    forged = make_token(segmented_of(prediction), 0.3).model_copy(update={"probabilities": probabilities})
    with pytest.raises(ScanError, match="drop the scan once more"):
        forged.open()


def test_a_scan_that_is_none_is_refused_as_everywhere() -> None:
    small = as_base64(file_bytes(np.zeros((8, 8), np.uint8)))
    with pytest.raises(ScanError, match="8 x 8 px"):
        ResultToken(scan=small, probabilities="", views=[], disagreement=None, warnings=[]).open()

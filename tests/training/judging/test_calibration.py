import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from inference.findings import FEATURES
from training.judging.blanking import blank_curve, choose_point
from training.judging.calibration import calibrate, score_views
from training.judging.classification import cross_fitted, fit_classifier, score_probabilities
from training.judging.out_of_fold import THRESHOLDS, VIEW_SETS, HeldOutMap

MIDDLE = THRESHOLDS.index(0.5)


def held_out(
    views: str, fold: int, sureness: float, *, is_patient: bool, dice: float, marked: int = 50
) -> HeldOutMap:
    scores = tuple(dice - 0.1 * abs(threshold - 0.45) for threshold in THRESHOLDS) if is_patient else ()
    features = np.full(len(FEATURES), sureness)
    return HeldOutMap(views, fold, is_patient, scores, (marked,) * len(THRESHOLDS), features)


def sure_patients(count: int = 120) -> list[HeldOutMap]:
    generator = np.random.default_rng(0)
    return [
        held_out("no flip", n % 3, generator.normal(3 if n % 2 else 0), is_patient=n % 2 == 1, dice=0.7)
        for n in range(count)
    ]


def test_the_best_views_and_threshold_win() -> None:
    maps = [
        held_out(views, fold, 5, is_patient=True, dice=dice)
        for fold in (0, 1)
        for views, dice in (("no flip", 0.6), ("horizontal", 0.7), ("all four", 0.65))
    ]
    best = score_views(maps)[0]
    assert (best.views, best.threshold) == ("horizontal", 0.45)
    assert best.mean_dice == pytest.approx(0.7)


def test_the_classifier_tells_sure_maps_from_unsure_ones() -> None:
    maps = sure_patients()
    classifier, probabilities = fit_classifier(maps), cross_fitted(maps)
    assert classifier is not None
    assert probabilities is not None
    assert classifier.probability_of(np.full(len(FEATURES), 4.0)) > 0.9
    assert classifier.probability_of(np.full(len(FEATURES), -1.0)) < 0.1
    score = score_probabilities(np.array([m.is_patient for m in maps]), probabilities)
    for figure in (score.roc_auc, score.sensitivity, score.brier, score.calibration_error):
        assert figure.low <= figure.value <= figure.high
    patients = np.array([m.is_patient for m in maps])
    false_alarms, sensitivity, _ = roc_curve(patients, probabilities)
    assert score.roc_auc.value == pytest.approx(roc_auc_score(patients, probabilities))
    assert score.sensitivity.value == pytest.approx(sensitivity[false_alarms <= 0.05].max())
    assert score.brier.value == pytest.approx(brier_score_loss(patients, probabilities))
    assert score.roc_auc.value > 0.95


def test_a_fold_is_not_judged_by_a_classifier_that_saw_it() -> None:
    """Where one fold's patients are the unsure ones, the other folds' classifier gets them wrong."""
    maps = [
        held_out("no flip", fold, sureness, is_patient=(sureness > 1) != (fold == 0), dice=0.7)
        for fold in (0, 1, 2)
        for sureness in (0.0, 0.1, 0.2, 2.0, 2.1, 2.2)
    ]
    probabilities = cross_fitted(maps)
    assert probabilities is not None
    for held, probability in zip(maps, probabilities, strict=True):
        if held.fold == 0:
            assert (probability > 0.5) != held.is_patient


def test_calibration_error_is_the_gap_between_probability_and_share() -> None:
    patients = np.array([True] * 30 + [False] * 70)
    honest = score_probabilities(patients, np.full(100, 0.3)).calibration_error
    bold = score_probabilities(patients, np.full(100, 0.9)).calibration_error
    assert honest.value == pytest.approx(0, abs=1e-9)
    assert bold.value == pytest.approx(0.6)


def test_without_controls_or_a_second_fold_there_is_no_score() -> None:
    patients = [held_out("no flip", fold, 5, is_patient=True, dice=0.7) for fold in (0, 1)]
    one_fold = [held_out("no flip", 0, area, is_patient=area > 3, dice=0.7) for area in (1, 2, 4, 5)]
    assert fit_classifier(patients) is None
    assert cross_fitted(patients) is None
    assert fit_classifier(one_fold) is not None
    assert cross_fitted(one_fold) is None
    in_all_views = [held_out(views, 0, 5, is_patient=True, dice=0.7) for views in VIEW_SETS]
    assert calibrate(in_all_views).blank_below == 0


def test_masks_are_blank_only_as_far_as_patients_can_pay() -> None:
    """Of 100 patients with Dice 0.7, two have low probabilities; blanking the first costs 0.007."""
    maps = [held_out("no flip", 0, 0, is_patient=True, dice=0.7) for _ in range(100)]
    maps += [held_out("no flip", 0, 0, is_patient=False, dice=0, marked=40) for _ in range(4)]
    maps += [held_out("no flip", 0, 0, is_patient=False, dice=0, marked=0)]
    probabilities = np.array([0.2, 0.4] + [0.9] * 98 + [0.05, 0.1, 0.3, 0.6] + [0.5])
    curve = blank_curve(maps, probabilities, MIDDLE, shipped=np.ones(len(maps)))
    assert curve[0].blank_controls == pytest.approx(0.2)
    assert curve[0].false_positive_px == pytest.approx(32)
    cautious, dearer = choose_point(curve, 0.005), choose_point(curve, 0.01)
    assert 0.1 < cautious.below <= 0.2
    assert (cautious.dice_lost, cautious.blank_patients) == (0, 0)
    assert cautious.blank_controls == pytest.approx(0.6)
    assert 0.3 < dearer.below <= 0.4
    assert dearer.dice_lost == pytest.approx(0.7 / 100, abs=2e-4)
    assert dearer.false_positive_px == pytest.approx(8)


def test_a_patient_whom_the_shipped_classifier_takes_for_healthy_is_a_cost_too() -> None:
    maps = [held_out("no flip", 0, 0, is_patient=True, dice=0.7) for _ in range(100)]
    maps += [held_out("no flip", 0, 0, is_patient=False, dice=0)]
    probabilities, shipped = np.array([0.9] * 100 + [0.3]), np.array([0.2] + [0.9] * 99 + [0.3])
    curve = blank_curve(maps, probabilities, MIDDLE, shipped=shipped)
    assert curve[-1].dice_lost == pytest.approx(0.7 / 100, abs=2e-4)
    assert choose_point(curve, 0.005).below == 0

import numpy as np

from training.judging.evaluation import LesionScore, ScanScore, score_lesions, summarize_lesions


def test_a_lesion_is_held_against_what_touches_it() -> None:
    label, predicted = np.zeros((20, 30), dtype=np.bool_), np.zeros((20, 30), dtype=np.bool_)
    label[2:6, 2:6] = True  # 16 px, half of it marked, and as much beside it
    predicted[4:8, 2:6] = True
    label[12:14, 2:4] = True  # 4 px, missed
    label[2:4, 20:22] = label[2:4, 25:27] = True  # 4 px each, marked by one region across both
    predicted[2:4, 20:27] = True
    predicted[15:18, 15:18] = True  # a region that touches none
    scored = score_lesions(label, predicted)
    assert sorted((lesion.px, lesion.found, round(lesion.dice, 3)) for lesion in scored) == [
        (4, False, 0.0),
        (4, True, round(8 / (4 + 10), 3)),
        (4, True, round(8 / (4 + 10), 3)),
        (16, True, 0.5),
    ]
    assert score_lesions(np.zeros_like(label), predicted) == ()


def test_lesions_are_counted_by_size() -> None:
    lesions = [LesionScore(9, False, 0), LesionScore(10, True, 0.5), LesionScore(29, False, 0)]
    lesions += [LesionScore(100, True, 0.9)]
    scores = [ScanScore("scan", 0, 0.5, 148, 100, 0, 0.9, tuple(lesions))]
    summaries = summarize_lesions(scores)
    assert [(of.at_least_px, of.below_px, of.lesions) for of in summaries] == [
        (1, 10, 1),
        (10, 30, 2),
        (30, 100, 0),
        (100, None, 1),
    ]
    assert [of.found for of in summaries if of.lesions] == [0, 0.5, 1]
    assert summaries[1].mean_dice == 0.25
    assert np.isnan(summaries[2].found)

from itertools import combinations

import numpy as np

from inference.report.label_placement import Box, join, place_labels


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_labels_stay_inside_and_hide_neither_lesions_nor_each_other() -> None:
    """Also beside a lesion in a corner, and one hemmed in by others."""
    shape = (300, 400)
    lesions = [(0, 0, 20, 20), (385, 285, 400, 300)]
    lesions += [(x, y, x + 12, y + 12) for x in range(150, 230, 20) for y in range(100, 180, 20)]
    taken = np.zeros(shape, np.bool_)
    for left, top, right, bottom in lesions:
        taken[top:bottom, left:right] = True
    labels = place_labels(lesions, [(24, 18)] * len(lesions), taken)
    for left, top, right, bottom in labels:
        assert 0 <= left < right <= shape[1]
        assert 0 <= top < bottom <= shape[0]
        assert (right - left, bottom - top) == (24, 18)
        assert not taken[top:bottom, left:right].any()
    assert not any(overlap(one, other) for one, other in combinations(labels, 2))


def test_where_there_is_no_room_as_little_is_hidden_as_can_be() -> None:
    taken = np.ones((100, 100), np.bool_)
    taken[:, 80:] = False  # room for half a label
    ((left, _, right, _),) = place_labels([(40, 40, 60, 60)], [(40, 10)], taken)
    assert (left, right) == (60, 100)


def test_a_label_is_joined_to_its_lesion_at_the_nearest_points() -> None:
    assert join((50, 0, 70, 10), (10, 20, 30, 40)) == ((50, 10), (30, 20))
    assert join((50, 20, 70, 30), (10, 20, 30, 40)) == ((50, 25), (30, 25))
    assert join((0, 50, 20, 60), (30, 20, 40, 40)) == ((20, 50), (30, 40))

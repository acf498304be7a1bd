"""Boxes: overlap, suppression and fusion, with ensemble-boxes as the oracle of fusion."""

import numpy as np
import pytest
from ensemble_boxes import weighted_boxes_fusion
from ensemble_boxes.ensemble_boxes_nms import nms_float_fast
from hypothesis import given
from hypothesis import strategies as st

from radloop.boxes import Fused, cxcywh_to_xyxy, fuse, iou, nms, xyxy_to_cxcywh

HEART = (0.3, 0.5, 0.7, 0.9)


def random_boxes(seed: int, count: int) -> np.ndarray:
    """Boxes that overlap often: a few centres, jittered. No two coordinates are equal."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.25, 0.75, (3, 2))[rng.integers(0, 3, count)] + rng.normal(0, 0.03, (count, 2))
    sides = rng.uniform(0.1, 0.3, (count, 2))
    return np.clip(np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), 0, 1)


def sorted_rows(boxes) -> np.ndarray:
    table = np.asarray(boxes, dtype=float).reshape(-1, 4)
    return table[np.lexsort(table.T[::-1])]


def test_iou_of_a_half_covered_box_is_one_half():
    assert iou([(0, 0, 2, 2)], [(0, 0, 2, 1), (2, 2, 3, 3), (0, 0, 2, 2)]).tolist() == [[0.5, 0.0, 1.0]]


def test_a_box_without_area_overlaps_nothing():
    assert iou([(0.5, 0.5, 0.5, 0.5)], [(0.5, 0.5, 0.5, 0.5), (0, 0, 1, 1)]).tolist() == [[0.0, 0.0]]


def test_a_box_too_flat_to_have_an_area_is_fused_with_nothing():
    flat = (0.2, 0.5, 0.6, 0.5 + 2**-53)
    least = (0.0, 0.0, 0.5, 5e-324)
    fused = fuse([least, least, flat, flat], ["R1", "R2", "R1", "R2"])
    assert [one.xyxy for one in fused if one.xyxy == least] == [least, least]
    assert iou([least], [least]).tolist() == [[0.0]]


def test_iou_with_no_boxes_is_an_empty_matrix():
    assert iou(np.empty((0, 4)), [HEART]).shape == (0, 1)


@given(st.integers(0, 2**32), st.integers(0, 9))
def test_the_two_forms_of_a_box_say_the_same(seed, count):
    boxes = random_boxes(seed, count)
    np.testing.assert_allclose(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes, atol=1e-15)


def test_centre_and_size_of_one_box():
    np.testing.assert_allclose(xyxy_to_cxcywh(HEART), (0.5, 0.7, 0.4, 0.4))


def test_nms_keeps_the_best_of_a_pile_and_what_lies_apart():
    boxes = [(0, 0, 1, 1), (0, 0, 1, 0.9), (5, 5, 6, 6)]
    assert nms(boxes, [0.5, 0.9, 0.1], 0.5).tolist() == [1, 2]


def test_nms_of_equal_scores_keeps_the_earlier():
    assert nms([HEART, HEART], [0.5, 0.5], 0.5).tolist() == [0]


def test_nms_of_nothing_is_nothing():
    assert nms(np.empty((0, 4)), [], 0.5).tolist() == []


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_nms_agrees_with_ensemble_boxes(seed, count):
    boxes = random_boxes(seed, count)
    scores = np.random.default_rng(seed + 1).permutation(np.linspace(0.1, 0.9, count))
    expected = nms_float_fast.py_func(boxes, scores, 0.45)  # as written: compiling it takes seconds
    assert nms(boxes, scores, 0.45).tolist() == list(expected)


def test_three_readers_of_one_heart_become_one_box_with_support_three():
    boxes = [(0.30, 0.5, 0.70, 0.9), (0.33, 0.5, 0.73, 0.9), (0.27, 0.5, 0.67, 0.9)]
    (fused,) = fuse(boxes, ["R9", "R8", "R10"])
    np.testing.assert_allclose(fused.xyxy, HEART)
    assert (fused.support, fused.readers, fused.members) == (3, ("R10", "R8", "R9"), (0, 1, 2))
    assert fused.spread == pytest.approx(1 - 0.37 / 0.43)


def test_boxes_that_lie_apart_stay_as_they_are():
    boxes = [(0.0, 0.0, 0.2, 0.2), (0.5, 0.5, 0.7, 0.7)]
    assert fuse(boxes, ["R8", "R9"]) == [
        Fused((0.0, 0.0, 0.2, 0.2), 1.0, (0,), ("R8",), 0.0),
        Fused((0.5, 0.5, 0.7, 0.7), 1.0, (1,), ("R9",), 0.0),
    ]


def test_a_reader_who_drew_twice_counts_once():
    (fused,) = fuse([HEART, HEART], ["R8", "R8"])
    assert (fused.support, fused.members) == (1, (0, 1))


def test_an_overlap_of_exactly_the_threshold_is_no_match():
    assert len(fuse([(0, 0, 1, 1), (0, 0, 1, 0.5)], ["R8", "R9"], iou_threshold=0.5)) == 2


def test_the_heavier_box_pulls_harder():
    (fused,) = fuse([(0, 0, 1, 1), (0, 0, 1, 0.6)], ["a", "b"], weights=[3, 1])
    np.testing.assert_allclose(fused.xyxy, (0, 0, 1, 0.9))


def test_fusing_nothing_gives_nothing():
    assert fuse([], []) == []


@given(st.integers(0, 2**32), st.integers(1, 12), st.booleans())
def test_fusion_agrees_with_ensemble_boxes(seed, count, weighted):
    """The oracle takes its turns by score; with equal weights a score that falls by 1e-9 gives it the order of ours."""
    boxes = random_boxes(seed, count)
    rng = np.random.default_rng(seed + 1)
    weights = rng.uniform(0.2, 1, count) if weighted else np.ones(count)
    turns = np.lexsort((*boxes.T[::-1], -weights))
    scores = weights.copy()
    scores[turns] -= np.arange(count) * 1e-9
    expected, _, _ = weighted_boxes_fusion([boxes], [scores], [np.zeros(count)], iou_thr=0.4)

    fused = fuse(boxes, ["R8"] * count, weights=weights.tolist(), iou_threshold=0.4)
    np.testing.assert_allclose(sorted_rows([one.xyxy for one in fused]), sorted_rows(expected), atol=1e-5)


@given(st.integers(0, 2**32), st.integers(0, 12), st.randoms(use_true_random=False))
def test_fusion_does_not_depend_on_the_order_of_the_readers(seed, count, shuffler):
    boxes = random_boxes(seed, count).round(1)  # coarse: ties abound
    readers = [f"R{8 + i % 3}" for i in range(count)]
    turn = list(range(count))
    shuffler.shuffle(turn)
    straight = fuse(boxes, readers)
    mixed = fuse(boxes[turn], [readers[i] for i in turn])
    assert [(f.xyxy, f.readers, f.spread) for f in straight] == [(f.xyxy, f.readers, f.spread) for f in mixed]


@given(st.integers(0, 2**32), st.integers(0, 12))
def test_every_box_ends_in_exactly_one_fused_box(seed, count):
    fused = fuse(random_boxes(seed, count), ["R8", "R9", "R10"] * 4)
    assert sorted(i for one in fused for i in one.members) == list(range(count))


@given(st.integers(0, 2**32), st.integers(2, 12))
def test_spread_is_what_the_worst_member_lacks_in_iou(seed, count):
    boxes = random_boxes(seed, count)
    for one in fuse(boxes, ["R8"] * count):
        worst = iou([one.xyxy], boxes[list(one.members)]).min()
        assert one.spread == pytest.approx(1 - worst if len(one.members) > 1 else 0.0)

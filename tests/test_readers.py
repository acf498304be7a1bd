"""The model of a radiologist: misses, false alarms, jitter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import taxonomies
from radloop import domain, readers
from radloop.vindr import habits as vindr
from radloop.vindr.places import typical_box
from taxonomies import VINDR

READERS = vindr.READERS
HEART = 3
NODULE = 8
EFFUSION, THICKENING = 10, 11


KNOWN = domain.of(VINDR)


def reading(boxes, classes, *, known: domain.Domain = KNOWN, place: readers.Place | None = None, **options: object):
    return readers.reading(boxes, classes, known.habits, place=place or known.typical_box, **options)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def truths(draw: st.DrawFn) -> tuple[readers.Boxes, readers.Classes]:
    count = draw(st.integers(0, 12))
    corners = draw(arrays(np.float64, (count, 2), elements=st.floats(0.0, 0.9)))
    sides = draw(arrays(np.float64, (count, 2), elements=st.floats(0.005, 1.0)))
    boxes = np.concatenate([corners, np.minimum(corners + sides, 1.0)], axis=1)
    return boxes, draw(arrays(np.int64, count, elements=st.integers(0, 13)))


def iou(first: readers.Boxes, second: readers.Boxes) -> readers.Boxes:
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return shared / (areas[0] + areas[1] - shared)


LISTS = st.sampled_from(list(taxonomies.EVERY.values()))  # a class below seven is in each


@given(truths(), LISTS, st.integers(0, 2**32), st.sampled_from([*READERS, "M-tiny", None]))
def test_without_noise_a_reading_is_the_truth(truth, names, seed, reader):
    boxes, classes = truth[0], truth[1] % len(names)
    drawn = reading(boxes, classes, known=domain.of(names), rng=rng(seed), reader=reader, noise=0.0)
    assert np.array_equal(drawn.boxes, boxes)
    assert np.array_equal(drawn.classes, classes)
    assert np.array_equal(drawn.origins, np.arange(len(classes)))


@given(truths(), LISTS, st.integers(0, 2**32), st.floats(0.0, 3.0), st.sampled_from([*READERS, None]))
def test_every_box_drawn_is_a_box_in_the_picture(truth, names, seed, noise, reader):
    boxes, classes = truth[0], truth[1] % len(names)
    drawn = reading(boxes, classes, known=domain.of(names), rng=rng(seed), reader=reader, noise=noise)
    assert len(drawn.boxes) == len(drawn.classes) == len(drawn.origins)
    assert ((drawn.boxes >= 0) & (drawn.boxes <= 1)).all()
    assert (drawn.boxes[:, 0] < drawn.boxes[:, 2]).all()
    assert (drawn.boxes[:, 1] < drawn.boxes[:, 3]).all()


@given(truths(), LISTS, st.integers(0, 2**32))
def test_origins_tell_true_boxes_from_false_alarms(truth, names, seed):
    boxes, classes = truth[0], truth[1] % len(names)
    drawn = reading(boxes, classes, known=domain.of(names), rng=rng(seed), noise=2.0)
    true = drawn.origins >= 0
    assert np.array_equal(drawn.classes[true], classes[drawn.origins[true]])
    assert not set(drawn.classes[~true].tolist()) & set(classes.tolist())


def test_the_same_seed_gives_the_same_reading():
    boxes, classes = np.array([[0.3, 0.5, 0.7, 0.7]]), np.array([HEART])
    first, second = (reading(boxes, classes, rng=rng(4), reader="R9") for _ in range(2))
    assert np.array_equal(first.boxes, second.boxes)


@given(st.integers(0, 2**32))
def test_a_rectangle_of_two_classes_stays_one_rectangle(seed):
    boxes, classes = np.array([[0.1, 0.7, 0.2, 0.8]] * 2), np.array([EFFUSION, THICKENING])
    drawn = reading(boxes, classes, rng=rng(seed), reader="R9")
    assert len(np.unique(drawn.boxes[drawn.origins >= 0], axis=0)) <= 1


def test_a_false_alarm_lies_where_the_caller_says():
    here = (0.1, 0.2, 0.3, 0.4)
    source = rng()
    none = np.empty((0, 4)), np.empty(0, dtype=np.int64)
    alarms = [reading(*none, rng=source, reader="R9", place=lambda class_id, rng: here).boxes for _ in range(50)]
    assert sum(map(len, alarms)) > 10
    assert {tuple(box) for boxes in alarms for box in boxes.tolist()} == {here}


@pytest.mark.parametrize("noise", [0.25, 0.5, 1.0])
def test_misses_and_false_alarms_grow_with_the_noise(noise):
    boxes, classes = np.array([[0.4, 0.4, 0.45, 0.45]]), np.array([NODULE])
    source = rng()
    seen = [reading(boxes, classes, rng=source, noise=noise) for _ in range(3000)]
    found = np.mean([0 in drawn.origins for drawn in seen])
    invented = np.mean([(drawn.origins < 0).sum() for drawn in seen])
    assert found == pytest.approx(1 - noise * 0.263, abs=0.03)
    assert invented == pytest.approx(noise * 0.61, abs=0.05)


@pytest.mark.parametrize(("reader", "share"), [("R8", 0.54), ("R9", 0.81), ("R10", 0.86)])
def test_readers_differ_as_the_measured_ones_do(reader, share):
    boxes, classes = np.array([[0.4, 0.4, 0.45, 0.45]]), np.array([NODULE])
    source = rng()
    found = np.mean([0 in reading(boxes, classes, rng=source, reader=reader).origins for _ in range(2000)])
    assert found == pytest.approx(share, abs=0.04)


# The medians that docs/synthetic.md reports of the real readers' matched boxes.
@pytest.mark.parametrize(
    ("class_id", "median"),
    [
        pytest.param(0, 0.70, id="aortic enlargement"),
        pytest.param(HEART, 0.74, id="cardiomegaly"),
        pytest.param(NODULE, 0.73, id="nodule"),
        pytest.param(EFFUSION, 0.53, id="effusion"),
        pytest.param(THICKENING, 0.50, id="thickening"),
        pytest.param(13, 0.56, id="fibrosis"),
    ],
)
def test_two_readers_overlap_as_the_real_ones_do(class_id, median):
    corners = rng().uniform(0.3, 0.4, (2000, 2))
    truth = np.concatenate([corners, corners + 0.2], axis=1)
    classes = np.full(len(truth), class_id)
    source = rng(1)
    first, second = (readers._jitter(truth, KNOWN.habits.edges[classes], rng=source, noise=1.0) for _ in range(2))
    assert np.median(iou(first, second)) == pytest.approx(median, abs=0.05)


@given(st.integers(0, 13), st.integers(0, 2**32))
def test_typical_boxes_have_an_area(class_id, seed):
    x_min, y_min, x_max, y_max = typical_box(class_id, rng(seed))
    assert x_min < x_max
    assert y_min < y_max


@pytest.mark.parametrize("count", [1, 7, 300])
def test_readers_of_other_classes_miss_as_much_and_invent_as_much_in_all(count):
    known = domain.of(taxonomies.Taxonomy(tuple(f"c{number}" for number in range(count))))
    none, source = (np.empty((0, 4)), np.empty(0, dtype=np.int64)), rng()
    one = np.array([[0.4, 0.4, 0.5, 0.5]]), np.array([count - 1])
    invented = np.mean([len(reading(*none, known=known, rng=source).classes) for _ in range(3000)])
    seen = np.mean([0 in reading(*one, known=known, rng=source).origins for _ in range(3000)])
    everywhere = np.mean([len(reading(*none, rng=source).classes) for _ in range(3000)])
    assert invented == pytest.approx(everywhere * min(count, len(VINDR)) / len(VINDR), abs=0.06)
    assert seen == pytest.approx(KNOWN.habits.seen.mean(), abs=0.03)


def test_what_is_known_of_other_classes_is_no_place_of_a_chest(classes):
    known = domain.of(classes)
    assert (known.middles is None) == (classes != VINDR)
    assert known.shares.sum() == pytest.approx(1)
    assert len(known.shares) == len(known.habits) == len(classes)
    assert known.habits.rates("R9")[0].shape == known.habits.rates("nobody")[1].shape == (len(classes),)


@given(st.integers(0, 2**32))
def test_boxes_of_other_classes_lie_in_the_picture(seed):
    x_min, y_min, x_max, y_max = domain.of(taxonomies.SPINE).typical_box(3, rng(seed))
    assert 0 <= x_min < x_max <= 1
    assert 0 <= y_min < y_max <= 1

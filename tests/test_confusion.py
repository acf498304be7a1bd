"""What is taken for what, against a slow loop; every box is in one cell."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop import boxes
from radloop.measures import confusion, evaluation
from radloop.tables import EDGES
from taxonomies import VINDR
from test_evaluation import HALF, HERE, NEAR, THERE, Box, looked, predicted, truth

IMAGES = looked("a", "b", "c")


def cells(said: pl.DataFrame, known: pl.DataFrame, *, least: float = 0.25, images: pl.DataFrame = IMAGES) -> dict:
    pairs = confusion.paired(evaluation.outcomes(said, known), images, least=least)
    assert dict(pairs.schema) == dict(confusion.PAIRS)
    found = confusion.cells(pairs, images, VINDR)
    assert dict(found.schema) == dict(confusion.CELLS)
    return {(row["truth_id"], row["predicted_id"]): row["boxes"] for row in found.iter_rows(named=True)}


def told(said: pl.DataFrame, known: pl.DataFrame, names: list[str], *, least: float = 0.25) -> pl.DataFrame:
    images = looked(*names)
    return confusion.cells(confusion.paired(evaluation.outcomes(said, known), images, least=least), images, VINDR)


def test_each_kind_has_its_cell() -> None:
    known = truth(("a", 3, HERE), ("a", 0, THERE), ("b", 5, HERE))
    said = predicted(("a", 3, 0.9, HERE), ("a", 7, 0.8, THERE), ("b", 5, 0.1, HERE), ("c", 1, 0.7, HERE))
    assert cells(said, known) == {(3, 3): 1, (0, 7): 1, (5, None): 1, (None, 1): 1}
    assert cells(said, known, least=0.05)[5, 5] == 1
    assert cells(said, known, least=0.9) == {(3, None): 1, (0, None): 1, (5, None): 1}  # strictly above


def test_right_class_comes_before_a_larger_overlap() -> None:
    """Two boxes on one spot, the other class overlaps more: what recall counts as found is found here, too."""
    said = predicted(("a", 7, 0.99, HERE), ("a", 3, 0.5, NEAR))
    assert cells(said, truth(("a", 3, HERE))) == {(3, 3): 1, (None, 7): 1}


def test_of_two_wrong_classes_the_larger_overlap_is_the_confusion() -> None:
    said = predicted(("a", 7, 0.99, HALF), ("a", 8, 0.5, NEAR))
    assert cells(said, truth(("a", 3, HERE))) == {(3, 8): 1, (None, 7): 1}


def test_shares_are_those_of_the_row_with_intervals_of_enough_groups() -> None:
    names = [f"i{number}" for number in range(10)]
    known = truth(*((name, 3, HERE) for name in names))
    said = predicted(*((name, 3 if place < 6 else 7, 0.9, HERE) for place, name in enumerate(names)))
    found = told(said, known, names)
    assert found.select("truth", "predicted", "boxes", "of", "share").rows() == [
        (VINDR.names[3], VINDR.names[3], 6, 10, 0.6),
        (VINDR.names[3], VINDR.names[7], 4, 10, 0.4),
    ]
    for row in found.iter_rows(named=True):
        assert row["share_low"] < row["share"] < row["share_high"]
    few = told(said, known, names[:3])
    assert few.select("boxes", "share", "share_low").row(0) == (3, 1.0, None)  # three groups


def test_nothing_said_and_nothing_there_is_no_cell() -> None:
    assert cells(predicted(), truth()) == {}
    assert cells(predicted(("a", 3, 0.9, HERE)), truth(("a", 3, HERE)), images=looked("b")) == {}


def slowly(said: pl.DataFrame, known: pl.DataFrame, least: float) -> dict:
    """The same with loops: the right class first, then by the largest overlap."""
    matched = evaluation.match(said.filter(pl.col("confidence") > least), known)
    found: dict = {}

    def add(cell: tuple) -> None:
        found[cell] = found.get(cell, 0) + 1

    for image in "abc":
        own = list(matched.filter(image_id=image).sort("confidence", descending=True).iter_rows(named=True))
        drawn = list(known.filter(image_id=image).iter_rows(named=True))
        overlap = {
            (p, k): boxes.iou([[box[edge] for edge in EDGES]], [[other[edge] for edge in EDGES]])[0, 0]
            for p, box in enumerate(own)
            for k, other in enumerate(drawn)
        }
        for p, box in enumerate(own):  # COCO's own greedy rule
            free = [k for k, other in enumerate(drawn) if other["class_id"] == box["class_id"] and "found" not in other]
            best = max(free, key=lambda k: overlap[p, k], default=None)
            if best is not None and overlap[p, best] >= 0.4:
                box["found"] = drawn[best]["found"] = True
                add((box["class_id"], box["class_id"]))
        for (p, k), shared in sorted(overlap.items(), key=lambda pair: (-pair[1], -own[pair[0][0]]["confidence"])):
            if shared >= 0.4 and "found" not in own[p] and "found" not in drawn[k]:
                own[p]["found"] = drawn[k]["found"] = True
                add((drawn[k]["class_id"], own[p]["class_id"]))
        for other in drawn:
            if "found" not in other:
                add((other["class_id"], None))
        for box in own:
            if "found" not in box:
                add((None, box["class_id"]))
    return found


spots = st.builds(
    lambda x, y, w: (x / 10, y / 10, x / 10 + w / 100, y / 10 + 0.2),
    st.integers(0, 3), st.integers(0, 1), st.sampled_from([17, 20, 23, 29]),
)  # fmt: skip
known_boxes = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 3, 5]), spots), max_size=7, unique=True)
said_boxes = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 3, 5]), spots), max_size=9, unique=True)


@settings(max_examples=40, deadline=None)
@given(known_boxes, said_boxes, st.permutations(range(9)), st.floats(0, 0.9))
def test_cells_hold_every_box_once_and_are_those_of_a_slow_loop(
    drawn: list[tuple[str, int, Box]], given_boxes: list[tuple[str, int, Box]], ranks: list[int], least: float
) -> None:
    known = truth(*drawn)
    rows = [(*box[:2], (rank + 1) / 10, box[2]) for box, rank in zip(given_boxes, ranks, strict=False)]
    found = cells(predicted(*rows), known, least=least)
    assert found == cells(predicted(*rows[::-1]), truth(*drawn[::-1]), least=least)
    for class_id in (0, 3, 5):
        assert sum(n for (row, _), n in found.items() if row == class_id) == known.filter(class_id=class_id).height
        above = sum(1 for _, own, sure, _ in rows if own == class_id and sure > least)
        assert sum(n for (_, column), n in found.items() if column == class_id) == above
    matched = evaluation.match(predicted(*rows), known)
    labels = evaluation.pseudo_labels(matched, known, IMAGES, VINDR, min_confidence=least)
    assert [found.get((class_id, class_id), 0) for class_id in range(len(VINDR))] == labels["correct"][:-1].to_list()
    slow = slowly(predicted(*rows), known, least)
    assert sum(n for cell, n in found.items() if None in cell) == sum(n for cell, n in slow.items() if None in cell)
    if not _ties(rows, drawn):
        assert found == slow


def _ties(rows: list, drawn: list) -> bool:
    """Whether two overlaps on one image are alike: then either pair is as good."""
    for image in "abc":
        overlaps = boxes.iou(
            [box for name, *_, box in rows if name == image], [box for name, _, box in drawn if name == image]
        ).round(9)
        near = overlaps[overlaps >= 0.39].tolist()
        if len(near) != len(set(near)):
            return True
    return False


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_a_thousand_boxes_are_counted(least: float) -> None:
    names = [f"i{number}" for number in range(200)]
    known = truth(*((name, place % 4, HERE) for place, name in enumerate(names)))
    said = predicted(*((name, (place // 2) % 4, 0.1 + place % 9 / 10, NEAR) for place, name in enumerate(names * 5)))
    found = told(said, known, names, least=least)
    assert found.filter(pl.col("truth_id").is_not_null())["boxes"].sum() == 200
    assert found.filter(pl.col("predicted_id").is_not_null())["boxes"].sum() == (said["confidence"] > least).sum()

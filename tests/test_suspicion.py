"""Boxes that no reader drew."""

import polars as pl
import pytest

from radloop.catalog import classes
from radloop.catalog.classes import Wishes
from radloop.dataset import findings, suspicion
from radloop.errors import AnnotationError
from radloop.tables import ANNOTATION_COLUMNS
from taxonomies import VINDR


def boxes(*drawn):
    """Validated findings of (image, x_min, y_min, x_max, y_max), each by a reader of its own, in 1024×1024 pixels."""
    cells = [
        (image, "Cardiomegaly", "3", f"R{at}", *(str(side) for side in box)) for at, (image, *box) in enumerate(drawn)
    ]
    rows = pl.DataFrame(cells, schema=dict.fromkeys(ANNOTATION_COLUMNS, pl.String), orient="row")
    rows = rows.insert_column(0, pl.Series("line", range(2, 2 + len(rows)), dtype=pl.Int64))
    resolved = classes.resolve(rows, Wishes(declared=VINDR))
    return findings.validate(rows, resolved, sizes=None, boxes="scaled", own=True)  # they lie where no finding does


def others(count, **size):
    """`count` boxes, all different, each on an image of its own."""
    return [(f"o{at}", 100 + at % 300, 200 + at // 300, 450 + at % 300, 600) for at in range(count)]


ONE = (10, 20, 300, 400)


def test_sound_boxes_pass():
    suspicion.refuse(boxes(*others(60)), name="train.csv")


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param([(f"a{at}", *ONE) for at in range(5)] + others(60), id="five of 65"),
        pytest.param([(f"a{at}", *ONE) for at in range(20)], id="all of 20"),
        pytest.param([(f"a{at}", *ONE) for at in range(7)] + others(600), id="seven of 607"),
        pytest.param([(f"a{at // 2}", *ONE) for at in range(12)] + others(60), id="two readers each"),
    ],
)
def test_one_box_on_many_images_stops(drawn):
    with pytest.raises(AnnotationError, match=r"one and the same, 10, 20, 300, 400, on [0-9]+ images"):
        suspicion.refuse(boxes(*drawn), name="train.csv")


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param([("a", *ONE)] * 40 + others(20), id="forty readers of one image"),
        pytest.param([(f"a{at}", *ONE) for at in range(4)] + others(60), id="four images"),
        pytest.param([(f"a{at}", *ONE) for at in range(5)] + others(600), id="under one percent"),
    ],
)
def test_boxes_that_coincide_within_an_image_or_by_chance_pass(drawn):
    suspicion.refuse(boxes(*drawn), name="train.csv")


@pytest.mark.parametrize(
    ("box", "stops"),
    [
        pytest.param((2, 2), True, id="a point"),
        pytest.param((1, 300), True, id="a line down"),
        pytest.param((300, 2), True, id="a line across"),
        pytest.param((3, 3), False, id="three pixels"),
    ],
)
def test_boxes_of_a_pixel_or_two_stop(box, stops):
    width, height = box
    drawn = [(f"a{at}", 50 + at, 60, 50 + at + width, 60 + height) for at in range(5)] + others(60)
    valid = boxes(*drawn)
    if not stops:
        suspicion.refuse(valid, name="train.csv")
        return
    with pytest.raises(AnnotationError, match="5 of 65 boxes are at most 2 pixels"):
        suspicion.refuse(valid, name="train.csv")
    suspicion.refuse(boxes(*drawn[1:]), name="train.csv")

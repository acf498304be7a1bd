"""The truth of an image: what at least two of its readers drew, or its only one."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.catalog import truth
from radloop.errors import AnnotationError
from radloop.tables import CLASS_ID, CONSENSUS, EDGES, TRUTH

HERE, NEAR, FAR = (0.1, 0.1, 0.4, 0.4), (0.1, 0.1, 0.42, 0.4), (0.6, 0.6, 0.9, 0.9)
SCHEMA = {"image_id": pl.String, "rad_id": pl.String, "class_id": CLASS_ID, **dict.fromkeys(EDGES, pl.Float64)}


def readings(*rows) -> pl.DataFrame:
    """Rows as (image, reader, class, box); without class and box where nothing was found."""
    filled = [(*row[:2], *(row[2:3] or (None,)), *(row[3] if len(row) > 3 else (None,) * 4)) for row in rows]
    return pl.DataFrame(filled, schema=SCHEMA, orient="row")


def drawn(table: pl.DataFrame) -> list[tuple[str, int]]:
    return table.select("image_id", "class_id").rows()


def test_the_only_reader_of_an_image_is_its_truth():
    found = truth.of(readings(("a", "R1", 3, HERE), ("b", "R1")))
    assert found.rows() == [("a", 3, *HERE)]
    assert found.schema == TRUTH


def test_of_several_readers_two_have_to_agree():
    table = readings(
        ("a", "R1", 3, HERE), ("a", "R2", 3, NEAR), ("a", "R3", 3, FAR), ("b", "R1", 3, HERE), ("b", "R2"),
        ("c", "R1", 3, HERE), ("c", "R2", 4, HERE),
    )  # fmt: skip
    assert drawn(truth.of(table)) == [("a", 3)]


def test_one_second_reader_takes_nothing_from_the_truth_of_other_images():
    alone = readings(*((f"i{n}", "R1", n % 3, HERE) for n in range(10)))
    second = readings(("i0", "R99", 0, HERE))
    assert drawn(truth.of(pl.concat([alone, second]))) == drawn(truth.of(alone))


@pytest.mark.parametrize(
    ("min_readers", "kept"), [(1, [True] * 3), (2, [True, False, True]), (17, [True, False, True])]
)
def test_a_box_needs_no_more_readers_than_have_read_its_image(min_readers, kept):
    table = readings(
        ("a", "R1", 3, HERE), ("b", "R1", 3, HERE), ("b", "R2"), ("c", "R1", 3, HERE), ("c", "R2", 3, HERE)
    )
    fused = truth.fuse(table, min_readers=min_readers)
    assert fused["kept"].to_list() == kept
    assert fused.schema == CONSENSUS
    assert fused["readers"].to_list() == [1, 2, 2]
    assert fused["rad_ids"].to_list() == [["R1"], ["R1"], ["R1", "R2"]]


def test_two_boxes_of_one_reader_are_one_reader():
    assert truth.of(readings(("a", "R1", 3, HERE), ("a", "R1", 3, NEAR), ("a", "R2"))).is_empty()


def test_more_boxes_of_a_class_on_an_image_than_anybody_draws_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(truth, "_MOST_DRAWN", 3)
    assert truth.of(readings(*[("a", "R1", 3, HERE)] * 3)).height == 1
    with pytest.raises(AnnotationError, match=r"image a: 4 boxes of class 3, .* Take the image out"):
        truth.of(readings(*[("a", "R1", 3, HERE)] * 4))


def test_no_readings_have_no_truth():
    assert truth.of(readings()).rows() == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from(["R1", "R2", "R3"]), st.integers(0, 40), st.sampled_from([HERE, FAR])
        ),
        max_size=20,
    ),
    st.randoms(use_true_random=False),
)
def test_the_truth_does_not_depend_on_the_order_of_rows(rows, shuffler):
    found = truth.of(readings(*rows))
    shuffler.shuffle(rows)
    assert truth.of(readings(*rows)).equals(found)

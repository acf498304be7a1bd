"""The page Images by its address: which images it shows, what it refuses, and what it keeps."""

from datetime import UTC, datetime

import polars as pl
import pytest

import written_loop
from app_pages import opened, said
from radloop.dashboard import filters, loading, selection
from radloop.dashboard.filters import Filters
from radloop.options import Dashboard
from radloop.taxonomy import NOTHING
from radloop.vindr.classes import TAXONOMY as VINDR


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Dashboard:
    return written_loop.run(tmp_path_factory.mktemp("loop"), VINDR)


@pytest.fixture(scope="module")
def known(inputs):
    found = loading.dataset(inputs.dataset)
    return found, loading.feedback(inputs.feedback, found.taxonomy)


def asked(known, **query: str | list[str]) -> tuple[Filters, list[str]]:
    told = {name: [value] if isinstance(value, str) else value for name, value in query.items()}
    return filters.read(told, filters.choices(*known))


def shown(known, **query: str | list[str]) -> pl.DataFrame:
    wanted, problems = asked(known, **query)
    assert problems == []
    return selection.images(*known, wanted)


def test_address_is_read_as_it_was_written(known):
    wanted = Filters(
        split="test", classes=(VINDR.names[0], VINDR.names[3]), readers=("R2",), outcome="missed", model="oracle",
        version="1", min_confidence=0.25, max_confidence=0.5, site="s", device="d",
        since=datetime(2026, 1, 2, tzinfo=UTC), until=datetime(2026, 1, 2, 12, 5, 1, tzinfo=UTC), group="g", boxes=3,
        finding="yes", seen_by=2, at=(0.25, 1 / 3),
        measure="area", low=-0.1, high=1 / 3, contains="é&=?", order="id",
    )  # fmt: skip
    assert set(wanted.query()) == set(filters.NAMES)
    assert asked(known, **wanted.query()) == (wanted, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("split", "<script>alert(1)</script>"), ("class", "x" * 10_000), ("reader", "nobody"), ("outcome", "maybe"),
        ("model", "another"), ("min_confidence", "nan"), ("max_confidence", "1e9"), ("site", "\u202eretsulc"),
        ("device", "'"), ("since", "yesterday"), ("until", "2026-13-01"), ("boxes", "-1"), ("low", "inf"),
        ("order", "best"), ("since", "0001-01-01T00:00+23:59"), ("until", "9999-12-31T23:59-23:59"),
    ],
)  # fmt: skip
def test_what_an_address_cannot_mean_is_said_and_left_out(name, value, known):
    wanted, problems = asked(known, **{name: value})
    assert wanted == Filters()
    assert len(problems) == 1
    assert value[:200] in problems[0] or repr(value)[1:-1] in problems[0]
    assert len(problems[0]) < 300


def test_class_split_and_reader_leave_the_images_that_have_them_all(known):
    found, _ = known
    name = VINDR.names[3]
    listed = shown(known, split="training", reader="R2", **{"class": name})
    rows = found.labels.filter(split="training")
    own = set(rows.filter(class_name=name)["image_id"]) & set(rows.filter(rad_id="R2")["image_id"])
    assert set(listed["image_id"]) == own
    assert own


def test_no_finding_leaves_the_images_without_a_box(known):
    listed = shown(known, **{"class": NOTHING})
    assert listed.height == 8
    assert listed["boxes"].sum() == 0


def test_range_of_confidence_leaves_out_its_lower_end(known):
    _, said = known
    least, most = 0.5, float(said.records.detections["confidence"].max())
    listed = shown(known, min_confidence=str(least), max_confidence=str(most))
    inside = said.records.detections.filter(pl.col("confidence") > least)
    assert set(listed["image_id"]) == set(inside["image_id"])
    assert shown(known, min_confidence=str(most)).is_empty()


def test_outcomes_are_those_of_the_judged_boxes_at_the_confidence(known):
    """The detector of this loop says what one reader drew: what it is sure of is true, and the rest is missed."""
    every = shown(known, outcome="true")
    sure = shown(known, outcome="true", min_confidence="0.8")
    missed = shown(known, outcome="missed", min_confidence="0.8")
    assert set(sure["image_id"]) < set(every["image_id"])
    assert set(every["image_id"]) <= set(sure["image_id"]) | set(missed["image_id"])
    assert not set(every["split"]) & {"training"}
    assert shown(known, outcome="false").is_empty()


def test_feedback_of_a_time_leaves_its_images(known):
    _, said = known
    at = said.records.feedback.sort("timestamp").row(4, named=True)
    when = at["timestamp"].replace(tzinfo=None).isoformat()
    assert shown(known, since=when, until=when)["image_id"].to_list() == [at["image_id"]]
    assert shown(known, since="2027-01-01").is_empty()


def test_bin_of_a_measure_leaves_what_lies_in_it(known):
    found, _ = known
    listed = shown(known, measure="boxes", low="1", high="2")
    assert set(listed["image_id"]) == set(found.labels.group_by("image_id").len().filter(len=2)["image_id"]) - set(
        shown(known, **{"class": NOTHING})["image_id"]
    )
    assert shown(known, measure="no such", low="1").is_empty()


def test_page_says_what_it_leaves_out_and_stays_up(inputs):
    test = opened("images", inputs, split="nowhere", page="-3", min_confidence="high")
    assert "There is no split 'nowhere'." in said(test)
    assert "'high' is no confidence from 0 to 1." in said(test)
    assert "48 images" in said(test)


def test_another_choice_changes_the_address_and_next_walks_what_is_left(inputs):
    test = opened("images", inputs, split="test")
    test.multiselect(key="filter-class").set_value([VINDR.names[2]]).run()
    assert test.query_params == {"split": "test", "class": VINDR.names[2]}
    test.multiselect(key="filter-class").set_value([]).run()
    test.segmented_control(key="images-view").set_value("One image").run()
    first = test.query_params["image"]
    next(button for button in test.button if button.label == "Next").click().run()
    assert "Image 2 of 4." in said(test)
    assert test.query_params["image"] != first
    assert test.query_params["split"] == "test"
    next(button for button in test.button if button.label == "Clear").click().run()
    assert test.query_params == {}
    assert "48 images" in said(test)

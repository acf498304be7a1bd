"""My reads: the reads of one reader, and what they tell of that reader."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from playwright.sync_api import expect

import written_loop
from app_pages import opened, said
from browser_session import served, window
from radloop.dashboard import loading
from radloop.feedback import reviews
from radloop.feedback.reviews import Finding, Review, Shown
from taxonomies import VINDR

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HEART = Finding(class_id=3, bbox=(0.5, 0.6, 0.4, 0.2))
AI = Shown(class_id=3, bbox=HEART.bbox, confidence=0.9)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """ann and bob read eight images; the model's heart is shown to ann, who takes it over four times."""
    inputs = written_loop.run(tmp_path_factory.mktemp("loop"), VINDR)
    found = loading.dataset(inputs.dataset)
    given = loading.feedback(inputs.feedback, found.taxonomy).records.feedback.unique("image_id").sort("feedback_id")
    for number, (feedback_id, image_id) in enumerate(given.select("feedback_id", "image_id").head(8).rows()):
        for reader, heart in (("ann", number < 4), ("bob", number < 2)):
            read = {"blind_findings": [], "revealed": True, "shown": [AI]} if reader == "ann" else {}
            written(inputs, reader, feedback_id, image_id, heart, seconds_blind=20.0, seconds_total=30 + number, **read)
    feedback_id, image_id = given.select("feedback_id", "image_id").row(7)
    written(inputs, "ann", feedback_id, image_id, True, minute=5, comment="there is one after all")
    return inputs


def written(inputs, reader, feedback_id, image_id, heart, minute=0, **more):
    review = Review(
        feedback_id=feedback_id,
        image_id=image_id,
        reviewer=reader,
        verdict="correct" if heart else "normal",
        findings=[HEART] if heart else [],
        timestamp=(NOON + timedelta(minutes=minute)).isoformat(),
        **more,
    )
    reviews.write(inputs.reviews, review, VINDR)


def of(inputs, reader):
    test = opened("reads", inputs)
    test.text_input(key="reader").set_value(reader).run()
    assert [error.message for error in test.exception] == []
    return test


def test_reads_are_shown_to_nobody_who_does_not_say_who_it_is(inputs):
    assert len(opened("reads", inputs).dataframe) == 0


def test_own_reads_are_listed_with_their_times_and_what_became_of_them(inputs):
    test = of(inputs, "ann")
    listed = pl.DataFrame(test.dataframe[0].value)
    assert listed.height == 8
    assert listed["state"].to_list().count("") == 5
    assert listed["state"].to_list().count("in dispute") == 2
    assert listed.select("verdict", "state", "comment").row(0) == (
        "Corrected",
        "amended, in dispute",
        "there is one after all",
    )
    assert {metric.label: metric.value for metric in test.metric} == {
        "Images read": "8",
        "Not readable": "0",
        "Blind read, median": "20 s",
        "Whole read, median": "33 s",
    }


def test_agreement_with_others_is_that_of_first_looks(inputs):
    assert "Of 8 pairs of reads 75.0% (95 % interval" in said(of(inputs, "ann"))


def test_how_often_the_model_is_followed_is_told_with_its_interval(inputs):
    shown = said(of(inputs, "ann"))
    assert "| ann | 8 | 50.0% (95 % interval" in shown
    assert "| all readers | 8 | 50.0%" in shown
    assert "no blind read of yours" in said(of(inputs, "bob"))


def test_reader_who_has_read_nothing_is_told_where_to_begin(inputs):
    assert "has read nothing yet" in said(of(inputs, "eve"))


@pytest.mark.slow
def test_read_that_is_chosen_is_on_the_desk_again(inputs, tmp_path):
    with served(inputs, tmp_path / "log") as address, window(address) as browser:
        browser.open("my-reads")
        browser.page.get_by_label("Reader ID", exact=True).fill("ann")
        browser.page.keyboard.press("Enter")
        listed = browser.page.get_by_test_id("stDataFrame").first
        expect(listed).to_be_visible()
        browser.settle()
        listed.click(position={"x": 18, "y": 55})  # the box before the first row; a canvas has no names
        browser.page.wait_for_url("**/review?feedback=*")
        expect(browser.page.get_by_role("button", name="ann", exact=True)).to_be_visible()
        newest = loading.reviews(inputs.reviews, VINDR).reviews.reviews.filter(reviewer="ann").sort("timestamp")
        assert browser.page.url.endswith(f"feedback={newest['feedback_id'][-1]}")
        assert browser.outside == []

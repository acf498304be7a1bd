"""Images to be read elsewhere begin with the boxes of their feedback, else with those of the dataset's readers."""

import polars as pl
import pytest

import exports
from radloop.catalog import version
from radloop.dataset.export import tasks
from radloop.feedback import reading
from radloop.tables import DETECTIONS, EDGES, FEEDBACK
from taxonomies import VINDR

NOTHING = FEEDBACK.to_frame(), DETECTIONS.to_frame()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return exports.organized(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def records(dataset):
    return reading.read(dataset.parent / "feedback", VINDR)


def test_every_image_is_a_task_and_speaks_of_its_feedback(dataset, records):
    chosen = exports.read(dataset, splits=("production",))
    work = tasks.of(chosen, records.feedback, records.detections)
    expected = records.feedback.filter(split="production").sort("image_id")
    told = ["image_id", "feedback_id", "image_md5"]
    assert work.images.select(told).rows() == expected.select(told).rows()
    assert work.authors.rows() == [
        (image_id, "oracle 1 (simulated)", confidence)
        for image_id, confidence in expected.select("image_id", "confidence").iter_rows()
    ]


def test_boxes_are_the_detections_of_that_feedback_inside_the_picture(dataset, records):
    chosen = exports.read(dataset, splits=("production",))
    over = records.detections.with_columns(x_max_norm=pl.col("x_max_norm") + 0.9)
    work = tasks.of(chosen, records.feedback, over)
    own = records.detections.join(chosen.images, on="image_id", how="semi").with_columns(x_max_norm=pl.lit(1.0))
    rows = own.select("image_id", VINDR.named(pl.col("class_id")), "confidence", *EDGES).rows()
    assert sorted(work.boxes.drop("author").rows()) == sorted(rows)


@pytest.mark.parametrize("labels", ["per-reader", "consensus"])
def test_image_without_feedback_begins_with_what_its_readers_drew(dataset, labels):
    chosen = exports.read(dataset, splits=("production",), labels=labels)
    work = tasks.of(chosen, *NOTHING)
    assert work.images["feedback_id"].null_count() == work.images.height == 6
    each = [name for row in chosen.images.to_dicts() for name in row["readers"]]
    fused = labels == "consensus"
    assert work.authors["author"].to_list() == (["consensus"] * 6 if fused else [f"reader {name}" for name in each])
    assert work.boxes.height == chosen.boxes.height > 0
    assert work.boxes.select(EDGES).sort(EDGES).rows() == chosen.boxes.select(EDGES).sort(EDGES).rows()


def test_normal_image_has_an_author_who_drew_nothing(dataset):
    known = version.read(dataset).annotations
    (normal, *_) = known.filter(pl.col("class_id").is_null(), pl.col("split") == "training")["image_id"].unique().sort()
    work = tasks.of(exports.read(dataset, labels="consensus"), *NOTHING)
    assert work.authors.filter(image_id=normal)["author"].to_list() == ["consensus"]
    assert work.boxes.filter(image_id=normal).is_empty()

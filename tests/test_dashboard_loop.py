"""The pages' numbers are those of the commands."""

import pytest

import small_loop
from radloop.dashboard import loading, loop
from radloop.feedback import retraining as rule
from radloop.pipelines import evaluating, retraining, reviewing


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return small_loop.run(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def parts(inputs):
    return loading.dataset(inputs.dataset), loading.feedback(inputs.feedback), loading.reviews(inputs.reviews)


def test_evaluation_is_that_of_the_command(inputs, parts, tmp_path):
    found, said, _ = parts
    (told,) = evaluating.evaluate(tmp_path, feedback=inputs.feedback, dataset=inputs.dataset).models
    ((model, version, images),) = loop.models(found, said).rows()
    judged = loop.evaluated(found, said, model, version)
    assert images == judged.images == told.images
    assert judged.precision[0.4].row(-1, named=True)["ap"] == told.map_40["ap"]
    assert judged.precision[0.5].row(-1, named=True)["ap_low"] == told.map_50["ap_low"]
    assert judged.calibration.equals(told.calibration)
    assert loop.against_readers(found, said, model, version).equals(told.readers)


def test_next_round_is_that_of_the_command(inputs, parts, tmp_path):
    decided = loop.decided(*parts, rule.MIN_CONFIDENCE, False)
    told = retraining.retrain(
        tmp_path,
        str(tmp_path / "store"),
        feedback=inputs.feedback,
        reviewed=inputs.reviews,
        dataset=inputs.dataset,
        dry_run=True,
    )
    assert rule.count(decided.fates) == told.report["fates"]
    assert decided.rows["image_id"].n_unique() == told.report["images"]


def test_queue_is_that_of_the_command(inputs, parts, tmp_path):
    told = reviewing.order(tmp_path, feedback=inputs.feedback, reviewed=inputs.reviews, dataset=inputs.dataset)
    assert loop.queued(*parts)["feedback_id"].to_list() == told.queue["feedback_id"].to_list()


def test_balance_counts_an_image_once_and_replaces_the_readers_of_a_reviewed_one(parts):
    found = parts[0]
    some = found.labels.filter(split="training")["image_id"][0]
    rows = found.labels.filter(image_id=some).head(1).select("image_id", "rad_id", "class_id").with_columns(class_id=3)
    balance = loop.balance(found, rows.cast({"class_id": found.labels.schema["class_id"]}))
    assert balance["after"].sum() <= balance["before"].sum() + 1


def test_every_box_and_every_silence_is_in_one_bin(parts):
    said = parts[1]
    held = loop.confidences(said)
    silent = said.records.feedback.filter(class_id=14).height
    assert held.filter(kind="boxes")["count"].sum() == said.records.detections.height
    assert held.filter(kind="no finding")["count"].sum() == silent

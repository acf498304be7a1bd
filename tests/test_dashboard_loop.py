"""The pages' numbers are those of the commands."""

import shutil
from dataclasses import replace

import polars as pl
import pytest

import small_loop
import taxonomies
import written_loop
from radloop import options
from radloop.catalog import judging
from radloop.catalog.judging import Judged
from radloop.catalog.rule import Rule
from radloop.dashboard import loading, loop, samples
from radloop.feedback import records
from radloop.feedback import retraining as deciding
from radloop.measures import counts
from radloop.pipelines import evaluating, offline, retraining, reviewing

DETECTOR = ("oracle", "1")  # of written_loop


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return small_loop.run(tmp_path_factory.mktemp("loop"))


def read(inputs):
    found = loading.dataset(inputs.dataset)
    feedback = loading.feedback(inputs.feedback, found.taxonomy)
    return found, feedback, loading.reviews(inputs.reviews, found.taxonomy)


@pytest.fixture(scope="module")
def parts(inputs):
    return read(inputs)


@pytest.fixture
def spine(tmp_path):
    return written_loop.run(tmp_path / "out", taxonomies.SPINE)


@pytest.mark.parametrize("rule", [Rule(), Rule(min_confidence=0.6)], ids=["default", "lower"])
def test_evaluation_is_that_of_the_command(rule, inputs, parts, tmp_path):
    found, said, _ = parts
    asked = {"feedback": inputs.feedback, "dataset": inputs.dataset, "min_confidence": rule.min_confidence, "seed": 3}
    commands = evaluating.evaluate(options.Evaluate(out=tmp_path, **asked)).models
    parts = loop.parts(found, said).rows()
    assert len(parts) > 1
    for (*part, images), command in zip(parts, commands, strict=True):
        judged = loop.evaluated(found, said, tuple(part), rule, 3)
        assert (part[-1], images) == (command.split, command.images)
        assert (judged.images, judged.groups) == (command.images, command.groups)
        assert judged.precision[0.4].row(-1, named=True)["ap"] == command.map_40["ap"]
        assert judged.precision[0.5].row(-1, named=True)["ap_low"] == command.map_50["ap_low"]
        assert judged.labels.row(-1, named=True)["labels"] == command.pseudo_labels["labels"]
        assert judged.calibration.equals(command.calibration)
        assert judged.calibration_floor == command.calibration_floor
        assert loop.against_readers(found, said, tuple(part)).equals(command.readers)


def answer(inputs, image_id, feedback_id, *, minute, confidence, bbox=(0.5, 0.5, 0.2, 0.2), model=DETECTOR[0]):
    """One feedback more of a detector, of one box."""
    records.write(
        inputs.feedback,
        records.Feedback(
            image_id=image_id,
            class_id=0,
            confidence=confidence,
            bbox=bbox,
            timestamp=f"2026-02-02T12:{minute:02}:00+00:00",
            model=records.Model(name=model, version=DETECTOR[1]),
            feedback_id=feedback_id,
        ),
    )


def figures(judged: Judged) -> tuple:
    return judged.images, judged.truth, judged.precision[0.4].rows(), judged.calibration.rows()


def judged(inputs) -> Judged:
    found, said, _ = read(inputs)
    return loop.evaluated(found, said, (*DETECTOR, "test"), Rule(), 0)


def test_images_of_training_are_not_judged(spine):
    before = judged(spine)
    training = loading.dataset(spine.dataset).rows.filter(split="training")["image_id"].unique().sort()
    for number, image_id in enumerate(training):
        answer(spine, image_id, f"t{number}", minute=number, confidence=0.99)
    found, said, _ = read(spine)
    assert said.records.feedback["image_id"].is_in(training.implode()).sum() == len(training)
    assert figures(judged(spine)) == figures(before)
    assert loop.parts(found, said).filter(split="test")["images"].to_list() == [before.images]
    assert "training" not in loop.parts(found, said)["split"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["newest written last", "newest written first"])
def test_newest_feedback_on_an_image_is_the_one_that_is_judged(order, spine, tmp_path):
    alone = replace(spine, feedback=tmp_path / "alone")
    shutil.copytree(spine.feedback, alone.feedback)
    image_id = loading.dataset(spine.dataset).rows.filter(split="test")["image_id"][0]
    answers = [
        lambda into: answer(into, image_id, "b-older", minute=1, confidence=0.97, bbox=(0.2, 0.2, 0.1, 0.1)),
        lambda into: answer(into, image_id, "a-newer", minute=2, confidence=0.93, bbox=(0.8, 0.8, 0.1, 0.1)),
    ]
    (alone.feedback / f"{image_id}.json").unlink()  # one of January, older than both
    answers[1](alone)
    for place in order:
        answers[place](spine)
    assert read(spine)[1].records.feedback.filter(image_id=image_id).height == 3
    assert figures(judged(spine)) == figures(judged(alone))


def test_next_round_is_that_of_the_command(inputs, parts, tmp_path):
    for rule in (Rule(), Rule(min_confidence=0.5), Rule(require_review=True), Rule(include_held_out=True)):
        decided = loop.decided(*parts, rule)
        asked = {name: value for name, value in rule.document().items() if name != "doubtful"}
        folders = {"feedback": inputs.feedback, "reviews": inputs.reviews, "dataset": inputs.dataset}
        command = retraining.retrain(options.Retrain(out=tmp_path, dry_run=True, **folders, **asked))
        assert deciding.count(decided.fates) == command.report["fates"]
        assert decided.rows["image_id"].n_unique() == command.report["images"]


@pytest.mark.parametrize("seed", [0, 7])
def test_queue_is_that_of_the_command(seed, inputs, parts, tmp_path):
    asked = {"feedback": inputs.feedback, "reviews": inputs.reviews, "dataset": inputs.dataset}
    command = reviewing.order(options.Review(out=tmp_path, queue=True, seed=seed, **asked))
    assert loop.queued(*parts, seed, 0.1)["feedback_id"].to_list() == command.queue["feedback_id"].to_list()


def test_last_rule_is_that_of_the_report_else_the_default(tmp_path):
    rule = Rule(min_confidence=0.35, require_review=True)
    assert loading.last_rule(written_loop.run(tmp_path, taxonomies.SPINE, rule=rule).retrain) == rule
    assert loading.last_rule(tmp_path / "nowhere" / "retrain.csv") == Rule()


@pytest.mark.parametrize("rule", [Rule(allow_simulated=True), Rule(allow_simulated=True, min_confidence=0.3)])
def test_balance_is_that_of_the_version_that_comes_of_it(rule, inputs, parts, tmp_path):
    found = parts[0]
    rows = loop.decided(*parts, rule).rows
    assert rows["trains"].any()
    balance = loop.balance(found, rows.filter("trains"))
    (tmp_path / "retrain.csv").write_bytes(deciding.csv(rows, found.taxonomy))
    films = str(inputs.dataset.parent / "films")
    etl = options.Etl(out=tmp_path / "next", source=films, sizes=small_loop.SIZES, previous=str(inputs.dataset))
    offline.etl(replace(etl, add=tmp_path / "retrain.csv"))
    after = loading.dataset(tmp_path / "next" / "organized").labels.filter(split="training")
    expected = counts.classes(after, found.taxonomy)
    assert balance.select("class_name", "after").rows() == expected.select("class_name", "images").rows()
    assert balance["after"].sum() > balance["before"].sum()


def test_every_box_and_every_silence_is_in_one_bin(parts):
    said = parts[1]
    held = loop.confidences(said)
    silent = said.records.feedback.filter(pl.col("class_id").is_null()).height
    assert held.filter(kind="boxes")["count"].sum() == said.records.detections.height
    assert held.filter(kind="no finding")["count"].sum() == silent


def test_page_and_command_leave_out_the_same_feedback(inputs, parts, tmp_path):
    found, said, _ = parts
    command = evaluating.evaluate(options.Evaluate(out=tmp_path, feedback=inputs.feedback, dataset=inputs.dataset))
    assert loop.left_out(found, said) == command.left_out
    read = said.records.feedback.height
    judged = sum(images for *_, images in loop.parts(found, said).rows())
    assert judged + sum(each.feedback for each in command.left_out) == read


def test_images_shows_each_detectors_boxes_by_its_name(spine):
    found, said, _ = read(spine)
    image_id = said.records.feedback["image_id"][0]
    drawn = [layer.name for layer in samples.layers(found, said, image_id)]
    assert drawn[-1] == "AI findings"
    answer(spine, image_id, "another-1", minute=59, confidence=0.4, model="another")
    found, said, _ = read(spine)
    names = [layer.name for layer in samples.layers(found, said, image_id)]
    assert names[:-2] == drawn[:-1]
    assert sorted(names[-2:]) == sorted(
        [f"AI findings, {judging.name(*DETECTOR)}", f"AI findings, another {DETECTOR[1]}"]
    )

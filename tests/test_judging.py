"""Which feedback judges a detector, and against what: the newest, outside training, by the truth of each image."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_up
import taxonomies
from feedback_files import bare, put
from radloop import cli, manifest, options, summaries, tree
from radloop.catalog import judging, truth, version
from radloop.catalog.rule import KEY, Rule
from radloop.dataset import plan
from radloop.errors import DatasetError, FeedbackError
from radloop.feedback import records
from radloop.feedback.records import Detection, Feedback, Model
from radloop.pipelines import evaluating, offline, online
from radloop.split_sizes import SplitSizes
from radloop.tables import ANNOTATIONS, DETECTIONS, FEEDBACK, FINDINGS
from radloop.taxonomy import Taxonomy

Box = tuple[float, float, float, float]
HERE, NEAR, THERE = (0.125, 0.125, 0.375, 0.375), (0.15625, 0.125, 0.40625, 0.375), (0.5, 0.5, 0.875, 0.875)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def said(image_id: str, feedback_id: str, *, split: str | None = "test", hour: int = 0, **changes) -> dict[str, object]:
    """One feedback of the detector m1 as `guard.judge` gives it."""
    when = NOON + timedelta(hours=hour)
    row = {"image_id": image_id, "feedback_id": feedback_id, "split": split, "timestamp": when, "model": "m1"}
    return row | changes


def feedback(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={**FEEDBACK, "other_picture": pl.Boolean}).with_columns(
        pl.col("other_picture").fill_null(value=False)
    )


def read(*rows: tuple[str, str, int | None, Box | None]) -> pl.DataFrame:
    filled = [(image, reader, class_id, *(box or (None,) * 4), 1000, 1000) for image, reader, class_id, box in rows]
    return pl.DataFrame(filled, schema=FINDINGS, orient="row").with_columns(group="image_id")


def predicted(*rows: tuple[str, str, int, float, Box]) -> pl.DataFrame:
    filled = [(feedback_id, image, class_id, sure, *box) for feedback_id, image, class_id, sure, box in rows]
    return pl.DataFrame(filled, schema=DETECTIONS, orient="row")


def test_the_newest_feedback_counts_whatever_the_order_of_rows() -> None:
    rows = [said("a", "new", hour=2), said("a", "newest", hour=3), said("a", "old", hour=1), said("b", "only")]
    for order in (rows, rows[::-1]):
        assert sorted(judging.newest(feedback(*order))["feedback_id"]) == ["newest", "only"]


def test_of_feedback_at_one_time_that_with_the_larger_id_counts() -> None:
    for order in (("f1", "f2"), ("f2", "f1")):
        assert judging.newest(feedback(*(said("a", name) for name in order)))["feedback_id"].to_list() == ["f2"]


def test_images_of_training_and_of_no_dataset_do_not_count() -> None:
    splits = ("training", None, "validation", "test", "staging", "canary", "production")
    table = feedback(*(said(f"i{place}", f"f{place}", split=split) for place, split in enumerate(splits)))
    assert judging.usable(table)["split"].to_list() == list(splits[2:])
    assert judging.newest(table)["split"].to_list() == list(splits[2:])


def test_feedback_on_another_picture_does_not_count_and_takes_no_place() -> None:
    rows = [said("a", "own", hour=1), said("a", "brighter", hour=2, other_picture=True)]
    assert judging.newest(feedback(*rows))["feedback_id"].to_list() == ["own"]


def test_a_newer_feedback_on_training_does_not_take_the_place_of_another_image() -> None:
    table = feedback(said("a", "f1", hour=1), said("b", "f2", split="training", hour=2))
    assert judging.newest(table)["feedback_id"].to_list() == ["f1"]


def test_each_version_of_a_model_is_a_detector_of_its_own_and_one_without_a_name_too() -> None:
    table = feedback(
        said("a", "f1", model_version="1"),
        said("a", "f2", model_version="2", hour=1),
        said("b", "f3", model_version="2"),
        said("a", "f4", model=None, hour=2),
        said("a", "f5", hour=3),
    )
    newest = judging.newest(table)
    assert newest.height == 5
    assert sorted(judging.parts(newest, newest).rows()) == [
        ("", "", "test", 1), ("m1", "", "test", 1), ("m1", "1", "test", 1), ("m1", "2", "test", 2),
    ]  # fmt: skip


def test_image_that_came_in_and_is_held_out_with_one_of_test_is_left_out_and_no_image_of_test() -> None:
    rows = (said("a", "own"), said("b", "came in"), said("c", "of the audit", split="audit"))
    newest, own = judging.newest(feedback(*rows)), pl.DataFrame({"image_id": ["a"]})
    assert judging.parts(newest, own).rows() == [("m1", "", "test", 1)]
    reason = "the image came in from production, and no reader of the source has read it"
    assert judging.left_out(newest, newest, own) == (judging.LeftOut(reason, 1, 1),)


def test_each_split_is_judged_apart_and_test_comes_first() -> None:
    splits = ("canary", "production", "validation", "test", "staging")
    rows = [said(f"{split}{n}", f"{n}{split}", split=split, model=name) for n, name in enumerate(("m2", "m1"))
            for split in splits]  # fmt: skip
    newest = judging.newest(feedback(*rows))
    parts = judging.parts(newest, newest)
    assert parts.filter(model="m1")["split"].to_list() == ["test", "production", "validation", "staging", "canary"]
    assert parts["model"].to_list() == ["m1"] * 5 + ["m2"] * 5
    assert judging.part(newest, "m1", "", "canary")["image_id"].to_list() == ["canary1"]


def judge(
    readings: pl.DataFrame, detections: pl.DataFrame, looked: pl.DataFrame, classes: Taxonomy, rule: Rule | None = None
) -> judging.Judged:
    return judging.judge(judging.matched(looked, detections, readings), classes, rule=rule or Rule())


def test_a_detector_is_judged_on_the_images_that_it_looked_at_by_the_boxes_it_gave_there(classes: Taxonomy) -> None:
    readings = read(("a", "R1", 3, HERE), ("b", "R1", 3, HERE), ("elsewhere", "R1", 3, HERE))
    detections = predicted(
        ("f1", "a", 3, 0.95, HERE), ("older", "a", 3, 0.99, THERE), ("f2", "b", 3, 0.94, THERE),
        ("other", "elsewhere", 3, 0.99, THERE),
    )  # fmt: skip
    looked = feedback(said("a", "f1"), said("b", "f2"))
    judged = judge(readings, detections, looked, classes)
    assert (judged.images, judged.truth, judged.single_reader) == (2, 2, 2)
    total = judged.labels.row(-1, named=True)
    assert (total["truth"], total["labels"], total["correct"]) == (2, 2, 1)
    alone = judging.against_readers(looked, detections, readings, classes)
    assert alone.rows() == [("R1", 2, 2, pytest.approx(51 / 101), True)]


def test_an_image_that_nobody_has_read_is_not_judged(classes: Taxonomy) -> None:
    detections = predicted(("f1", "a", 3, 0.95, HERE), ("f2", "unread", 3, 0.99, HERE))
    looked = feedback(said("a", "f1"), said("unread", "f2"))
    judged = judge(read(("a", "R1", 3, HERE)), detections, looked, classes)
    assert (judged.images, judged.labels["precision"][-1]) == (1, 1.0)


def test_a_box_on_an_image_where_two_readers_saw_nothing_is_wrong(classes: Taxonomy) -> None:
    readings = read(("a", "R1", 3, HERE), ("normal", "R1", None, None), ("normal", "R2", None, None))
    detections = predicted(("f1", "a", 3, 0.95, HERE), ("f2", "normal", 3, 0.99, HERE))
    judged = judge(readings, detections, feedback(said("a", "f1"), said("normal", "f2")), classes)
    assert (judged.images, judged.single_reader) == (2, 1)
    assert judged.labels["precision"][-1] == 0.5


def test_both_overlaps_are_of_their_own_name(classes: Taxonomy) -> None:
    loose = (0.125, 0.125, 0.375, 0.2375)  # IoU 0.45 with HERE
    judged = judge(
        read(("a", "R1", 3, HERE)), predicted(("f1", "a", 3, 0.95, loose)), feedback(said("a", "f1")), classes
    )
    assert {iou: table["ap"][-1] for iou, table in judged.precision.items()} == {0.4: pytest.approx(1.0), 0.5: 0.0}


def test_the_rule_says_what_is_a_label(classes: Taxonomy) -> None:
    readings = read(("a", "R1", 3, HERE), ("b", "R1", 3, HERE))
    detections = predicted(("f1", "a", 3, 0.95, HERE), ("f2", "b", 3, 0.7, HERE))
    looked = feedback(said("a", "f1"), said("b", "f2"))
    for least, labels in ((0.9, 1), (0.7, 1), (0.69, 2), (0.95, 0)):
        judged = judge(readings, detections, looked, classes, Rule(min_confidence=least))
        assert (judged.min_confidence, judged.labels["labels"][-1]) == (least, labels)


def half_right(classes: Taxonomy) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Readings, detections and feedback of 30 images; two of three predictions are right."""
    names = [f"i{n:02}" for n in range(30)]
    drawn = [(f"f-{name}", name, 3, 0.91 + n / 500, THERE if n % 3 else HERE) for n, name in enumerate(names)]
    return (
        read(*((name, "R1", 3, THERE) for name in names)),
        predicted(*drawn),
        feedback(*(said(name, f"f-{name}") for name in names)),
    )


def test_intervals_are_drawn_with_the_seed_and_those_of_shares_need_none(classes: Taxonomy) -> None:
    readings, detections, looked = half_right(classes)
    first, again, other = (
        judging.judge(judging.matched(looked, detections, readings), classes, rule=Rule(), seed=seed)
        for seed in (0, 0, 1)
    )
    for name in ("labels", "calibration"):
        assert getattr(first, name).equals(getattr(other, name)), name
    assert first.calibration_floor == again.calibration_floor != other.calibration_floor
    for iou, table in first.precision.items():
        assert table.equals(again.precision[iou])
        assert not table.equals(other.precision[iou])


def test_the_command_passes_the_seed(tmp_path: Path, classes: Taxonomy) -> None:
    readings, detections, _ = half_right(classes)
    dataset(tmp_path, readings, classes)
    for image_id, class_id, sure, *box in detections.drop("feedback_id").iter_rows():
        give(tmp_path, image_id, (class_id, sure, tuple(box)))
    zero, one = (evaluate(tmp_path, seed=seed).models[0] for seed in (0, 1))
    assert (zero.map_40["ap"], zero.pseudo_labels) == (one.map_40["ap"], one.pseudo_labels)
    assert zero.map_40 != one.map_40


def test_images_of_one_patient_are_one_unit_of_the_intervals(classes: Taxonomy) -> None:
    readings, detections, looked = half_right(classes)
    grouped = readings.with_columns(group=pl.col("image_id").str.slice(0, 2))  # ten images each
    alone, together = (judge(each, detections, looked, classes) for each in (readings, grouped))
    assert (alone.groups, together.groups, together.images) == (30, 3, 30)
    assert together.precision[0.4]["ap"].equals(alone.precision[0.4]["ap"])
    assert alone.precision[0.4]["ap_low"][-1] < alone.precision[0.4]["ap"][-1] < alone.precision[0.4]["ap_high"][-1]
    for name, table in (("ap", together.precision[0.4]), ("precision", together.labels), ("recall", together.labels)):
        assert (table[f"{name}_low"][-1], table[f"{name}_high"][-1]) == (None, None), name


def test_labels_are_judged_on_the_same_images_whatever_they_are_of(classes: Taxonomy) -> None:
    known = truth.of(read(*((image, "R1", 3, HERE) for image in ("a", "b", "unlabelled", "elsewhere"))))
    images = pl.DataFrame({"image_id": ["a", "b", "normal", "unlabelled"]}).with_columns(group="image_id")
    rows = predicted(("f1", "a", 3, 0.1, HERE), ("f2", "b", 3, 0.2, THERE))  # however sure: they are labels
    found = judging.labels(rows, known, images, classes)
    assert [found[name] for name in ("images", "labelled", "truth", "labels", "correct")] == [4, 2, 3, 2, 1]
    assert (found["precision"], found["recall"]) == (0.5, pytest.approx(1 / 3))
    nothing = pl.DataFrame({"image_id": ["normal"]})  # a row of retrain.csv without a box
    found = judging.labels(pl.concat([rows, nothing], how="diagonal"), known, images, classes)
    assert [found[name] for name in ("labelled", "labels", "recall")] == [3, 2, pytest.approx(1 / 3)]


def test_average_precision_takes_every_box_that_was_kept_and_calibration_those_that_the_rule_sees(
    classes: Taxonomy,
) -> None:
    readings = read(("a", "R1", 3, HERE), ("b", "R1", 3, HERE))
    boxes = predicted(("f1", "a", 3, 0.95, HERE), ("f2", "b", 3, 0.1, HERE))
    looked = feedback(*(said(name, f, kept_from=0.05) for name, f in (("a", "f1"), ("b", "f2"))))
    judged = judge(readings, boxes, looked, classes)
    assert (judged.cut, judged.precision[0.4]["ap"][-1]) == (0.05, pytest.approx(1.0))
    assert judged.calibration["predictions"].sum() == 1
    without = judge(readings, boxes.head(1), looked.with_columns(kept_from=0.25), classes)
    assert (without.cut, without.precision[0.4]["ap"][-1]) == (0.25, pytest.approx(51 / 101))


def one_second_reader(classes: Taxonomy) -> pl.DataFrame:
    """All images read once, one of them twice."""
    once = [(f"i{n}", "R1", n % len(classes), HERE) for n in range(12)]
    return read(*once, ("i0", "R99", 0, HERE))


def test_one_second_reader_takes_no_truth_away(classes: Taxonomy) -> None:
    readings = one_second_reader(classes)
    detections = predicted(*((f"f-i{n}", f"i{n}", n % len(classes), 0.99, HERE) for n in range(12)))
    judged = judge(readings, detections, feedback(*(said(f"i{n}", f"f-i{n}") for n in range(12))), classes)
    assert (judged.images, judged.truth, judged.single_reader) == (12, 12, 11)
    total = judged.labels.row(-1, named=True)
    assert (total["precision"], total["recall"]) == (1.0, 1.0)
    assert judged.precision[0.4]["ap"][-1] == pytest.approx(1.0)


edge = st.integers(0, 12)
box = st.builds(lambda x, y, w, h: (x / 16, y / 16, (x + w) / 16, (y + h) / 16), edge, edge, *[st.integers(1, 4)] * 2)
reading = st.lists(st.tuples(st.integers(0, 6), box), max_size=4)  # of one reader: classes and boxes
read_images = st.lists(st.lists(reading, min_size=1, max_size=3), min_size=1, max_size=5)


@pytest.mark.slow
@settings(max_examples=50)
@given(read_images, st.sampled_from(list(taxonomies.EVERY.values())))
def test_the_truth_itself_scores_one_on_any_mix_of_readers(
    images: list[list[list[tuple[int, Box]]]], classes: Taxonomy
) -> None:
    rows = [
        (f"i{place}", f"R{reader}", *one)
        for place, readers in enumerate(images)
        for reader, drawn in enumerate(readers)
        for one in drawn or [(None, None)]
    ]
    readings = read(*rows)
    known = truth.of(readings)
    for place, readers in enumerate(images):  # of each image by itself
        own = truth.of(readings.filter(image_id=f"i{place}"))
        assert own.equals(known.filter(image_id=f"i{place}"))
        if len(readers) == 1:
            assert own["class_id"].unique().sort().to_list() == sorted({class_id for class_id, _ in readers[0]})

    named = known.with_columns(feedback_id=pl.format("f-{}", "image_id"), confidence=pl.lit(0.99))
    detections = named.select(DETECTIONS.names())
    looked = feedback(*(said(f"i{place}", f"f-i{place}") for place in range(len(images))))
    judged = judge(readings, detections, looked, classes)
    assert (judged.images, judged.truth) == (len(images), known.height)
    assert judged.single_reader == sum(len(readers) == 1 for readers in images)
    total = judged.labels.row(-1, named=True)
    best = None if known.is_empty() else pytest.approx(1.0)
    assert (total["precision"], total["recall"]) == (best, best)
    assert [table["ap"][-1] for table in judged.precision.values()] == [best, best]


def dataset(out: Path, readings: pl.DataFrame, classes: Taxonomy, **splits: str) -> Path:
    """A dataset of these readings as far as it is read here; every image is of the split "test" but those named."""
    root = out / "organized"
    root.mkdir(parents=True)
    named = pl.col("image_id").replace_strict(splits, default="test", return_dtype=pl.String)
    rows = readings.with_columns(
        class_name=classes.named(pl.col("class_id")),
        split=named,
        group="image_id",
        phash=pl.lit(None, pl.String),
        md5=pl.lit(None, pl.String),
        used=pl.lit(True),
        source=pl.lit("reader"),
        final=pl.lit(False),
    )
    documents = {
        tree.ANNOTATIONS: version.encode(rows.select(ANNOTATIONS.names()), classes),
        tree.SUMMARY: tree.json_file({"settings": {}, "classes": list(classes.names)}),
    }
    for key, data in documents.items():
        (root / key).write_bytes(data)
    (root / manifest.NAME).write_bytes(manifest.encode(plan.listed(documents)))
    return root


def give(out: Path, image_id: str, *boxes: tuple[int, float, Box], hour: int = 0, model: str = "m1") -> None:
    """Write a feedback; a box by its corners."""
    (out / "feedback").mkdir(exist_ok=True)
    detections = [
        Detection(class_id=class_id, confidence=sure, bbox=((x + u) / 2, (y + v) / 2, u - x, v - y))
        for class_id, sure, (x, y, u, v) in boxes
    ]
    first = detections[0]
    records.write(
        out / "feedback",
        Feedback(
            image_id=image_id,
            class_id=first.class_id,
            confidence=first.confidence,
            bbox=first.bbox,
            detections=detections,
            timestamp=(NOON + timedelta(hours=hour)).isoformat(),
            feedback_id=f"{model}-{image_id}-{hour}",
            model=Model(name=model, version="1"),
        ),
    )


def evaluate(out: Path, **more) -> evaluating.Evaluation:
    return evaluating.evaluate(options.Evaluate(out=out, **more))


def test_the_command_judges_each_detector_by_the_truth_of_each_image(tmp_path: Path, classes: Taxonomy) -> None:
    dataset(tmp_path, one_second_reader(classes), classes, i1="training")
    for n in range(12):
        give(tmp_path, f"i{n}", (n % len(classes), 0.99, HERE), hour=1)
        give(tmp_path, f"i{n}", (n % len(classes), 0.95, THERE), model="m2")
    give(tmp_path, "i2", (0, 0.99, THERE))  # an older one of m1
    give(tmp_path, "strange", (0, 0.99, THERE))
    (tmp_path / "feedback" / "broken.json").write_text("{")

    found = evaluate(tmp_path)
    assert [(each.reason, each.feedback, each.images) for each in found.left_out] == [
        ("cannot be read", 1, None),
        ("the dataset does not know the image", 1, 1),
        ("the image is of training now: a detector may have learned from it", 2, 1),
        ("a newer one of the detector is on the image", 1, 1),
    ]
    assert found.version == version.read(tmp_path).id
    assert found.notes == ("10 of 11 images had one reader only: their truth is what this one drew",)
    right, wrong = sorted(found.models, key=lambda each: each.model)
    assert (right.model, right.images, right.single_reader, right.truth) == ("m1 1", 11, 10, 11)
    assert (right.map_40["ap"], right.map_50["ap"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (right.pseudo_labels["precision"], right.pseudo_labels["recall"]) == (1.0, 1.0)
    assert (wrong.map_40["ap"], wrong.pseudo_labels["precision"], wrong.pseudo_labels["recall"]) == (0.0, 0.0, 0.0)
    assert set(right.readers["rad_id"]) == {"R1", "R99"}
    *named, (of_all, name_of_all) = right.classes.select("class_id", "class_name").rows()
    assert [name for _, name in named] == [classes.names[n] for n, _ in named]
    assert (of_all, name_of_all, right.classes["ap"][-1]) == (None, None, right.map_40["ap"])


def test_images_read_twice_are_not_spoken_of(tmp_path: Path, classes: Taxonomy) -> None:
    readings = read(("a", "R1", 3, HERE), ("a", "R2", 3, NEAR), ("a", "R2", 5, HERE))
    dataset(tmp_path, readings, classes)
    give(tmp_path, "a", (3, 0.95, HERE), (5, 0.95, HERE))
    found = evaluate(tmp_path)
    assert found.notes == ()
    assert found.models[0].pseudo_labels["precision"] == 0.5  # what R2 alone saw is not the truth


def test_the_command_tells_both_overlaps_apart(tmp_path: Path, classes: Taxonomy) -> None:
    dataset(tmp_path, read(("a", "R1", 3, HERE)), classes)
    give(tmp_path, "a", (3, 0.95, (0.125, 0.125, 0.375, 0.2375)))  # IoU 0.45
    (judged,) = evaluate(tmp_path).models
    assert (judged.map_40["ap"], judged.map_50["ap"]) == (pytest.approx(1.0), 0.0)
    assert judged.classes["ap"].to_list() == [pytest.approx(1.0)] * 2


def test_without_feedback_outside_training_there_is_nothing_to_judge(tmp_path: Path, classes: Taxonomy) -> None:
    dataset(tmp_path, read(("a", "R1", 3, HERE)), classes, a="training")
    give(tmp_path, "a", (3, 0.95, HERE))
    with pytest.raises(FeedbackError, match=r"outside training \(1 feedback file: the image is of training now"):
        evaluate(tmp_path)


def report(root: Path, content: object) -> None:
    (root / manifest.RETRAIN).mkdir(exist_ok=True)
    (root / manifest.RETRAIN / tree.REPORT).write_text(json.dumps(content))


def test_the_threshold_is_the_setting_else_that_of_the_last_round_else_the_default(
    tmp_path: Path, classes: Taxonomy
) -> None:
    root = dataset(tmp_path, read(*((image, "R1", 3, HERE) for image in "abc")), classes)
    for image_id, sure in (("a", 0.95), ("b", 0.7), ("c", 0.55)):
        give(tmp_path, image_id, (3, sure, HERE))

    def threshold(**options) -> tuple[float, int]:
        found = evaluate(tmp_path, **options)
        assert {each.min_confidence for each in found.models} == {found.min_confidence}
        return found.min_confidence, found.models[0].pseudo_labels["labels"]

    assert threshold() == (0.9, 1)
    report(root, {KEY: Rule(min_confidence=0.6).document()})
    assert threshold() == (0.6, 2)
    assert threshold(min_confidence=0.5) == (0.5, 3)
    assert threshold(min_confidence=0.0) == (0.0, 3)
    report(root, {"settings": {"min_confidence": 0.6}})  # as an earlier radloop wrote it
    assert threshold() == (0.6, 2)
    for damaged in ([], {}, {KEY: "0.6"}, {KEY: {"min_confidence": "0.6"}}):
        report(root, damaged)
        with pytest.raises(DatasetError, match=r"report\.json"):
            threshold()


@pytest.mark.parametrize(
    ("least", "trains"),
    [
        (0.9, {"0.9–1.0 trains"}),
        (0.8, {"0.8–0.9 trains", "0.9–1.0 trains"}),
        (0.85, {"0.8–0.9 trains above 0.85", "0.9–1.0 trains"}),
    ],
)
def test_the_summary_prints_the_threshold_that_was_used(
    tmp_path: Path, classes: Taxonomy, least: float, trains: set[str]
) -> None:
    dataset(tmp_path, read(("a", "R1", 3, HERE)), classes)
    give(tmp_path, "a", (3, 0.95, HERE), (3, 0.87, THERE))
    summary = summaries.of(evaluate(tmp_path, min_confidence=least))
    _, labels, calibration = summary.grids
    assert labels.title == f"m1 1 on test: what is above {least}, taken as labels"
    assert {row[0] for row in calibration.rows if "trains" in row[0]} == trains
    assert summary.title == "1 detector judged by what two readers of an image drew, or its only one"
    assert summary.notes == ("1 of 1 image had one reader only: their truth is what this one drew",)


def test_bare_feedback_is_said_to_tell_the_top_box_only_and_not_what_was_kept(tmp_path: Path) -> None:
    classes = taxonomies.VINDR
    dataset(tmp_path, read(("a", "R1", 3, HERE), ("a", "R1", 3, THERE), ("b", "R1", None, None)), classes)
    box = [(HERE[0] + HERE[2]) / 2, (HERE[1] + HERE[3]) / 2, HERE[2] - HERE[0], HERE[3] - HERE[1]]
    put(tmp_path / "feedback", "a.json", bare(image_id="a", confidence=0.2, bbox=box))
    put(tmp_path / "feedback", "b.json", bare(image_id="b", class_id=classes.nothing, bbox=None))
    found = evaluate(tmp_path)
    (judged,) = found.models
    assert (judged.cut, judged.cut_told, judged.top_box_only) == (0.2, False, 1)
    figures = dict(summaries.of(found).grids[0].rows)
    assert figures["boxes that count"] == (
        "all that were kept: not all of the feedback tells from which confidence on; by its boxes, from 0.2; "
        "of 1 image only the top box: what else was found there counts as missed"
    )
    assert figures["mAP@0.4"] == "0.50 (too few)"  # half of the truth could not be found
    assert figures["calibration error"] == "nothing to count"
    assert [grid.title for grid in summaries.of(found).grids if "are right" in grid.title] == []


@pytest.mark.slow
def test_the_oracle_without_noise_scores_one_where_images_have_one_two_or_three_readers(tmp_path: Path) -> None:
    folder = made_up.films(tmp_path / "films", 60)
    rows = made_up.rows(folder)
    readers = {image: sorted({row["rad_id"] for row in rows if row["image_id"] == image}) for image in ids(rows)}
    kept = {image: readers[image][: 1 + place % 3] for place, image in enumerate(ids(rows))}
    made_up.write_rows(folder, [row for row in rows if row["rad_id"] in kept[row["image_id"]]])
    sizes = SplitSizes.parse("training=6,validation=6,test=18,staging=6,canary=6,production=18")
    offline.etl(options.Etl(source=str(folder), out=tmp_path, sizes=sizes))
    online.simulate(options.Simulate(out=tmp_path, detector="oracle:0", load_pattern="2", stage_seconds=1.0))

    found = evaluate(tmp_path)
    assert [each.split for each in found.models] == ["test", "production"]
    for oracle in found.models:
        assert 0 < oracle.single_reader < oracle.images
        assert oracle.truth > 0
        assert (oracle.map_40["ap"], oracle.map_50["ap"]) == (pytest.approx(1.0), pytest.approx(1.0))
        assert (oracle.pseudo_labels["precision"], oracle.pseudo_labels["recall"]) == (1.0, 1.0)


def ids(rows: list[dict[str, str]]) -> list[str]:
    return sorted({row["image_id"] for row in rows})


def test_the_setting_is_the_flag_or_the_environment_and_else_the_last_round_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = dataset(tmp_path, read(("a", "R1", 3, HERE)), taxonomies.SPINE)
    give(tmp_path, "a", (3, 0.95, HERE))
    report(root, {KEY: Rule(min_confidence=0.6).document()})

    def threshold(*flags: str) -> float:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["evaluate", "--out", str(tmp_path), "--json", *flags])
        assert not stopped.value.code
        return json.loads(capsys.readouterr().out)["min_confidence"]

    assert threshold() == 0.6
    assert threshold("--min-confidence", "0.9") == 0.9
    monkeypatch.setenv("RADLOOP_MIN_CONFIDENCE", "0.7")
    assert threshold() == 0.7
    assert threshold("--min-confidence", "0.9") == 0.9

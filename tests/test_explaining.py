"""The genealogy of an image: from the reader's row to the re-training row, and back."""

import json
import os
import re
import shutil

import polars as pl
import pytest

import made_up
import written_loop
from radloop import cli, options
from radloop.catalog import version
from radloop.errors import DatasetError
from radloop.feedback import reading, records, reviews
from radloop.feedback.records import Feedback, Model
from radloop.feedback.reviews import Finding, Review
from radloop.pipelines import explaining, offline, retraining
from radloop.split_sizes import SplitSizes
from taxonomies import VINDR

SIZES = SplitSizes.parse("training=16,validation=4,test=4,staging=4,canary=4,production=8")
HEART = (0.5, 0.6, 0.4, 0.2)


@pytest.fixture(scope="module", params=["per-reader", "consensus"])
def place(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    films = made_up.films(folder / "films")
    offline.etl(etl(films, folder, labels=request.param))
    image_id = with_a_finding(folder, "production")
    say(folder, image_id, "f1")
    retraining.retrain(retrain(folder))
    return folder


def etl(films, place, **more):
    return options.Etl(source=str(films), out=place / "out", store=str(place / "store"), sizes=SIZES, **more)


def retrain(place, **more):
    return options.Retrain(out=place / "out", store=str(place / "store"), **more)


def with_a_finding(place, split):
    annotations = version.read(place / "out").annotations
    return annotations.filter(pl.col("class_id").is_not_null(), split=split)["image_id"].sort()[0]


def say(place, image_id, feedback_id):
    feedback = Feedback(
        image_id=image_id,
        class_id=3,
        confidence=0.7,
        bbox=HEART,
        timestamp="2026-01-02T12:00:00+00:00",
        feedback_id=feedback_id,
        model=Model(name="tiny", version="1"),
    )
    (place / "out" / "feedback").mkdir(exist_ok=True)
    records.write(place / "out" / "feedback", feedback)
    review = Review(
        feedback_id=feedback_id,
        image_id=image_id,
        reviewer="ann",
        verdict="correct",
        findings=[Finding(class_id=3, bbox=HEART)],
        timestamp="2026-01-02T13:00:00+00:00",
    )
    reviews.write(place / "out" / "reviews", review, VINDR)


def explain(place, asked, *, store=None, **more):
    address = str(store or place / "store")
    return explaining.explain(options.Explain(asked=asked, out=place / "out", store=address, **more))


def nodes(node):
    yield node
    for part in node.parts:
        yield from nodes(part)


def test_every_line_of_every_label_leads_to_the_rows_it_comes_from(place):
    for image_id in version.read(place / "out").images["image_id"]:
        explained = explain(place, image_id)
        labels = [node for node in nodes(explained.tree) if node.facts.get("key", "").endswith(".txt")]
        for label in (node for node in labels if not node.facts["key"].startswith("retrain/")):
            written = (place / "out" / "organized" / label.facts["key"]).read_text().splitlines()
            lines = [node for node in label.parts if node.facts.get("line")]
            assert sorted(node.facts["line"] for node in lines) == sorted(written)
            assert all(node.parts and node.parts[0].text.startswith("source row: R") for node in lines)


def test_tree_goes_from_prediction_over_review_to_the_row_that_trains(place):
    image_id = with_a_finding(place, "production")
    text = "\n".join(explain(place, image_id).tree.lines())
    assert "feedback f1 by tiny 1, 2026-01-02 12:00: kept" in text
    assert "prediction: Cardiomegaly with confidence 0.700 at 307 512 717 717 of 1024×1024 px" in text
    assert "review by ann: correct" in text
    assert "re-training row: Cardiomegaly 307.2 512.0 716.8 716.8 (review)" in text
    assert f"retrain/labels/{image_id}_ann.txt (in the store)" in text


def answer(place, image_id, feedback_id, confidence):
    """Feedback without a review, of a box whose edges have many digits."""
    feedback = Feedback(
        image_id=image_id,
        class_id=3,
        confidence=confidence,
        bbox=(0.512345678901, 0.6, 0.412345678901, 0.2),
        timestamp="2026-01-04T12:00:00+00:00",
        feedback_id=feedback_id,
        model=Model(name="tiny"),
    )
    records.write(place / "out" / "feedback", feedback)


def unreviewed(place):
    ids = version.read(place / "out").images.filter(split="production")["image_id"].sort()
    return next(image_id for image_id in ids if image_id != with_a_finding(place, "production"))


def copied(place, folder):
    """The same loop with no round of re-training, to be changed."""
    shutil.copytree(place, folder, symlinks=True, copy_function=os.link)
    shutil.rmtree(folder / "out" / "organized" / "retrain")
    return folder


def texts(explained):
    return [node.text for node in nodes(explained.tree)]


def test_fate_follows_from_the_rule_of_the_round_that_stands(place, tmp_path):
    loop = copied(place, tmp_path / "loop")
    image_id = unreviewed(loop)
    answer(loop, image_id, "f9", 0.7123456789)
    (fate,) = (text for text in texts(explain(loop, "f9")) if text.startswith("feedback f9"))
    assert fate.endswith(": unused: no box above 0.9")
    (fate,) = (text for text in texts(explain(loop, "f9", min_confidence=0.6)) if text.startswith("feedback f9"))
    assert fate.endswith(": kept: it tells one box of perhaps many, and nobody has reviewed it")

    retraining.retrain(retrain(loop, min_confidence=0.6))
    explained = texts(explain(loop, "f9"))
    (fate,) = (text for text in explained if text.startswith("feedback f9"))
    assert fate.endswith(": kept: it tells one box of perhaps many, and nobody has reviewed it")
    assert any(text.startswith("re-training row") for text in explained)


def test_command_takes_the_threshold_from_the_environment_where_no_round_stands(place, tmp_path, capsys, monkeypatch):
    loop = copied(place, tmp_path / "loop")
    image_id = unreviewed(loop)
    answer(loop, image_id, "f9", 0.7)
    for threshold, fate in (("0.6", "kept"), ("0.8", "unused: no box above 0.8")):
        monkeypatch.setenv("RADLOOP_MIN_CONFIDENCE", threshold)
        with pytest.raises(SystemExit):
            cli.main(["explain", "f9", "--out", str(loop / "out"), "--store", str(loop / "store")])
        assert f"12:00: {fate}" in " ".join(capsys.readouterr().out.split())


def test_report_that_is_damaged_is_named(place, tmp_path):
    loop = copied(place, tmp_path / "loop")
    (loop / "out/organized/retrain").mkdir()
    (loop / "out/organized/retrain/report.json").write_bytes(b"[")
    with pytest.raises(DatasetError, match=r"report\.json is damaged .* Run `radloop retrain` again"):
        explain(loop, "f1")


def test_no_number_is_printed_with_more_digits_than_a_person_reads(place, tmp_path):
    loop = copied(place, tmp_path / "loop")
    image_id = unreviewed(loop)
    answer(loop, image_id, "f9", 0.9512345678901)
    retraining.retrain(retrain(loop))
    explained = texts(explain(loop, "f9"))
    (row,) = (text for text in explained if text.startswith("re-training row"))
    assert row == "re-training row: Cardiomegaly 313.5 512.0 735.8 716.8 (prediction)"
    assert any("with confidence 0.951 at 314 512 736 717 of" in text for text in explained)
    for image_id in version.read(loop / "out").images["image_id"].head(12):
        for text in texts(explain(loop, image_id)):
            outside_of_labels = re.sub(r"`[^`]*`", "", text.replace(image_id, ""))
            assert re.findall(r"\d\.\d{4,}|\de-\d", outside_of_labels) == []


def test_names_are_those_of_the_datasets_own_classes(tmp_path, classes):
    folders = written_loop.run(tmp_path, classes)
    reviewed = reading.read(folders.feedback, classes).feedback.filter(split="production").sort("image_id")
    explained = explaining.explain(options.Explain(asked=reviewed["image_id"][0], out=tmp_path))
    printed = "\n".join(texts(explained))
    assert f"finding: {classes.names[-1]} at 410 410 614 614 of 1024×1024 px" in printed
    assert f"re-training row: {classes.names[-1]} 409.6 409.6 614.4 614.4 (simulated-review)" in printed
    mentioned = re.findall(r"prediction: (.*) with confidence", printed)
    assert set(mentioned) <= set(classes.names)


def test_reading_that_found_nothing_has_the_line_that_its_label_has(place, tmp_path):
    offline.etl(etl(place / "films", tmp_path, no_finding="class"))
    known = version.read(tmp_path / "out").annotations
    normal = known.filter(pl.col("class_id").is_null())["image_id"][0]
    assert "line `14 0.500000 0.500000 1.000000 1.000000`: nothing was found" in texts(explain(tmp_path, normal))
    assert "no line: nothing was found" not in texts(explain(tmp_path, normal))


def test_feedback_is_asked_for_by_its_id(place):
    assert explain(place, "f1").image_id == with_a_finding(place, "production")


def test_held_out_feedback_says_that_it_never_trains(place):
    image_id = with_a_finding(place, "training")
    held_out = version.read(place / "out").images.filter(split="test")["image_id"][0]
    say(place, held_out, "f2")
    text = "\n".join(explain(place, held_out).tree.lines())
    assert "withheld: the image is held out" in text
    assert "feedback" not in "\n".join(explain(place, image_id).tree.lines())


def test_unknown_id_is_an_error_and_an_image_outside_the_dataset_is_not(place):
    with pytest.raises(DatasetError, match="nobody: neither"):
        explain(place, "nobody")
    say(place, "stranger", "f3")
    assert "not in the dataset" in explain(place, "stranger").tree.text


def test_dataset_that_was_not_published_says_so(place, tmp_path):
    image_id = with_a_finding(place, "production")
    other = explain(place, image_id, store=tmp_path / "empty")
    assert {node.facts["store"] for node in nodes(other.tree) if "key" in node.facts} == {"not in the store"}


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "cannot be read"), (b"image_id\xff\n", "columns"), (b"a,b\n1,2,3\n", "cannot be read")]
)
def test_damaged_table_of_retraining_is_named(place, tmp_path, data, says):
    shutil.copytree(place / "out", tmp_path / "out")
    (tmp_path / "out" / "organized" / "retrain" / "retrain.csv").write_bytes(data)
    with pytest.raises(DatasetError, match=rf"retrain\.csv .*{says}"):
        explain(tmp_path, with_a_finding(place, "production"), store=place / "store")


def test_store_that_cannot_be_asked_does_not_hide_the_rest(place, tmp_path):
    image_id = with_a_finding(place, "production")
    shutil.copytree(place / "store", tmp_path / "store")
    (tmp_path / "store" / "organized" / "manifest.parquet").write_bytes(b"damaged")
    explained = explain(place, image_id, store=tmp_path / "store")
    assert "the store cannot be asked" in explained.tree.text
    assert len(explained.tree.parts) > 2


def test_command_prints_a_tree_or_one_object(place, capsys):
    arguments = ["explain", "f1", "--out", str(place / "out"), "--store", str(place / "store")]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*arguments, *more])
        assert not stopped.value.code
        printed = capsys.readouterr().out
        if more:
            assert json.loads(printed)["tree"]["parts"]
        else:
            assert "└─ re-training row: Cardiomegaly" in printed

"""The page Detector: what it shows of one detector is what the measures say."""

import json
import shutil
from dataclasses import replace
from urllib.parse import parse_qs

import polars as pl
import pytest

import written_loop
from app_pages import opened, said
from radloop import options
from radloop.dashboard import curve_charts, filters, loading, loop, selection
from radloop.measures import curves
from radloop.pipelines import evaluating
from radloop.vindr.classes import TAXONOMY as VINDR


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A loop whose detector calls the boxes of every third image by another class."""
    made = written_loop.run(tmp_path_factory.mktemp("loop"), VINDR, images=120)
    for path in sorted(made.feedback.iterdir())[::3]:
        feedback = json.loads(path.read_bytes())
        for told in (feedback, *feedback["detections"]):
            if told["bbox"]:
                told["class_id"] = (told["class_id"] + 1) % len(VINDR)
                told["class_name"] = VINDR.name(told["class_id"])
        path.write_text(json.dumps(feedback))
    return made


def table(test, *columns):
    """The values of the table on the page that has these columns."""
    return next(pl.from_pandas(one.value) for one in test.dataframe if {*columns} <= {*one.value.columns})


def test_froc_is_that_of_the_command(inputs, tmp_path):
    command = evaluating.evaluate(options.Evaluate(out=tmp_path, feedback=inputs.feedback, dataset=inputs.dataset))
    test = next(each for each in command.models if each.split == "production")
    page = opened("detector", inputs, view="Curves", of_split="production")
    shown = table(page, "class_name", "1/8").filter(class_name=curve_charts.ALL).row(0, named=True)
    own = test.froc.sensitivity.filter(pl.col("class_id").is_null())
    ticks = {0.125: "1/8", 0.25: "1/4", 0.5: "1/2", 1.0: "1", 2.0: "2", 4.0: "4", 8.0: "8"}
    for rate, known, least in own.select("rate", "sensitivity", "at_least").iter_rows():
        assert shown[ticks[rate]] == (f"≥ {least:.3f}" if known is None else f"{known:.3f}")
    assert 0 < own["sensitivity"].null_count() < own.height
    assert shown["CPM"] == f"≥ {own['at_least'].mean():.3f}"


def test_class_of_the_address_is_the_one_that_is_drawn(inputs):
    page = opened("detector", inputs, view="Curves", of_split="production", of_class=VINDR.names[3])
    assert page.selectbox[-1].value == VINDR.names[3]
    assert table(page, "rate", "sensitivity")["class_id"].unique().to_list() == [3]
    page.selectbox[-1].set_value(curve_charts.ALL).run()
    assert table(page, "rate", "sensitivity")["class_id"].null_count() == len(curves.RATES)
    assert "each box is matched within its class" in said(page)


def test_beyond_the_cut_the_page_says_that_nothing_is_known(inputs):
    page = opened("detector", inputs, view="Curves", of_split="production")
    assert "nothing is known: boxes below the cut were not kept" in said(page)
    froc = json.loads(page.get("plotly_chart")[1].proto.spec)
    drawn = max(froc["data"][0]["x"])
    assert drawn < 8
    assert f"Beyond {drawn:.2g} false boxes an image" in said(page)


def test_two_detectors_are_set_beside_each_other_on_the_images_that_both_have_seen(inputs, tmp_path):
    page = opened("detector", inputs, view="Two detectors", of_split="production")
    assert "No other detector has feedback on a picture of production" in said(page)
    both = tmp_path / "feedback"
    shutil.copytree(inputs.feedback, both)
    seen = sorted(path for path in both.iterdir() if json.loads(path.read_bytes())["split"] == "production")
    for path in seen[:20]:
        feedback = json.loads(path.read_bytes())
        feedback |= {"model": {"name": "other", "version": "2"}, "feedback_id": f"other-{feedback['feedback_id']}"}
        (both / f"other-{path.name}").write_text(json.dumps(feedback))
    page = opened("detector", replace(inputs, feedback=both), view="Two detectors", of_split="production")
    text = said(page)
    assert "20 images of production in 20 groups that both have seen" in text
    assert "Left out, seen by one alone: 10 (oracle 1), 0 (other 2)" in text
    told = table(page, "difference", "second is")
    assert set(told["difference"].drop_nulls()) == {0.0}
    page.segmented_control[1].set_value("cpm").run()
    assert page.exception == []


def test_cells_of_the_confusion_hold_the_labels_of_the_command(inputs, tmp_path):
    asked = {"feedback": inputs.feedback, "dataset": inputs.dataset, "min_confidence": 0.5}
    command = evaluating.evaluate(options.Evaluate(out=tmp_path, **asked))
    labels = next(each for each in command.models if each.split == "production").pseudo_labels
    page = opened("detector", inputs, view="Confusion", of_split="production", above="0.5")
    assert page.slider[0].value == 0.5
    cells = table(page, "truth", "predicted")
    assert cells.filter(pl.col("truth") == pl.col("predicted"))["boxes"].sum() == labels["correct"]
    assert cells.filter(pl.col("truth") != "nothing there")["boxes"].sum() == labels["truth"]
    assert cells.filter(pl.col("predicted") != "missed")["boxes"].sum() == labels["labels"]
    words = f"Of {labels['truth']} boxes of the truth {labels['correct']} are found as what they are"
    assert words in said(page)
    between = cells.filter(~pl.col("truth").is_in(["nothing there"]), ~pl.col("predicted").is_in(["missed"]))
    wrong = between.filter(pl.col("truth") != pl.col("predicted"))
    number = {name: class_id for class_id, name in enumerate(VINDR.names)}
    assert wrong["boxes"].sum() > 5
    assert {(number[one] - number[other]) % len(VINDR) for other, one in wrong[["truth", "predicted"]].rows()} == {1}


def test_threshold_of_a_curve_leads_to_the_images_with_such_boxes(inputs):
    """As many images as have a false box from there on, by the filters of the page Images."""
    name = VINDR.names[4]
    page = opened("detector", inputs, view="Curves", of_split="production", of_class=name)
    froc = json.loads(page.get("plotly_chart")[1].proto.spec)["data"][0]
    address = froc["customdata"][-1]
    asked = {key: values[-1] for key, values in parse_qs(address).items()}
    assert asked["outcome"] == "false"
    assert asked["class"] == name
    found, said = loading.dataset(inputs.dataset), loading.feedback(inputs.feedback, VINDR)
    read, problems = filters.read(parse_qs(address), filters.choices(found, said))
    assert problems == []
    here = loop.matched(found, said, ("oracle", "1", "production")).boxes
    false = here.filter(~pl.col("correct"), class_id=4)
    assert float(asked["min_confidence"]) < false["confidence"].min()
    assert {*selection.images(found, said, read)["image_id"]} == {*false["image_id"]}

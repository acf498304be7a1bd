"""From an export to reviews and on to retrain.csv: what people drew in another tool comes back as theirs."""

import json
import shutil
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

import exports
from label_studio_files import annotation, choice, region
from radloop import cli
from radloop.errors import AnnotationError, FeedbackError, StrictError
from radloop.feedback import reviews
from radloop.options import Export, Import, Retrain
from radloop.pipelines import exporting, importing, retraining
from taxonomies import VINDR


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A dataset with feedback, and its tasks for Label Studio."""
    out = tmp_path_factory.mktemp("made")
    exports.organized(out)
    for tool in ("label-studio", "cvat"):
        exporting.export(Export(out=out, format=tool))
    for name in ("reviews", "organized/retrain"):
        shutil.rmtree(out / name)
    return out


@pytest.fixture
def out(made, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    return tmp_path / "out"


def tasks(out):
    return json.loads((out / "export" / "label-studio" / "tasks.json").read_bytes())


def boxes(task):
    return [item for one in task["predictions"] for item in one["result"]]


def moved(item):
    return item | {"value": item["value"] | {"x": 1.0, "width": 33.3}}


def back(out, *given, **more):
    """Import tasks with these results (None: nobody submitted), as reader 3."""
    listed = tasks(out)
    for number, (task, results) in enumerate(zip(listed, given, strict=False), 1):
        task |= {"id": number, "annotations": []}
        if results is not None:
            task["annotations"] = [annotation(*results, completed_by=3, id=number)]
    (out / "back.json").write_text(json.dumps(listed))
    return importing.import_reviews(Import(out=out, file=out / "back.json", format="label-studio", **more))


def said(out):
    return reviews.read(out / "reviews", VINDR)


def test_every_verdict_comes_back_and_what_nobody_submitted_gives_no_review(out):
    first, second, third, fourth, *_ = tasks(out)
    done = back(out, boxes(first), [moved(boxes(second)[0])], [], [choice("Not readable")], None)
    assert (done.readings, done.unread, done.written) == (4, 2, 4)
    table = said(out).reviews.sort("image_id")
    assert table.select("image_id", "verdict", "reviewer", "simulated", "revealed", "seconds_total").rows() == [
        (task["data"]["image_id"], verdict, "3", False, True, 12.5)
        for task, verdict in zip((first, second, third, fourth), ("accept", "correct", "normal", "reject"), strict=True)
    ]
    assert table["feedback_id"].to_list() == [one["data"]["feedback_id"] for one in (first, second, third, fourth)]


def test_a_box_comes_back_where_it_was_drawn(out):
    second = tasks(out)[1]
    back(out, None, [moved(boxes(second)[0])])
    (found,) = said(out).findings.drop("file").rows()
    value = moved(boxes(second)[0])["value"]
    assert VINDR.names[found[0]] == value["rectanglelabels"][0]
    x, y, width, height = (value[name] / 100 for name in ("x", "y", "width", "height"))
    assert found[1:] == pytest.approx((x, y, x + width, y + height), abs=1e-6)


def test_what_was_shown_is_told_where_the_export_tells_the_same(out):
    first, second, third, *_ = listed = tasks(out)
    for task in listed[:3]:
        task |= {"annotations": [annotation(prediction=task["predictions"][0])], "predictions": [1]}
    second["annotations"][0]["prediction"] = {"result": [region()]}
    third["annotations"][0]["prediction"] = {}
    (out / "back.json").write_text(json.dumps(listed))
    importing.import_reviews(Import(out=out, file=out / "back.json", format="label-studio"))
    shown = dict(said(out).reviews.select("image_id", "shown_boxes").iter_rows())
    assert [shown[one["data"]["image_id"]] for one in (first, second, third)] == [
        len(boxes(tasks(out)[0])),
        None,
        len(boxes(tasks(out)[2])),
    ]


def test_the_same_export_twice_is_the_same_reviews(out):
    given = (boxes(tasks(out)[0]), [moved(boxes(tasks(out)[1])[0])], [])
    back(out, *given)
    before = exports.tree(out / "reviews")
    again = back(out, *given)
    assert (again.written, again.known) == (0, 3)
    assert exports.tree(out / "reviews") == before


def test_what_a_reader_changed_since_is_a_new_review_that_names_the_old_and_an_old_export_brings_nothing_back(out):
    first = tasks(out)[0]
    back(out, boxes(first))
    old = (out / "back.json").read_bytes()
    (review,) = said(out).reviews["review_id"]
    listed = tasks(out)
    listed[0]["annotations"] = [annotation(completed_by=3, updated_at="2026-02-03T09:00:00Z")]
    (out / "new.json").write_text(json.dumps(listed))
    for file in ("new.json", "back.json", "new.json"):
        importing.import_reviews(Import(out=out, file=out / file, format="label-studio"))
    assert (out / "back.json").read_bytes() == old
    assert said(out).reviews.sort("timestamp").select("verdict", "previous").rows() == [
        ("accept", None),
        ("normal", review),
    ]


def test_reviews_from_another_tool_train(out):
    second = tasks(out)[1]
    back(out, boxes(tasks(out)[0]), [moved(boxes(second)[0])], [])
    done = retraining.retrain(Retrain(out=out, store=str(out / "store"), require_review=True))
    assert done.report["reviews_used"] == 3
    table = pl.read_csv(out / "organized" / "retrain" / "retrain.csv", infer_schema=False)
    rows = table.filter(image_id=second["data"]["image_id"])
    assert rows.select("class_name", "rad_id", "trains").rows() == [
        (boxes(second)[0]["value"]["rectanglelabels"][0], "3", "true")
    ]
    normal = table.filter(image_id=tasks(out)[2]["data"]["image_id"])
    assert normal["class_name"].to_list() == ["No finding"]


def test_what_cannot_be_a_review_is_refused_by_its_place_and_the_rest_is_written(out):
    listed = tasks(out)
    for task in listed:
        task["annotations"] = [annotation(completed_by=3)]
    listed[0]["data"]["feedback_id"] = "f999"
    listed[1]["data"]["image_id"] = listed[2]["data"]["image_id"]
    listed[3]["annotations"] = [annotation(region(type="polygonlabels"), completed_by=3)]
    del listed[4]["data"]["feedback_id"]
    (out / "back.json").write_text(json.dumps(listed))
    asked = Import(out=out, file=out / "back.json", format="label-studio")
    done = importing.import_reviews(asked)
    assert done.refused["code"].to_list() == [
        "feedback-unknown", "feedback-of-another-image", "region-not-box", "feedback-missing",
    ]  # fmt: skip
    assert done.refused["place"][0] == "back.json: [0], annotation 1"
    assert pl.read_csv(out / importing.REFUSED_FILE).height == 4
    assert said(out).reviews.height == 2
    with pytest.raises(StrictError, match="4 annotations refused"):
        importing.import_reviews(Import(out=out, file=asked.file, format="label-studio", strict=True))


def test_feedback_waits_where_somebody_drew_what_no_review_can_hold_until_they_say_more(out):
    first = tasks(out)[0]
    outline = region(type="polygonlabels")
    done = back(out, [outline])
    assert (done.written, done.refused["code"].to_list()) == (0, ["region-not-box"])
    assert said(out).waiting["feedback_id"].to_list() == [first["data"]["feedback_id"]]
    report = retraining.retrain(Retrain(out=out, dry_run=True))
    assert any("1 feedback waits for a review that can be read" in note for note in report.notes)
    back(out, [outline])
    assert said(out).waiting.height == 1

    listed = tasks(out)
    listed[0] |= {"annotations": [annotation(*boxes(first), completed_by=3, updated_at="2026-02-04T08:00:00Z")]}
    (out / "later.json").write_text(json.dumps(listed))
    later = importing.import_reviews(Import(out=out, file=out / "later.json", format="label-studio"))
    assert later.verdicts == {"accept": 1}
    assert said(out).waiting.is_empty()
    back(out, [outline], [])  # the export of before
    assert said(out).waiting.is_empty()


def test_a_label_that_is_no_class_stops_and_map_is_the_way_out(out):
    item = boxes(tasks(out)[1])[0]
    other = item | {"value": item["value"] | {"rectanglelabels": ["Lump"]}}
    with pytest.raises(FeedbackError, match="'Lump': no class of this dataset"):
        back(out, None, [other])
    assert not (out / "reviews").exists()
    assert back(out, None, [other], map=("Lump=Nodule/Mass",)).written == 1


def test_the_export_of_another_dataset_writes_nothing(out):
    listed = tasks(out)
    for task in listed:
        task["data"]["feedback_id"] = "other"
        task["annotations"] = [annotation()]
    (out / "back.json").write_text(json.dumps(listed))
    with pytest.raises(FeedbackError, match="none of 6 annotations can be a review here"):
        importing.import_reviews(Import(out=out, file=out / "back.json", format="label-studio"))
    (out / "none.json").write_text("[]")
    with pytest.raises(AnnotationError, match="holds no task"):
        importing.import_reviews(Import(out=out, file=out / "none.json", format="label-studio"))


def test_the_command_prints_what_it_wrote(out, capsys):
    back(out, [], dry_run=True)
    assert not (out / "reviews").exists()
    cli.app(["import", "--out", str(out), "--format", "label-studio", str(out / "back.json")], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "wrote 1 review" in printed
    assert "1 normal" in printed


def from_cvat(out, *edits, updated="2026-02-01 10:00:00.123456+00:00", **more):
    """Import the export of CVAT as it dumps it after these edits of each image: in two decimals, with its own meta."""
    root = ElementTree.parse(out / "export" / "cvat" / "annotations.xml").getroot()
    task = root.find("meta/task")
    ElementTree.SubElement(task, "updated").text = updated
    ElementTree.SubElement(ElementTree.SubElement(task, "assignee"), "username").text = "R12"
    for image, edit in zip(root.iter("image"), edits, strict=False):
        edit(image)
        for box in image.iter("box"):
            for name in ("xtl", "ytl", "xbr", "ybr"):
                box.set(name, f"{float(box.get(name)):.2f}")
    file = out / "task.zip"
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("annotations.xml", ElementTree.tostring(root))
    return importing.import_reviews(Import(out=out, file=file, format="cvat", **more))


def tag(label):
    return lambda image: ElementTree.SubElement(image, "tag", label=label, source="manual")


def nothing(image):
    for box in list(image):
        image.remove(box)


def drawn_anew(image):
    nothing(image)
    place = {"xtl": "6.40", "ytl": "12.80", "xbr": "32.00", "ybr": "51.20"}
    ElementTree.SubElement(image, "box", label="Nodule/Mass", source="manual", **place)


def test_what_cvat_tells_comes_back_and_what_it_does_not_tell_gives_no_review(out):
    def normal(image):
        nothing(image)
        tag("No finding")(image)

    def unread(image):
        pass

    done = from_cvat(out, tag("Reviewed"), drawn_anew, normal, unread, nothing)
    assert (done.written, done.unread, done.refused.height) == (3, 3, 0)
    table = said(out).reviews.sort("image_id")
    assert table.select("verdict", "reviewer").rows() == [("accept", "R12"), ("correct", "R12"), ("normal", "R12")]
    assert table["feedback_id"].to_list() == [one["data"]["feedback_id"] for one in tasks(out)[:3]]
    (found,) = said(out).findings.filter(pl.col("file").str.starts_with(table["feedback_id"][1])).drop("file").rows()
    assert found == pytest.approx((8, 0.1, 0.2, 0.5, 0.8))
    again = from_cvat(out, tag("Reviewed"), drawn_anew, normal, unread, nothing, updated="2026-02-02 10:00:00+00:00")
    assert (again.written, again.known) == (0, 3)


def test_cvat_without_the_file_that_names_the_feedback_says_where_it_has_to_be(out):
    (out / "export" / "cvat" / "feedback.json").rename(out / "feedback.json.away")
    with pytest.raises(FeedbackError, match=r"no feedback\.json beside"):
        from_cvat(out, tag("Reviewed"))
    (out / "feedback.json.away").rename(out / "feedback.json")
    assert from_cvat(out, tag("Reviewed")).written == 1


def test_the_commands_of_the_page_do_what_it_says(out, monkeypatch, capsys):
    page = (Path(__file__).parent.parent / "docs" / "reviewing-elsewhere.md").read_text()
    commands = [line.split("#")[0].split() for line in page.splitlines() if line.strip().startswith("radloop ")]
    assert [words[1] for words in commands] == ["export", "import", "retrain"]
    out.rename(out.parent / "data")
    monkeypatch.chdir(out.parent)
    for _, command, *flags in commands:
        if command == "import":
            listed = tasks(Path("data"))
            for task in listed:
                task["annotations"] = [annotation(completed_by=3)]
            Path("back.json").write_text(json.dumps(listed))
        cli.app([command, *flags], standalone_mode=False)
    assert "6 normal" in capsys.readouterr().out
    trained = pl.read_csv("data/organized/retrain/retrain.csv")
    assert trained.filter(pl.col("rad_id").cast(pl.String) == "3")["class_name"].unique().to_list() == ["No finding"]

"""Label Studio's tasks: what to read, what a review will speak of, and the boxes in percent of the picture."""

import json
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exports
from radloop.dataset.export import label_studio, tasks
from radloop.feedback import reading
from radloop.sources.formats import readings
from radloop.tables import EDGES
from taxonomies import VINDR


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    root = exports.organized(tmp_path_factory.mktemp("loop"))
    records = reading.read(root.parent / "feedback", VINDR)
    chosen = exports.read(root, splits=("production",))
    return chosen, tasks.of(chosen, records.feedback, records.detections)


def test_tasks_begin_with_what_a_review_needs_and_lead_to_the_picture(work, tmp_path):
    chosen, wanted = work
    label_studio.write(chosen, wanted, tmp_path, prefix="/data/local-files/?d=images/")
    written = json.loads((tmp_path / "tasks.json").read_bytes())
    assert [list(task["data"])[:3] for task in written] == [["image_id", "feedback_id", "image_md5"]] * 6
    for task, row in zip(written, wanted.images.to_dicts(), strict=True):
        assert task["data"]["feedback_id"] == row["feedback_id"]
        _, _, name = task["data"]["image"].partition("?d=")
        assert exports.md5((tmp_path / unquote(name)).read_bytes()) == row["image_md5"] == task["data"]["image_md5"]


def test_boxes_are_percent_of_the_picture_with_class_and_score(work):
    _, wanted = work
    found = [
        (
            task["data"]["image_id"],
            prediction["model_version"],
            *one["value"]["rectanglelabels"],
            one["score"],
            *(round(one["value"][name], 6) for name in ("x", "y", "width", "height")),
        )
        for task in label_studio.documents(wanted, prefix="")
        for prediction in task["predictions"]
        for one in prediction["result"]
    ]
    expected = []
    for row in wanted.boxes.to_dicts():
        x_min, y_min, x_max, y_max = (100 * row[edge] for edge in EDGES)
        place = (round(value, 6) for value in (x_min, y_min, x_max - x_min, y_max - y_min))
        expected.append((row["image_id"], row["author"], row["class_name"], row["score"], *place))
    assert found == expected
    assert found


def test_results_name_the_parts_of_the_interface(work):
    chosen, wanted = work
    interface = ElementTree.fromstring(label_studio.config(chosen.classes.names))
    names = {element.tag: element.attrib for element in interface.iter()}
    for task in label_studio.documents(wanted, prefix=""):
        assert names["Image"]["value"] == "$image" in {f"${name}" for name in task["data"]}
        for prediction in task["predictions"]:
            for one in prediction["result"]:
                assert (one["from_name"], one["to_name"]) == (names["RectangleLabels"]["name"], names["Image"]["name"])
                assert names["RectangleLabels"]["toName"] == one["to_name"]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1), min_size=1)
)
def test_interface_offers_every_class_whatever_its_name(names):
    interface = ElementTree.fromstring(label_studio.config(names))
    assert [element.attrib["value"] for element in interface.iter("Label")] == names


def test_picture_that_cannot_be_read_can_be_told():
    interface = ElementTree.fromstring(label_studio.config(["a"]))
    assert [element.attrib["value"] for element in interface.iter("Choice")] == [readings.UNREADABLE]
    assert {element.attrib.get("toName", "image") for element in interface} == {"image"}

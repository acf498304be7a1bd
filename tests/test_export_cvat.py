"""CVAT's XML: every image, the boxes to begin from, "No finding" as a tag, and which feedback a name stands for."""

import json
from xml.etree import ElementTree

import datumaro
import polars as pl
import pytest

import exports
from radloop.dataset.export import cvat, tasks
from radloop.feedback import reading
from radloop.tables import EDGES
from taxonomies import VINDR


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    root = exports.organized(tmp_path_factory.mktemp("loop"))
    records = reading.read(root.parent / "feedback", VINDR)
    chosen = exports.read(root, splits=("production",))
    return chosen, tasks.of(chosen, records.feedback, records.detections)


@pytest.fixture(scope="module")
def folder(work, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cvat")
    cvat.write(*work, folder)
    return folder


def drawn(wanted):
    """Name of the picture, class, corners in pixels."""
    edges = [(pl.col(edge) * exports.SIDE).round(2) for edge in EDGES]
    return sorted(wanted.boxes.select("image_id", "class_name", *edges).rows())


def test_datumaro_finds_the_same_boxes_and_pictures(work, folder):
    read = datumaro.Dataset.import_from(str(folder), "cvat")
    names = [category.name for category in read.categories()[datumaro.AnnotationType.label]]
    found = [
        (item.id, names[one.label], *(round(edge, 2) for edge in one.points))
        for item in read
        for one in item.annotations
    ]
    assert sorted(found) == drawn(work[1])
    assert [item.id for item in read] == work[1].images["image_id"].to_list()
    assert all(item.media.data.shape[:2] == (exports.SIDE, exports.SIDE) for item in read)


def test_boxes_say_that_a_program_drew_them_and_no_image_is_tagged(folder):
    document = ElementTree.parse(folder / "annotations.xml")
    assert {box.attrib["source"] for box in document.iter("box")} == {"auto"}
    assert list(document.iter("tag")) == []


def test_no_finding_is_a_tag_beside_the_classes_in_both_files(folder):
    document = ElementTree.parse(folder / "annotations.xml")
    expected = [*((name, "rectangle") for name in VINDR.names), *((name, "tag") for name in cvat.TAGS)]
    assert [(label.findtext("name"), label.findtext("type")) for label in document.iter("label")] == expected
    labels = json.loads((folder / "labels.json").read_bytes())
    assert [(label["name"], label["type"]) for label in labels] == expected


def test_every_name_leads_to_its_image_and_feedback(work, folder):
    document = ElementTree.parse(folder / "annotations.xml")
    told = json.loads((folder / "feedback.json").read_bytes())
    for image, row in zip(document.iter("image"), work[1].images.to_dicts(), strict=True):
        assert told[image.attrib["name"]] == {name: row[name] for name in ("image_id", "feedback_id", "image_md5")}
        assert (int(image.attrib["width"]), int(image.attrib["height"])) == (row["width"], row["height"])
        assert exports.md5((folder / "images" / image.attrib["name"]).read_bytes()) == row["image_md5"]

"""Every name, key and line of the YOLO tree."""

import json

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from radloop import taxonomy, tree
from radloop.tables import EDGES
from radloop.taxonomy import Taxonomy

HOSTILE = (
    "a: b", "c #d", "it's", 'the "heart"', "x, y", "Überlänge", "肺炎", "- dash", "[1]", "{2}", "yes", "null", "1.5",
    "~", "&a", "*b", "!c", "| d", "> e", "%f", "@g", "`h", "2020-01-01", "0x1f", "a  b", "back\\slash", "'", '"', "=",
    "trailing:", "? q", "1_000", "NaN", "No finding here", "é", "😀",
)  # fmt: skip
NAMES = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=20).filter(
    lambda name: name == name.strip() and name.isprintable() and not taxonomy.is_nothing(name)
)


def drawn(*rows) -> pl.DataFrame:
    schema = {"stem": pl.String, "class_id": pl.Int16, **dict.fromkeys(EDGES, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_line_is_class_centre_and_size_in_six_decimals():
    lines = tree.lines(drawn(("a", 300, 0.1, 0.2, 0.3, 0.6), ("a", 0, 0, 0, 1, 1)))
    assert lines.to_list() == [
        "300 0.200000 0.400000 0.200000 0.400000\n",
        "0 0.500000 0.500000 1.000000 1.000000\n",
    ]


def test_key_of_a_consensus_tells_its_split_and_no_reader():
    keys = ("test-consensus/images/a_R8.png", "test/images/a_R8.png", "elsewhere-consensus/images/a.png")
    assert [tree.parse(key) for key in keys] == [
        ("image", "test", "a_R8", None),
        ("image", "test", "a", "R8"),
        None,
    ]


def test_nothing_drawn_has_no_lines():
    assert tree.lines(drawn()).to_list() == []
    assert tree.texts(drawn()).rows() == []


def test_a_text_has_each_line_once_by_number_and_then_by_box():
    box, other = (0.1, 0.1, 0.5, 0.5), (0.5, 0.5, 0.9, 0.9)
    rows = [("a", 10, *box), ("a", 2, *other), ("a", 2, *box), ("a", 2, *box), ("b", 1, *box)]
    (_, text, boxes), (stem, *_) = tree.texts(drawn(*rows)).rows()
    assert [line.split()[:2] for line in text.splitlines()] == [
        ["2", "0.300000"],
        ["2", "0.700000"],
        ["10", "0.300000"],
    ]
    assert (boxes, stem) == (3, "b")


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_numbers_are_rounded_as_python_rounds(corners):
    (line,) = tree.lines(drawn(("a", 7, *corners)))
    x1, y1, x2, y2 = np.array(corners)
    assert line == f"7 {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}\n"


def test_the_whole_picture_is_one_line_of_any_class():
    assert tree.whole_picture(20) == "20 0.500000 0.500000 1.000000 1.000000\n"


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("test/images/a_R1.png", tree.Part("image", "test", "a", "R1")),
        ("canary/labels/a_b_R1.txt", tree.Part("label", "canary", "a_b", "R1")),
        ("training/images/1.2.3_R1.jpeg", tree.Part("image", "training", "1.2.3", "R1")),
        ("training/images/a.png", tree.Part("image", "training", "a", None)),
        ("holdout/images/a.png", None),
        ("test/pictures/a.png", None),
        ("data.yaml", None),
        ("retrain/test/images/a.png", None),
    ],
)
def test_a_key_tells_what_its_file_is(key, part):
    assert tree.parse(key) == part


@pytest.mark.parametrize("rad_id", [None, "R1"])
def test_a_stem_can_be_taken_apart_again(rad_id):
    part = tree.parse(f"test/labels/{tree.stem('a-b', rad_id)}.txt")
    assert (part.image_id, part.rad_id) == ("a-b", rad_id)


@pytest.mark.parametrize(
    ("key", "kind"),
    [("data.yaml", "yaml"), ("a.parquet", "table"), ("a.csv", "table"), ("a.json", "document"), ("a", "document")],
)
def test_documents_have_a_kind(key, kind):
    assert tree.document_kind(key) == kind


# names of classes


def read_back(names: tuple[str, ...]) -> list[str]:
    content = yaml.safe_load(tree.data_yaml({"train": "training/images", "val": "validation/images"}, names))
    assert list(content) == ["train", "val", "names"]
    return taxonomy.of_numbered(content["names"])


def test_hostile_names_come_back_from_every_file(tmp_path):
    names = Taxonomy(HOSTILE).names
    assert read_back(names) == list(names)
    for key, data in (("classes.txt", tree.classes_txt(names)), ("data.yaml", tree.data_yaml({}, names))):
        (tmp_path / key).write_bytes(data)
        assert taxonomy.read(tmp_path / key).names == names
    assert json.loads(tree.json_file({"classes": names}))["classes"] == list(names)


@given(st.lists(NAMES, min_size=1, max_size=5, unique_by=taxonomy.normal))
def test_any_names_come_back_from_the_yaml(names):
    assert read_back(Taxonomy(tuple(names)).names) == names


def test_plain_names_are_written_plain():
    assert tree.data_yaml({"train": "a"}, ("Nodule/Mass", "Lung Opacity")) == (
        b"train: a\nnames:\n  0: Nodule/Mass\n  1: Lung Opacity\n"
    )


def test_a_comment_stands_first():
    assert tree.data_yaml({}, ("a",), comment="# b\n").startswith(b"# b\n")
    assert tree.data_of("canary") == "data-canary.yaml"

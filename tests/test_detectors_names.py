"""Which of a model's classes is which: by name, in any order, or as the user says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import any_classes
from radloop.detectors import names
from radloop.detectors.names import Wishes, match, parse
from radloop.errors import DetectorError, TaxonomyError
from radloop.taxonomy import NOTHING, Taxonomy

THREE = Taxonomy(("Nodule", "Effusion, large", "肺結節"))


def matched(told, classes=THREE, **wishes):
    return match(classes, told, Wishes(**wishes), model="m.onnx")


@given(any_classes.ANY, st.randoms())
def test_equal_names_pass_in_any_order(classes, random):
    told = list(classes.names)
    random.shuffle(told)
    scores = match(classes, told, Wishes(), model="m.onnx")
    assert [told[column] for column in scores.columns] == list(classes.names)
    assert scores.counts == (len(classes),)
    assert scores.note is None


def test_names_are_equal_whatever_their_case_and_spaces():
    assert matched(["NODULE", "effusion,  large", " 肺結節 "]).columns == (0, 1, 2)


@pytest.mark.parametrize("place", range(4))
def test_no_finding_is_no_class_wherever_it_stands(place):
    told = ["肺結節", "Nodule", "Effusion, large"]
    told.insert(place, "no finding")
    scores = matched(told)
    assert [told[column] for column in scores.columns] == list(THREE.names)
    assert scores.counts == (4,)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        pytest.param(
            ["Nodule", "Mass"], r"the dataset alone has 'Effusion, large', '肺結節'; the model alone has 'Mass'"
        ),
        pytest.param(["Nodule", "Effusion, large"], r"the dataset alone has '肺結節'"),
        pytest.param([*THREE.names, "cat"], r"the model alone has 'cat'"),
        pytest.param(["a", "b", "c"], r"the dataset alone has 'Eff.*; the model alone has 'a', 'b', 'c'"),
        pytest.param([NOTHING], r"the dataset alone has"),
    ],
)
def test_other_names_are_refused_with_both_lists_and_the_way_out(told, sentence):
    with pytest.raises(
        TaxonomyError, match=rf"^m\.onnx has other classes than the dataset: .*{sentence}.*--map OLD=NEW"
    ):
        matched(told)


def test_names_that_the_user_renames_are_the_datasets():
    scores = matched(["Knoten", "肺結節", "Erguss"], renamed={"knoten": "Nodule", "Erguss": "effusion, large"})
    assert scores.columns == (0, 2, 1)
    with pytest.raises(TaxonomyError, match="twice"):
        matched(["Knoten", "Nodule", "肺結節"], renamed={"Knoten": "Nodule"})
    assert matched([*THREE.names, "normal"], renamed={"normal": NOTHING}).counts == (4,)


def test_names_that_the_user_declares_go_before_those_of_the_file():
    declared = Taxonomy(tuple(reversed(THREE.names)))
    for told in (None, ["cat", "dog"]):
        scores = matched(told, declared=declared)
        assert scores.columns == (2, 1, 0)
        assert scores.counts == (3, 4)  # "No finding" is left out of such a list, and may be in the model
        assert scores.note is None
    with pytest.raises(TaxonomyError, match="other classes"):
        matched(list(THREE.names), declared=Taxonomy(("cat",)))


def test_model_without_names_is_taken_in_the_datasets_order_and_that_is_said(classes):
    scores = match(classes, None, Wishes(), model="m.onnx")
    assert scores.columns == tuple(range(len(classes)))
    assert scores.counts == (len(classes), len(classes) + 1)
    assert "m.onnx tells no names" in scores.note
    assert classes.names[0] in scores.note


@given(any_classes.ANY)
def test_names_are_read_as_ultralytics_writes_them(classes):
    assert parse(str(dict(enumerate(classes.names))), model="m.onnx") == list(classes.names)
    assert parse(str(list(classes.names)), model="m.onnx") == list(classes.names)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{0: 'a'", id="cut off"),
        pytest.param("__import__('os').system('true')", id="code"),
        pytest.param("{0: open('/etc/passwd')}", id="code inside"),
        pytest.param("{0: 'a', 2: 'b'}", id="a gap"),
        pytest.param("{1: 'a', 2: 'b'}", id="from one"),
        pytest.param("{[]: 'a'}", id="no key"),
        pytest.param("'a'", id="a text"),
        pytest.param("{0: None}", id="no name"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(repr(["a" * 1_000_001]), id="huge"),
    ],
)
def test_names_that_cannot_be_read_are_refused_with_the_way_out(text):
    with pytest.raises(
        DetectorError, match=r"^m\.onnx: the names in its metadata cannot be read.*--model-classes FILE"
    ):
        parse(text, model="m.onnx")


def test_file_of_names_is_read_and_a_bad_one_named_by_its_own_flag(tmp_path):
    (tmp_path / "classes.txt").write_text("0 cat\n1 dog\n2 No finding\n")
    assert names.wishes(tmp_path / "classes.txt", {"a": "b"}) == Wishes(Taxonomy(("cat", "dog")), {"a": "b"})
    assert names.wishes(None, {}) == Wishes()
    with pytest.raises(TaxonomyError, match=r"^--model-classes .*nowhere\.txt cannot be read"):
        names.wishes(tmp_path / "nowhere.txt", {})

"""The classes of a dataset: names and numbers, what cannot be one, and the files they come in."""

import polars as pl
import pytest

from radloop import taxonomy
from radloop.errors import TaxonomyError
from radloop.taxonomy import Taxonomy
from radloop.vindr.classes import TAXONOMY as VINDR

ODD = ("a: b", "#1", "'quoted'", 'say "ah"', "x, y", "Überlagerung", "結節", "yes", "3", "- dash", "{}", "~")


def test_nothing_found_is_the_number_behind_the_last_class():
    three = Taxonomy(("a", "b", "c"))
    assert (three.nothing, len(three), VINDR.nothing) == (3, 3, 14)
    assert [three.name(number) for number in (0, 2, 3, None)] == ["a", "c", "No finding", "No finding"]
    assert three.file_names(with_nothing=True) == ("a", "b", "c", "No finding")


def test_numbers_are_found_by_name_in_any_case():
    assert VINDR.number("cardiomegaly") == 3
    assert VINDR.number(" Nodule/Mass ") == 8
    assert VINDR.number("No finding") is None
    assert VINDR.number("Bronchitis") is None


def test_tables_hold_null_and_files_the_number():
    three = Taxonomy(("a", "b", "c"))
    table = pl.DataFrame({"class_id": [0, None, 2]}, schema={"class_id": pl.Int16})
    filed = table.with_columns(three.to_file(pl.col("class_id")))
    assert filed["class_id"].to_list() == [0, 3, 2]
    assert filed.select(three.from_file(pl.col("class_id"))).to_series().to_list() == [0, None, 2]
    assert table.select(three.named(pl.col("class_id"))).to_series().to_list() == ["a", "No finding", "c"]
    assert filed.select(three.named(pl.col("class_id"))).to_series().to_list() == ["a", "No finding", "c"]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        pytest.param((), "0 classes", id="none"),
        pytest.param(tuple(map(str, range(1001))), "1001 classes", id="too many"),
        pytest.param(("Nodule", "nodule"), "'Nodule' and 'nodule'", id="case"),
        pytest.param(("a  b", "a b"), "one name but for case and spaces", id="spaces"),
        pytest.param(("é", "e\u0301"), "one name but for case and spaces", id="composed and decomposed"),
        pytest.param(("a", "a"), "one name", id="twice"),
        pytest.param((" a",), "' a'", id="blank at an end"),
        pytest.param(("",), "''", id="empty"),
        pytest.param(("a\nb",), "printable", id="line break"),
        pytest.param(("x" * 201,), "1 to 200", id="too long"),
        pytest.param(("no FINDING",), "leave it out", id="No finding"),
    ],
)
def test_names_that_no_dataset_can_be_written_with_are_refused(names, why):
    with pytest.raises(TaxonomyError, match=why):
        Taxonomy(names)


def test_a_thousand_classes_and_odd_names_are_taken():
    assert len(Taxonomy(tuple(f"class {number}" for number in range(1000)))) == 1000
    assert Taxonomy(ODD).names == ODD


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("a.txt", "b\na\n\n", id="a name a line"),
        pytest.param("a.txt", "0 b\n1 a\n", id="numbered"),
        pytest.param("a.txt", "\ufeff0 b\r\n1 a\r\n2 No finding\r\n", id="of a Windows program, No finding last"),
        pytest.param("a.yaml", "train: x\nnames:\n  0: b\n  1: a\n", id="data.yaml"),
        pytest.param("a.yml", "names: [b, a]", id="list"),
        pytest.param("a.yaml", "[b, a]", id="bare list"),
    ],
)
def test_files_of_classes(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert taxonomy.read(tmp_path / name).names == ("b", "a")


@pytest.mark.parametrize("text", ["1 A\n2 B\n", "0 A\n5 B\n", "1 A\n0 B\n"])
def test_lines_numbered_in_another_way_than_0_to_n_are_an_error(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(TaxonomyError, match=r"the numbers are 0\.\.n-1 in order, and '. .' is the line of"):
        taxonomy.read(tmp_path / "a.txt")


def test_lines_that_only_begin_with_numbers_are_names(tmp_path):
    (tmp_path / "a.txt").write_text("2 rings\nno ring\n")
    assert taxonomy.read(tmp_path / "a.txt").names == ("2 rings", "no ring")


@pytest.mark.parametrize("text", ['["A","B"]', "class_id,class_name\n0,A\n", "0: A\n1: B\n", "names:\n  0: A\n", "{}"])
def test_lines_of_another_kind_of_file_are_an_error(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(TaxonomyError, match="is no name: give a name a line"):
        taxonomy.read(tmp_path / "a.txt")


def test_names_in_yaml_and_json_are_text_as_they_stand(tmp_path):
    (tmp_path / "a.yaml").write_text("names: [yes, 1.0, 012, 0x10, 1_000, null, 2024-01-01]")
    assert taxonomy.read(tmp_path / "a.yaml").names == ("yes", "1.0", "012", "0x10", "1_000", "null", "2024-01-01")
    (tmp_path / "a.json").write_text('["A", "B"]')
    assert taxonomy.read(tmp_path / "a.json").names == ("A", "B")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("a.txt", b"\xff\xfe", id="not UTF-8"),
        pytest.param("a.yaml", b"names: {a: b}", id="not numbered"),
        pytest.param("a.yaml", b"names: [[1]]", id="not names"),
        pytest.param("a.yaml", b"a: [", id="not YAML"),
        pytest.param("a.txt", b"", id="empty"),
        pytest.param("gone.txt", None, id="missing"),
    ],
)
def test_files_that_hold_no_classes_are_named(tmp_path, name, data):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(TaxonomyError, match=name):
        taxonomy.read(tmp_path / name)


def test_a_summary_of_before_has_the_classes_it_was_written_with():
    assert taxonomy.of_summary({}, default=VINDR) == VINDR
    assert taxonomy.of_summary({"classes": ["a"]}, default=VINDR) == Taxonomy(("a",))
    with pytest.raises(TaxonomyError, match="list of names"):
        taxonomy.of_summary({"classes": [1]}, default=VINDR)

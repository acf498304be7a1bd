"""Which classes a table speaks of: declared, VinBigData's, its own, or its names; and never a guess."""

import polars as pl
import pytest

from radloop import options, settings
from radloop.catalog import classes
from radloop.catalog.classes import Wishes
from radloop.errors import AnnotationError, TaxonomyError, UsageError
from radloop.taxonomy import Taxonomy
from radloop.vindr.classes import TAXONOMY as VINDR

SPINE = ("Osteophytes", "Disc space narrowing", "Surgical implant")
Pair = tuple[str | None, str | None]


def table(*pairs: Pair) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"class_id": pl.String, "class_name": pl.String}, orient="row")


def meant(resolved: classes.Resolved) -> dict[Pair, tuple[int | None, str]]:
    return {(row[0], row[1]): (row[2], row[3]) for row in resolved.meanings.iter_rows()}


def test_a_part_of_vinbigdatas_classes_keeps_vinbigdatas_numbers():
    found = classes.resolve(table(("3", "Cardiomegaly"), ("11", "Pleural thickening"), ("14", "No finding")))
    assert found.taxonomy == VINDR
    assert meant(found) == {
        ("3", "Cardiomegaly"): (3, "finding"),
        ("11", "Pleural thickening"): (11, "finding"),
        ("14", "No finding"): (None, "nothing"),
    }


def test_own_ids_that_are_one_to_one_with_names_are_the_numbers():
    found = classes.resolve(table(("1", SPINE[0]), ("0", SPINE[1]), ("2", SPINE[2]), ("14", "No finding")))
    assert found.taxonomy.names == (SPINE[1], SPINE[0], SPINE[2])


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([("1", "b"), ("3", "a")], id="gaps"),
        pytest.param([("0", "b"), ("0", "a")], id="one id, two names"),
        pytest.param([(None, "b"), ("", "a")], id="no ids"),
    ],
)
def test_names_in_order_are_the_numbers_where_ids_are_none(pairs):
    found = classes.resolve(table(*pairs))
    assert found.taxonomy.names == ("a", "b")
    assert [kind for _, kind in meant(found).values()] == ["finding", "finding"]
    assert bool(found.notes) == (pairs[0][0] is not None)


def test_ids_without_names_are_not_guessed():
    with pytest.raises(AnnotationError, match="--classes FILE"):
        classes.resolve(table(("0", None), ("3", None)))
    found = classes.resolve(table(("0", None), ("14", None)), Wishes(declared=VINDR))
    assert meant(found) == {("0", None): (0, "finding"), ("14", None): (None, "nothing")}


def test_names_that_nobody_declared_stop_with_each_name_and_its_rows():
    rows = table(("3", "Cardiomegaly"), ("", "Bronchitis"), ("", "Bronchitis"), (None, "Scar"))
    with pytest.raises(AnnotationError, match=r"'Bronchitis' \(2 rows\), 'Scar' \(1 rows\)"):
        classes.resolve(rows)
    found = classes.resolve(rows, Wishes(renamed=classes.parse_map(["Scar=Cardiomegaly"]), dropped=("bronchitis",)))
    assert found.taxonomy == VINDR
    assert meant(found) == {
        ("3", "Cardiomegaly"): (3, "finding"),
        ("", "Bronchitis"): (None, "dropped"),
        (None, "Scar"): (3, "finding"),
    }


def test_the_previous_versions_numbers_stay_and_new_names_follow():
    before = Taxonomy(("b", "a"))
    found = classes.resolve(table(("0", "a"), ("1", "z"), ("2", "c")), previous=before)
    assert found.taxonomy.names == ("b", "a", "c", "z")
    assert "c, z" in found.notes[0]
    assert meant(found)["0", "a"] == (1, "finding")


def test_declared_classes_decide_whatever_the_ids_are():
    found = classes.resolve(table(("7", "b"), ("9", "A")), Wishes(declared=Taxonomy(("a", "b", "c"))))
    assert meant(found) == {("7", "b"): (1, "finding"), ("9", "A"): (0, "finding")}


def test_keeping_some_classes_leaves_the_others_out_and_numbers_anew():
    rows = table(("0", "Aortic enlargement"), ("3", "Cardiomegaly"), ("14", "No finding"))
    found = classes.resolve(rows, Wishes(kept=("Cardiomegaly", "ILD")))
    assert found.taxonomy.names == ("Cardiomegaly", "ILD")
    assert meant(found)["0", "Aortic enlargement"] == (None, "dropped")
    assert meant(found)["3", "Cardiomegaly"] == (0, "finding")


def test_renaming_can_join_two_classes():
    found = classes.resolve(table(("0", "a"), ("1", "b"), ("2", "c")), Wishes(renamed=classes.parse_map(["b=a"])))
    assert found.taxonomy.names == ("a", "c")
    assert meant(found)["1", "b"] == (0, "finding")


def test_an_id_that_contradicts_its_name_is_a_refused_row():
    rows = table(*[("3", "Cardiomegaly")] * 3, ("0", "Cardiomegaly"), ("3", "No finding"), ("0", "Aortic enlargement"))
    found = classes.resolve(rows)
    assert found.taxonomy == VINDR
    assert meant(found)["0", "Cardiomegaly"] == (None, "refused")
    assert meant(found)["3", "No finding"] == (None, "refused")
    assert set(found.meanings.filter(kind="refused")["code"]) == {"class-contradiction"}


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        pytest.param((None, None), "class-missing", id="nothing named"),
        pytest.param(("x", "Cardiomegaly"), "class-unknown", id="id that is no number"),
        pytest.param(("1.5", ""), "class-unknown", id="fraction"),
        pytest.param(("99", ""), "class-unknown", id="out of range"),
    ],
)
def test_rows_that_name_no_class_are_refused_with_a_code(pair, code):
    found = classes.resolve(table(("3", "Cardiomegaly"), pair))
    assert found.meanings.filter(pl.col("kind") == "refused")["code"].to_list() == [code]


def test_names_that_differ_in_case_only_are_refused_but_not_of_a_known_list():
    with pytest.raises(AnnotationError, match="'Nodule' and 'nodule'"):
        classes.resolve(table(("0", "Nodule"), ("0", "nodule"), ("1", "Other")))
    assert classes.resolve(table(("3", "Cardiomegaly"), ("3", "cardiomegaly "))).taxonomy == VINDR


@pytest.mark.parametrize(
    "wishes",
    [Wishes(kept=("Typo",)), Wishes(dropped=("Typo",)), Wishes(dropped=("a",))],
    ids=["keep what is not there", "drop what is not there", "drop all"],
)
def test_wishes_that_cannot_be_meant_are_usage_errors(wishes):
    with pytest.raises(UsageError):
        classes.resolve(table(("0", "a")), wishes)


@pytest.mark.parametrize("entries", [["a"], ["=b"], ["a="], ["a=b", "A=c"]])
def test_maps_that_cannot_be_read_are_usage_errors(entries):
    with pytest.raises(UsageError, match="--map"):
        classes.parse_map(entries)


def test_names_that_no_dataset_can_have_are_refused():
    with pytest.raises(TaxonomyError):
        classes.resolve(table((None, "x" * 201)))


def test_a_table_of_ours_is_read_by_the_datasets_classes():
    """A retrain.csv of an earlier version: its names are renamed and left out as those of the source are."""
    before, after = Taxonomy(("a", "b", "c")), Taxonomy(("c", "x"))
    rows = table(("0", "a"), ("1", "b"), ("2", "c"), ("3", "No finding"))
    with pytest.raises(AnnotationError, match="'a'"):
        classes.of_taxonomy(rows, after, renamed={"b": "x"})
    found = classes.of_taxonomy(rows, after, renamed={"b": "x"}, left_out=frozenset({"a", "z"}))
    assert found.taxonomy == after
    assert [kind for _, kind in meant(found).values()] == ["dropped", "finding", "finding", "nothing"]
    assert [number for number, _ in meant(found).values()] == [None, 1, 0, None]
    assert meant(classes.of_taxonomy(rows, before))["1", "b"] == (1, "finding")


def test_what_is_left_out_is_named():
    rows = table(("0", "Aortic enlargement"), ("3", "Cardiomegaly"))
    assert "aortic enlargement" in classes.resolve(rows, Wishes(kept=("Cardiomegaly",))).left_out
    assert classes.resolve(rows).left_out == frozenset()


def test_wishes_are_made_of_what_the_flags_say(tmp_path):
    (tmp_path / "names.txt").write_text("a, b\nc\n")
    (tmp_path / "map.txt").write_text("old=c\n\n other = a, b \n", encoding="utf-8-sig")
    found = classes.wishes(
        str(tmp_path / "names.txt"), ["x=c", str(tmp_path / "map.txt")], keep=("a, b", "c"), drop=("d",)
    )
    assert found == Wishes(
        declared=Taxonomy(("a, b", "c")), renamed={"x": "c", "old": "c", "other": "a, b"}, kept=("a, b", "c"),
        dropped=("d",),
    )  # fmt: skip
    assert classes.wishes(None, []) == Wishes()
    assert classes.wishes("VinBigData", []).declared == VINDR


def test_a_map_that_is_neither_a_pair_nor_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "latin").write_bytes(b"\xff=a")
    for entry in ("nowhere", str(tmp_path / "latin"), "a\0"):
        with pytest.raises(UsageError, match="neither OLD=NEW nor a UTF-8 file"):
            classes.wishes(None, [entry])


@pytest.mark.parametrize("text", ["", " ", "no-such-file"])
def test_classes_that_cannot_be_read_are_an_error(text):
    with pytest.raises(TaxonomyError):
        classes.wishes(text, [])


def test_settings_take_a_name_a_line_and_never_split_at_commas(monkeypatch):
    monkeypatch.setenv("RADLOOP_KEEP_CLASSES", "a, b\n c \n\n")
    monkeypatch.setenv("RADLOOP_MAP", "x=a, b\ny=c")
    chosen = settings.load(options.Transform, {"drop_classes": ["d, e", "f"]})
    assert chosen.keep_classes == ("a, b", "c")
    assert chosen.map == ("x=a, b", "y=c")
    assert chosen.drop_classes == ("d, e", "f")
    assert settings.load(options.Transform).drop_classes == ()


def test_more_than_a_thousand_names_are_refused():
    with pytest.raises(TaxonomyError, match="1001 classes"):
        classes.resolve(table(*((None, f"c{number}") for number in range(1001))))


def test_a_source_that_brings_its_classes_needs_no_row_of_each():
    own = Taxonomy(("c", "b", "a"))
    found = classes.resolve(table(("2", "a")), own=own)
    assert found.taxonomy == own
    assert classes.resolve(table(("2", "a")), Wishes(declared=Taxonomy(("a",))), own=own).taxonomy.names == ("a",)
    assert classes.resolve(table(("2", "a")), own=own, previous=Taxonomy(("a", "c"))).taxonomy.names == ("a", "c")
    with pytest.raises(AnnotationError, match="'z'"):
        classes.resolve(table(("2", "z")), own=own)


def test_vinbigdatas_names_with_other_ids_are_a_list_of_their_own():
    found = classes.resolve(table(("1", "Aortic enlargement"), ("4", "Cardiomegaly"), ("0", "No finding")))
    assert found.taxonomy.names == ("Aortic enlargement", "Cardiomegaly")
    assert "class_id is not used" in found.notes[0]
    assert meant(found)["4", "Cardiomegaly"] == (1, "finding")


def test_a_name_that_is_mapped_is_so_by_its_number_too():
    """Of an id alone, whichever list numbers it."""
    rows, swap = table(("0", None), ("1", None)), {"a": "b", "b": "a"}
    for wanted in (
        {"previous": Taxonomy(("a", "c"))},
        {"own": Taxonomy(("a", "c"))},
        {"wishes": Taxonomy(("a", "c", "b"))},
    ):
        declared = wanted.pop("wishes", None)
        found = classes.resolve(rows, Wishes(declared=declared, renamed={"a": "b"}), **wanted)
        assert meant(found)["0", None] == (found.taxonomy.number("b"), "finding")
        assert meant(found)["1", None] == (found.taxonomy.number("c"), "finding")
    found = classes.resolve(rows, Wishes(declared=Taxonomy(("a", "b")), renamed=swap))
    assert meant(found) == {("0", None): (1, "finding"), ("1", None): (0, "finding")}


def test_a_name_that_is_mapped_to_none_of_the_list_stops_by_its_number_too():
    with pytest.raises(AnnotationError, match=r"'Z' \(1 rows\)"):
        classes.resolve(table(("0", None)), Wishes(declared=Taxonomy(("a", "b")), renamed={"a": "Z"}))


@pytest.mark.parametrize(
    ("rows", "lone"),
    [
        pytest.param([("0", "A"), ("0", "B"), ("1", "C"), ("1", None)], "1", id="ids of no use"),
        pytest.param([("1", "A"), ("2", "B"), ("0", None)], "0", id="from 1"),
        pytest.param([("3", "A"), ("7", "B"), ("0", None)], "0", id="with gaps"),
    ],
)
@pytest.mark.parametrize("listed", [None, Taxonomy(("A", "B", "C"))], ids=["no list", "a list"])
def test_an_id_that_the_table_itself_does_not_explain_is_refused(rows, lone, listed):
    found = classes.resolve(table(*rows), previous=listed)
    assert meant(found)[lone, None] == (None, "refused")


def test_the_number_of_no_finding_is_read_where_rows_say_it():
    rows = table(("1", "A"), ("2", "B"), ("0", "No finding"), ("0", None), ("2", None))
    found = classes.resolve(rows)
    assert meant(found)["0", None] == (None, "nothing")
    assert meant(found)["2", None] == (1, "finding")
    found = classes.resolve(table(("0", "No finding"), ("0", None)), previous=Taxonomy(("A", "B")))
    assert meant(found)["0", None] == (None, "nothing")


def test_a_name_without_any_box_is_no_class():
    rows = table(("0", "A"), ("1", "No findings")).with_columns(
        pl.Series(side, ["5", " "]) for side in ("x_min", "y_min", "x_max", "y_max")
    )
    with pytest.raises(AnnotationError, match=r"No row of 'No findings' has a box.*--map 'No findings'='No finding'"):
        classes.resolve(rows)
    found = classes.resolve(rows, Wishes(renamed={"no findings": "No finding"}))
    assert found.taxonomy.names == ("A",)
    assert classes.resolve(rows, Wishes(declared=Taxonomy(("A", "No findings")))).taxonomy.names == ("A", "No findings")


def test_a_map_of_what_is_not_there_is_said():
    """It is no error: the containers have one map, for the table and for the names of a model."""
    rows = table(("0", "a"), ("1", "b"))
    wanted = Wishes(declared=Taxonomy(("a", "b", "c")), renamed={"typo": "a", "b": "a", "c": "a"})
    assert classes.resolve(rows, wanted).notes == ("--map renames what no row and no list has: typo",)
    assert classes.of_taxonomy(rows, Taxonomy(("a",)), renamed=wanted.renamed).notes == ()

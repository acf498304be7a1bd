"""The memory of what was ever held out."""

import polars as pl
import pytest

from radloop import sealed
from radloop.catalog import heldout
from radloop.errors import DatasetError
from radloop.tables import ANNOTATIONS, ASSIGNMENT, HELDOUT, PICTURES, SPLITS

NOBODY = pl.DataFrame(schema={"image_id": pl.String, "patient": pl.String})


def remembered(image_id: str, *, split: str = "test", md5: str = "m", **more) -> dict[str, object]:
    small = bytes(1024)
    row = {"image_id": image_id, "split": split, "group": image_id, "md5": md5, "pixels_md5": md5, "phash": "0" * 16}
    return row | {"thumbnail": small, "patients": None} | more


def memory(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=HELDOUT)


def grown(before: pl.DataFrame, *images: tuple[str, str, str], patients: pl.DataFrame = NOBODY) -> pl.DataFrame:
    """After a version with images of (id, split, md5)."""
    assignment = pl.DataFrame([(one, one, split) for one, split, _ in images], schema=ASSIGNMENT, orient="row")
    pictures = pl.DataFrame(
        [{"image_id": one, "md5": md5, "pixels_md5": md5, "phash": "0" * 16} for one, _, md5 in images], schema=PICTURES
    )
    small = pl.DataFrame({"image_id": [one for one, _, _ in images], "thumbnail": [bytes(1024)] * len(images)})
    return heldout.grow(before, assignment, pictures, small, patients)


def names(table: pl.DataFrame) -> list[tuple[str, str]]:
    return table.select("image_id", "md5").rows()


def test_each_held_out_split_is_remembered_and_no_other():
    images = [(split, split, f"m{place}") for place, split in enumerate(SPLITS)]
    assert set(grown(heldout.NOTHING, *images)["image_id"]) == {"validation", "test", "staging", "canary"}


def test_what_is_gone_stays_remembered_and_what_is_there_is_not_twice():
    first = grown(heldout.NOTHING, ("a", "test", "1"), ("b", "test", "2"))
    second = grown(first, ("b", "test", "2"), ("c", "canary", "3"))
    assert names(second) == [("a", "1"), ("b", "2"), ("c", "3")]


def test_an_image_with_another_picture_is_remembered_with_both():
    assert names(grown(memory(remembered("a", md5="1")), ("a", "test", "2"))) == [("a", "1"), ("a", "2")]


def test_what_an_old_version_told_too_little_of_is_filled_in():
    annotations = pl.DataFrame(
        [
            {"image_id": "a", "split": "test", "group": "a", "md5": "1", "phash": "0" * 16},
            {"image_id": "b", "split": "training", "group": "b", "md5": "2", "phash": "0" * 16},
        ],
        schema=ANNOTATIONS,
    )
    start = heldout.of_annotations(annotations)
    assert start.select("image_id", "thumbnail", "pixels_md5").rows() == [("a", None, None)]
    assert grown(start, ("a", "test", "1"))["thumbnail"].to_list() == [bytes(1024)]


def test_patients_are_remembered_for_good_and_hashed_by_lineage():
    told = pl.DataFrame({"image_id": ["a"], "patient": ["hash"]})
    one, other = (heldout.patients_of(told, lineage) for lineage in ("x", "y"))
    assert one["patient"][0] != other["patient"][0] != "hash"
    first = grown(heldout.NOTHING, ("a", "test", "1"), patients=one)
    assert grown(first, ("a", "test", "1"))["patients"].to_list() == one["patient"].to_list()


def test_patients_of_the_memory_have_a_row_each():
    table = memory(remembered("a", patients="x y"), remembered("b", patients="x"), remembered("c"))
    assert heldout.of_patients(table).rows() == [("a", "x"), ("a", "y"), ("b", "x")]


def test_bytes_do_not_depend_on_the_order_of_rows_and_come_back():
    table = memory(remembered("b"), remembered("a"), remembered("a", md5="n"))
    data = heldout.encode(table)
    assert heldout.encode(table.reverse()) == data
    assert heldout.decode(data, name="x").equals(table.sort("image_id", "md5"))


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(memory(remembered("a", split="training")), id="a training image"),
        pytest.param(memory(remembered("a", split=None)), id="without a split"),
        pytest.param(memory(remembered("a", md5=None)), id="without an MD5"),
        pytest.param(memory(remembered("a", thumbnail=b"small")), id="a thumbnail of another size"),
        pytest.param(memory(remembered("a")).drop("phash"), id="a column less"),
    ],
)
def test_a_memory_that_is_none_is_refused(table):
    with pytest.raises(DatasetError, match=r"^here "):
        heldout.decode(sealed.encode(table), name="here")


def test_bytes_that_are_no_memory_are_refused():
    with pytest.raises(DatasetError, match="not radloop's, or damaged"):
        heldout.decode(b"PAR1", name="here")


def annotated(*images: tuple[str, str, str]) -> pl.DataFrame:
    rows = [{"image_id": one, "split": split, "md5": md5} for one, split, md5 in images]
    return pl.DataFrame(rows, schema=ANNOTATIONS)


def test_a_memory_is_checked_against_its_version():
    data = heldout.encode(memory(remembered("a", md5="1"), remembered("b", md5="2")))
    assert list(heldout.verify(data, annotated(("a", "test", "1"), ("c", "training", "3")))) == []
    assert list(heldout.verify(data, annotated(("c", "canary", "3")))) == ["image c is held out and not remembered"]
    sentence = "image a is in training; as a it was held out in test"
    assert list(heldout.verify(data, annotated(("a", "training", "9")))) == [sentence]
    sentence = "image c is in production; as b it was held out in test"
    assert list(heldout.verify(data, annotated(("c", "production", "2")))) == [sentence]
    assert list(heldout.verify(b"", annotated())) == [
        "it is not radloop's, or damaged (0 bytes). Write the dataset again."
    ]


def test_a_lineage_is_named_by_its_pictures():
    pictures = pl.DataFrame([{"image_id": "a", "md5": "1"}, {"image_id": "b", "md5": "2"}], schema=PICTURES)
    assert heldout.lineage_of(pictures) == heldout.lineage_of(pictures.reverse())
    assert heldout.lineage_of(pictures) != heldout.lineage_of(pictures.head(1))

"""A dataset version in a folder or a store, and how two differ."""

import json

import polars as pl
import pytest

import made_up
from radloop import sealed, tree
from radloop.catalog import version
from radloop.errors import DatasetError
from radloop.options import Extract, Transform
from radloop.pipelines import offline
from radloop.tables import ANNOTATIONS, EDGES
from radloop.taxonomy import Taxonomy
from taxonomies import SPINE, VINDR


def annotations(*rows: tuple, classes: Taxonomy = VINDR) -> pl.DataFrame:
    """Rows as (image, split, reader, class, used)."""
    return pl.DataFrame(
        [
            {
                "image_id": image_id,
                "split": split,
                "group": image_id,
                "rad_id": rad_id,
                "class_id": class_id,
                "class_name": classes.name(class_id),
                "used": used,
                "source": "reader" if rad_id.startswith("R") else "review",
                "final": False,
                **dict.fromkeys(("x_min_norm", "y_min_norm"), None if class_id is None else 0.1),
                **dict.fromkeys(("x_max_norm", "y_max_norm"), None if class_id is None else 0.3),
            }
            for image_id, split, rad_id, class_id, used in rows
        ],
        schema=ANNOTATIONS,
    )


BEFORE = annotations(
    ("same", "test", "R1", 3, True),
    ("normal", "test", "R1", None, True),
    ("moved", "production", "R1", 3, True),
    ("relabelled", "training", "R1", 3, True),
    ("gone", "canary", "R1", 7, True),
)
AFTER = annotations(
    ("same", "test", "R1", 3, True),
    ("normal", "test", "R1", None, True),
    ("moved", "training", "R1", 3, True),
    ("relabelled", "training", "R1", 3, False),
    ("relabelled", "training", "ann", 7, True),
    ("new", "training", "R1", None, True),
)


def test_difference_names_every_image_that_is_not_as_it_was():
    found = version.compare(BEFORE, AFTER)
    assert found.images == (5, 5)
    assert (found.added, found.removed, found.changed) == (("new",), ("gone",), ("relabelled",))
    assert found.moved.rows() == [("moved", "production", "training")]
    rows = {name: (before, after) for name, before, after in found.labels.iter_rows() if before or after}
    assert rows == {"Cardiomegaly": (3, 2), "Lung Opacity": (1, 1), "No finding": (1, 2)}


def test_version_does_not_differ_from_itself():
    found = version.compare(AFTER, AFTER)
    assert found.moved.is_empty()
    assert found.added == found.removed == found.changed == ()


def test_readings_are_the_readers_own_also_beside_a_review(tmp_path):
    known = version.Version(tmp_path, "", VINDR, AFTER, pl.DataFrame(), {})
    assert sorted(known.readings.select("image_id", "rad_id").rows()) == [
        ("moved", "R1"),
        ("new", "R1"),
        ("normal", "R1"),
        ("relabelled", "R1"),
        ("same", "R1"),
    ]


@pytest.mark.parametrize(
    ("damaged", "sentence"),
    [
        pytest.param("annotations.parquet", "unreadable|is damaged|not radloop's", id="annotations"),
        pytest.param("summary.json", "is damaged", id="summary"),
    ],
)
def test_damaged_version_is_one_error(tmp_path, damaged, sentence):
    films = made_up.films(tmp_path / "films", 12)
    offline.extract(Extract(source=str(films), out=tmp_path))
    offline.transform(Transform(out=tmp_path))
    assert version.read(tmp_path).settings["labels"] == "per-reader"

    path = tmp_path / "organized" / damaged
    path.unlink()
    path.write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=sentence):
        version.read(tmp_path)


def test_folder_without_a_manifest_is_not_a_version_of_ours(tmp_path):
    (tmp_path / "data.yaml").write_text("train: images\n")
    with pytest.raises(DatasetError, match="not written by radloop"):
        version.read(tmp_path)


# bytes


def named(classes: Taxonomy) -> pl.DataFrame:
    last = len(classes) - 1
    return annotations(("a", "test", "R1", last, True), ("b", "test", "R1", None, True), classes=classes)


def test_annotations_come_back_as_they_were_and_files_hold_n_for_nothing_found(classes):
    data = version.encode(named(classes), classes)
    assert sealed.decode(data)["class_id"].to_list() == [len(classes) - 1, len(classes)]
    assert version.decode(data, classes, name="x").equals(named(classes))


def test_annotations_of_other_classes_are_refused():
    with pytest.raises(DatasetError, match="a class that the dataset has not"):
        version.decode(version.encode(named(VINDR), VINDR), SPINE, name="x")


def test_annotations_of_before_there_were_more_than_fifteen_numbers_are_read():
    old = named(VINDR).with_columns(class_id=pl.Series([13, 14], dtype=pl.Int8))
    assert version.decode(sealed.encode(old), VINDR, name="x").equals(named(VINDR))


@pytest.mark.parametrize("data", [b"", b"PAR1", sealed.encode(pl.DataFrame({"a": [1]}))], ids=["none", "cut", "other"])
def test_what_is_not_ours_is_refused(data):
    with pytest.raises(DatasetError, match="not radloop's"):
        version.decode(data, VINDR, name="x")


# in a store


def test_a_published_version_tells_its_classes(classes):
    summary = json.dumps({"classes": classes.names}).encode()
    files = {tree.ANNOTATIONS: version.encode(named(classes), classes), tree.SUMMARY: summary}
    taxonomy, rows = version.published(files.get, name="here")
    assert taxonomy == classes
    assert rows.equals(named(classes))


def test_a_version_of_before_summaries_told_classes_has_vinbigdatas():
    files = {tree.ANNOTATIONS: version.encode(named(VINDR), VINDR), tree.SUMMARY: b"{}"}
    assert version.published(files.get, name="here")[0] == VINDR


def test_a_place_without_annotations_holds_no_version():
    assert version.published({}.get, name="here") is None


@pytest.mark.parametrize("summary", [b"]", b"[" * 10**5, b'{"classes": 3}', b'{"classes": ["a", "A"]}'])
def test_a_damaged_summary_names_the_place(summary):
    with pytest.raises(DatasetError, match=r"here: summary\.json is damaged"):
        version.taxonomy_of(summary, name="here")


# two versions


def test_classes_are_compared_by_name_whatever_their_numbers_are():
    before, after = Taxonomy(("b", "a")), Taxonomy(("a", "b", "c"))
    old = annotations(("x", "test", "R1", 1, True), ("y", "test", "R1", None, True), classes=before)
    new = annotations(("x", "test", "R1", 0, True), ("y", "test", "R1", 2, True), classes=after)
    found = version.compare(old, new)
    assert found.labels.rows() == [("a", 1, 1), ("c", 0, 1), ("No finding", 1, 0)]
    assert found.changed == ("y",)


def test_images_have_one_row_each():
    assert version.images(AFTER)["image_id"].to_list() == ["moved", "new", "normal", "relabelled", "same"]
    assert set(EDGES) <= set(version.readings(AFTER).columns)

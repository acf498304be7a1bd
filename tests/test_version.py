"""A dataset version in a folder, and how two differ."""

import polars as pl
import pytest

import made_up
from radloop.dataset import version
from radloop.dataset.splits import SplitSizes
from radloop.errors import DatasetError
from radloop.pipelines import offline
from radloop.tables import ANNOTATIONS


def annotations(*rows: tuple) -> pl.DataFrame:
    """Rows as (image, split, reader, class, used)."""
    return pl.DataFrame(
        [
            {
                "image_id": image_id,
                "split": split,
                "group": image_id,
                "rad_id": rad_id,
                "class_id": class_id,
                "used": used,
                **dict.fromkeys(("x_min_norm", "y_min_norm"), None if class_id == 14 else 0.1),
                **dict.fromkeys(("x_max_norm", "y_max_norm"), None if class_id == 14 else 0.3),
            }
            for image_id, split, rad_id, class_id, used in rows
        ],
        schema=ANNOTATIONS,
    )


BEFORE = annotations(
    ("same", "test", "R1", 3, True),
    ("normal", "test", "R1", 14, True),
    ("moved", "production", "R1", 3, True),
    ("relabelled", "training", "R1", 3, True),
    ("gone", "canary", "R1", 7, True),
)
AFTER = annotations(
    ("same", "test", "R1", 3, True),
    ("normal", "test", "R1", 14, True),
    ("moved", "training", "R1", 3, True),
    ("relabelled", "training", "R1", 3, False),
    ("relabelled", "training", "ann", 7, True),
    ("new", "training", "R1", 14, True),
)


def test_difference_names_every_image_that_is_not_as_it_was():
    found = version.compare(BEFORE, AFTER)
    assert found.images == (5, 5)
    assert (found.added, found.removed, found.changed) == (("new",), ("gone",), ("relabelled",))
    assert found.moved.rows() == [("moved", "production", "training")]
    rows = {name: (before, after) for _, name, before, after in found.labels.iter_rows() if before or after}
    assert rows == {"Cardiomegaly": (3, 2), "Lung Opacity": (1, 1), "No finding": (1, 2)}


def test_version_does_not_differ_from_itself():
    found = version.compare(AFTER, AFTER)
    assert found.moved.is_empty()
    assert found.added == found.removed == found.changed == ()


def test_readings_are_the_readers_own_where_re_training_data_took_their_place(tmp_path):
    known = version.Version(tmp_path, "", AFTER, pl.DataFrame(), {})
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
    offline.extract(str(films), tmp_path)
    offline.transform(tmp_path, sizes=SplitSizes())
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

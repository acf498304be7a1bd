"""Parquet: each image once, its own bytes and the boxes of its readers, and a card that says what columns are."""

import polars as pl
import pyarrow.parquet
import pytest
import yaml

import exports
from radloop.catalog import version
from radloop.dataset.export import parquet
from radloop.errors import DatasetError
from radloop.tables import SPLITS


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return exports.organized(tmp_path_factory.mktemp("loop"))


def written(dataset, folder, *, most_bytes=10**9, **asked):
    parquet.write(exports.read(dataset, **asked), folder, most_bytes=most_bytes)
    return {path.name: pyarrow.parquet.read_table(path).to_pylist() for path in sorted((folder / "data").iterdir())}


def card(folder):
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])


def test_pyarrow_finds_every_picture_and_every_readers_box(dataset, tmp_path):
    tables = written(dataset, tmp_path)
    names = version.read(dataset).taxonomy.names
    found = []
    for row in [row for rows in tables.values() for row in rows]:
        told = row["objects"]
        for (x, y, width, height), category, rad_id in zip(told["bbox"], told["category"], told["rad_id"], strict=True):
            corners = [round(edge, 6) for edge in (x, y, x + width, y + height)]
            found.append((row["image_id"], names[category], rad_id, *corners))
    assert sorted(found) == exports.drawn(dataset)
    md5s = {row["image_id"]: exports.md5(row["image"]["bytes"]) for rows in tables.values() for row in rows}
    assert md5s == dict(version.read(dataset).images.select("image_id", "md5").iter_rows())


def test_image_without_a_box_has_empty_lists_and_its_readers(dataset, tmp_path):
    rows = [row for rows in written(dataset, tmp_path).values() for row in rows]
    normal = [row for row in rows if not row["objects"]["bbox"]]
    assert {row["image_id"] for row in rows} - {name for name, *_ in exports.drawn(dataset)} == {
        row["image_id"] for row in normal
    }
    assert all(row["objects"] == {"bbox": [], "category": [], "rad_id": [], "support": []} for row in normal)
    assert all(len(row["readers"]) == 2 for row in normal)


def test_card_names_splits_files_and_the_classes_in_their_order(dataset, tmp_path):
    written(dataset, tmp_path, license="CC-BY-4.0")
    told = card(tmp_path)
    (config,) = told["configs"]
    assert [(one["split"], len(list(tmp_path.glob(one["path"])))) for one in config["data_files"]] == [
        (split, 1) for split in SPLITS
    ]
    columns = {one["name"]: one for one in told["dataset_info"]["features"]}
    assert list(columns) == pl.read_parquet(tmp_path / "data" / "test-00000-of-00001.parquet").columns
    objects = {one["name"]: one for one in columns["objects"]["struct"]}
    names = objects["category"]["sequence"]["dtype"]["class_label"]["names"]
    assert [names[str(number)] for number in range(len(names))] == list(version.read(dataset).taxonomy.names)
    assert (told["license"], told["license_name"]) == ("other", "CC-BY-4.0")


def test_licence_that_nobody_told_is_unknown(dataset, tmp_path):
    written(dataset, tmp_path)
    assert card(tmp_path)["license"] == "unknown"


def test_files_are_numbered_of_how_many_and_hold_together_the_same(dataset, tmp_path):
    tables = written(dataset, tmp_path, most_bytes=12_000, splits=("training",))
    assert list(tables) == [f"training-{number:05}-of-{len(tables):05}.parquet" for number in range(len(tables))]
    assert len(tables) > 2
    ids = [row["image_id"] for _, rows in sorted(tables.items()) for row in rows]
    assert ids == exports.read(dataset).of("training")[0]["image_id"].to_list()


def test_full_disk_is_one_sentence(dataset, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test-00000-of-00001.parquet").symlink_to("/dev/full")
    monkeypatch.setattr(type(tmp_path), "mkdir", lambda *_, **__: None)
    with pytest.raises(DatasetError, match=r"test-00000-of-00001\.parquet cannot be written to .*: .*No space left"):
        parquet.write(exports.read(dataset, splits=("test",)), tmp_path, most_bytes=10**9)

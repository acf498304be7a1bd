"""A dataset that is opened: what it tells is what the files say, in a folder as in a store."""

import csv
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import made_up
import radloop
from memory_store import MemoryStore
from radloop import storage
from radloop.errors import DatasetError, StoreError, UsageError
from radloop.pipelines import checking
from tiny_unit import OLD, write_unit

SIZES = "training=20,validation=4,test=4,staging=4,canary=4,production=4"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("loop")
    made_up.films(out / "films")
    radloop.etl(source=out / "films", out=out, sizes=SIZES, jobs=1)
    return out


@pytest.fixture
def remote(out, tmp_path, monkeypatch):
    """The store as a remote of rclone."""
    (tmp_path / "rclone.conf").write_text(f"[disk]\ntype = alias\nremote = {out}/store\n")
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return "disk:"


def test_boxes_in_pixels_are_those_of_the_table_that_it_was_made_of(out):
    dataset = radloop.open(out)
    with (out / "films" / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sides = ("x_min", "y_min", "x_max", "y_max")
    for image_id in dataset.images["image_id"]:
        image = dataset.image(image_id)
        mine = [row for row in rows if row["image_id"] == image_id]
        drawn = sorted(
            (row["rad_id"], row["class_name"], *(float(row[side]) for side in sides))
            for row in mine
            if row["class_name"] != "No finding"
        )
        assert set(image.readers) == {row["rad_id"] for row in mine}
        assert sorted((box.rad_id, box.class_name, *box.xyxy_px) for box in image.boxes) == [
            (*box[:2], *(pytest.approx(side) for side in box[2:])) for box in drawn
        ]
        assert all(dataset.classes[box.class_id] == box.class_name for box in image.boxes)
        assert image.path.parts[-3] == image.split


def test_splits_and_images_are_those_of_the_files(out):
    dataset = radloop.open(out / "organized")
    for split, count in dataset.splits.items():
        there = {path.stem.rpartition("_")[0] for path in (out / "organized" / split / "images").iterdir()}
        assert {*dataset.images.filter(split=split)["image_id"]} == there
        assert len(there) == count
    keys = [out / "organized" / key for key in dataset.images["key"]]
    assert all(path.is_file() for path in keys)


def test_remote_store_is_read_without_its_pictures_and_pulled(out, remote, tmp_path):
    there, here = radloop.open(remote), radloop.open(out)
    assert (there.version, there.classes, there.splits) == (here.version, here.classes, here.splits)
    assert there.annotations.equals(here.annotations)
    assert there.images.equals(here.images)
    first = here.images["image_id"][0]
    assert (there.image(first).boxes, there.image(first).path) == (here.image(first).boxes, None)
    assert there.check().sound

    part = there.pull(out=tmp_path / "part", splits=["test"])
    assert part.version == here.version
    found = {image_id: part.image(image_id).path for image_id in part.images["image_id"]}
    assert {path is not None and path.is_file() for path in found.values()} == {True, False}
    assert {image_id for image_id, path in found.items() if path} == {*part.images.filter(split="test")["image_id"]}


def test_coco_documents_are_the_files_of_the_export(out, tmp_path):
    exported = radloop.export(format="coco", dataset=out / "organized", out=tmp_path)
    files = (exported.folder / "annotations").glob("instances_*.json")
    written = {path.stem.removeprefix("instances_"): json.loads(path.read_bytes()) for path in files}
    assert radloop.open(out).to_coco() == written
    assert {split: len(one["images"]) for split, one in written.items()} == radloop.open(out).splits


def test_coco_documents_of_a_remote_store_ask_for_a_pull(remote):
    with pytest.raises(DatasetError, match="`pull` it first"):
        radloop.open(remote).to_coco()


def test_check_is_that_of_the_command(out):
    assert radloop.open(out).check().counts == checking.check(out / "organized").counts


def test_unknown_image_is_an_error_that_names_it(out):
    with pytest.raises(DatasetError, match="has no image 'a1'"):
        radloop.open(out).image("a1")


def test_nothing_another_dataset_and_a_changed_one_are_errors(out, tmp_path):
    with pytest.raises(DatasetError, match="holds no dataset"):
        radloop.open(tmp_path)
    (tmp_path / "data.yaml").write_text("names: [a]\n")
    with pytest.raises(DatasetError, match="was not written by radloop"):
        radloop.open(tmp_path)
    shutil.copytree(out / "organized", tmp_path / "changed")
    with (tmp_path / "changed" / "summary.json").open("a") as file:
        file.write(" ")
    with pytest.raises(DatasetError, match=r"summary\.json is damaged, or was changed"):
        radloop.open(tmp_path / "changed")


def test_store_that_is_being_published_is_not_read(out, monkeypatch):
    store = MemoryStore()
    for name in ("manifest.parquet", "summary.json", "annotations.parquet"):
        store.objects[f"organized/{name}"] = (out / "organized" / name).read_bytes()
    monkeypatch.setattr(storage, "open_store", lambda address: store)
    assert radloop.open("memory:").version == radloop.open(out).version

    store.objects["organized/publishing"] = b""
    with pytest.raises(StoreError, match="publish in progress"):
        radloop.open("memory:")
    del store.objects["organized/publishing"], store.objects["organized/manifest.parquet"]
    with pytest.raises(DatasetError, match="has no manifest"):
        radloop.open("memory:")


def test_dataset_is_not_replaced_by_a_part_of_itself(out):
    before = sorted((out / "organized").rglob("*"))
    with pytest.raises(UsageError, match="it is here already"):
        radloop.open(out).pull(out=out, splits=["test"])
    with pytest.raises(UsageError, match="it is here already"):
        radloop.pull(store=out, out=out, splits=["test"])
    assert sorted((out / "organized").rglob("*")) == before


def test_manifest_of_something_else_is_no_dataset(tmp_path):
    write_unit(tmp_path / "organized", OLD)
    (tmp_path / "organized" / "data.yaml").touch()
    with pytest.raises(DatasetError, match=r"has no annotations\.parquet: it was not written by radloop"):
        radloop.open(tmp_path)


def test_table_goes_on_to_pandas(out):
    frame = radloop.open(out).annotations.filter(pl.col("class_id").is_not_null()).to_pandas()
    assert frame.groupby("split").size().sum() == radloop.open(out).annotations["class_id"].count()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        pytest.param(lambda one: one.to_coco(labels="fused"), "labels: 'fused' cannot be used", id="labels"),
        pytest.param(lambda one: one.to_coco(splits=["tst"]), "splits: 'tst' cannot be used", id="splits"),
        pytest.param(lambda one: one.to_coco(splits=[]), "splits: an empty list cannot be used", id="no split"),
        pytest.param(lambda one: one.check(jobs=0), "jobs: '0' cannot be used", id="jobs"),
        pytest.param(lambda one: one.image(5), "5 cannot be used: an image's id is a text", id="image"),
        pytest.param(lambda one: one.image(None), "None cannot be used", id="no image"),
    ],
)
def test_what_a_dataset_is_asked_in_wrong_words_is_named(out, asked, sentence):
    with pytest.raises(UsageError, match=sentence):
        asked(radloop.open(out))


def test_coco_documents_of_a_folder_that_holds_another_version_by_now_are_refused(out):
    with pytest.raises(DatasetError, match=r"was opened at 0123 and holds .*: open it again"):
        replace(radloop.open(out), version="0123").to_coco()

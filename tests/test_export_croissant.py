"""Croissant: every file is described by its SHA-256, every column is a field, and the tables are the dataset's own."""

import hashlib
import json

import pytest

import exports
from radloop import sealed
from radloop.catalog import version
from radloop.dataset.export import croissant
from radloop.tables import EDGES, SPLITS


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return exports.organized(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("croissant")
    croissant.write(exports.read(dataset, labels="consensus", license="CC-BY-4.0"), folder)
    return folder


def described(folder):
    return json.loads((folder / "metadata.json").read_bytes())


def test_annotations_are_the_dataset_s_own_file(dataset, folder, tmp_path):
    assert (folder / "annotations.parquet").read_bytes() == (dataset / "annotations.parquet").read_bytes()
    croissant.write(exports.read(dataset, splits=("test",)), tmp_path)
    some = sealed.decode((tmp_path / "annotations.parquet").read_bytes())
    own = sealed.decode((dataset / "annotations.parquet").read_bytes())
    assert some.equals(own.filter(split="test"))
    assert [one["name"] for one in described(tmp_path)["recordSet"]] == [
        *("images", "annotations", "pictures", "classes", "splits")
    ]


def test_every_file_is_described_and_every_column_is_a_field(folder):
    told = described(folder)
    files = {one["@id"]: one for one in told["distribution"] if one["@type"] == "cr:FileObject"}
    tables = {path.name for path in folder.glob("*.parquet")}
    assert set(files) == tables == {"images.parquet", "annotations.parquet", "consensus.parquet"}
    for name, one in files.items():
        assert one["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for records in told["recordSet"][:3]:
        table = sealed.decode((folder / f"{records['name']}.parquet").read_bytes())
        assert [field["source"]["extract"]["column"] for field in records["field"]] == table.columns
        assert {field["source"]["fileObject"]["@id"] for field in records["field"]} == {f"{records['name']}.parquet"}


def test_images_table_leads_to_every_picture_by_its_md5(dataset, folder):
    images = sealed.decode((folder / "images.parquet").read_bytes())
    for row in images.to_dicts():
        assert exports.md5((folder / row["file"]).read_bytes()) == row["md5"]
    (pictures,) = [one for one in described(folder)["distribution"] if one["@type"] == "cr:FileSet"]
    matched = {path.relative_to(folder).as_posix() for place in pictures["includes"] for path in folder.glob(place)}
    assert matched == set(images["file"])
    assert images.select("image_id", "split").sort("image_id").rows() == sorted(
        version.read(dataset).images.select("image_id", "split").rows()
    )


def test_fused_boxes_are_those_of_the_labels(dataset, folder):
    fused = sealed.decode((folder / "consensus.parquet").read_bytes())
    expected = exports.read(dataset, labels="consensus").boxes
    columns = ["image_id", "class_id", *EDGES, "support"]
    assert fused.select(columns).rows() == expected.select(columns).rows()


def test_document_tells_version_licence_splits_and_classes(dataset, folder):
    told = described(folder)
    assert told["version"].endswith(version.read(dataset).id)
    assert told["license"] == "CC-BY-4.0"
    inline = {one["name"]: [list(row.values()) for row in one["data"]] for one in told["recordSet"] if "data" in one}
    assert inline["splits"] == [[split] for split in SPLITS]
    names = version.read(dataset).taxonomy.file_names(with_nothing=True)
    assert inline["classes"] == [[number, name] for number, name in enumerate(names)]

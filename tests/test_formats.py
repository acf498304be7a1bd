"""The table that all formats end in, and how a folder's format is told."""

import gzip
import zipfile

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import SourceError, UsageError
from radloop.sources import Wanted, formats, named
from radloop.sources.bundle import Bundle
from radloop.sources.formats import labels
from radloop.sources.raw import RawData
from radloop.tables import ANNOTATION_COLUMNS, REJECTED
from radloop.taxonomy import NOTHING

HEADER = ",".join(ANNOTATION_COLUMNS)


def of(*rows, **more):
    return labels.of_table(pl.DataFrame(rows), **more)


def test_what_a_format_does_not_tell_is_filled_in():
    found = of({"image_id": "a", "class_name": NOTHING})
    assert found.rows.columns == ["line", "place", *ANNOTATION_COLUMNS]
    assert found.rows.row(0, named=True) == dict.fromkeys(["line", "place", *ANNOTATION_COLUMNS]) | {
        "image_id": "a", "class_name": NOTHING, "rad_id": "R0",
    }  # fmt: skip
    assert found.rejected.schema == REJECTED
    assert found.rejected.is_empty()


@given(st.floats(-1e6, 1e6))
def test_a_number_goes_through_its_text_unchanged(number):
    text = of({"image_id": "a", "x_min": number}).rows["x_min"][0]
    assert float(text) == number


@pytest.mark.parametrize(
    ("file", "image_id"),
    [
        ("a.png", "a"),
        ("tb/tb0003.PNG", "tb0003"),
        (r"C:\\films\\a.jpeg", "a"),
        ("./images/1.2.840.113.dcm", "1.2.840.113"),
        ("1.2.840.113", "1.2.840.113"),
    ],
)
def test_an_image_is_called_as_its_file_without_folders_and_ending(file, image_id):
    assert of({"file": file}).rows["image_id"].to_list() == [image_id]


def test_two_pictures_of_one_name_are_both_refused_with_their_files():
    found = of({"file": "x/a.png"}, {"file": "y/a.png"}, {"file": "./x/a.png"}, {"file": "b.png"})
    assert found.rows["image_id"].to_list() == ["b"]
    assert found.rejected["code"].to_list() == ["image-ambiguous"] * 3
    assert set(found.rejected["reason"]) == {"several pictures have this name: x/a.png and y/a.png"}


def test_what_a_reader_refuses_keeps_its_place_and_what_it_had():
    broken = pl.DataFrame({"file": ["a.png"], "code": ["region-not-box"], "reason": ["why"], "place": ["x.json: 3"]})
    rejected = of({"file": "b.png"}, refused=broken).rejected
    assert rejected.select("place", "code", "reason", "image_id", "rad_id").rows() == [
        ("x.json: 3", "region-not-box", "why", "a", "R0")
    ]


def test_a_folder_without_labels_says_what_was_looked_for(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(SourceError, match=r"none of train\.csv.*--annotations.*--format"):
        formats.detect(Bundle(tmp_path))


def test_a_table_in_a_zip_is_read_in_place(tmp_path):
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as packed:
        packed.writestr("deep/train.csv", f"{HEADER}\na1,Nodule,8,R9,1,2,3,4\n")
    packed_data = RawData("folder", tmp_path / "labels.zip", "auto", None, None)
    assert formats.detect(Bundle(packed_data.annotations)) == "csv"
    read = formats.read(packed_data)
    assert read.rows["image_id"].to_list() == ["a1"]
    assert [path.name for path in tmp_path.iterdir()] == ["labels.zip"]


def test_a_packed_table_in_a_zip_is_unpacked_on_the_way(tmp_path):
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as packed:
        packed.writestr("train.csv.gz", gzip.compress(f"{HEADER}\na1,Nodule,8,R9,1,2,3,4\n".encode()))
    read = formats.read(RawData("folder", tmp_path / "labels.zip", "auto", None, None))
    assert read.rows["image_id"].to_list() == ["a1"]


def test_a_format_is_for_folders():
    with pytest.raises(UsageError, match="--format coco is for a folder: the labels of kaggle are csv"):
        named(Wanted("kaggle", format="coco"))

import json

import polars as pl
import pytest

from radloop.errors import AnnotationError, SourceError
from radloop.sources import raw
from radloop.sources.raw import RawData
from radloop.tables import ANNOTATION_COLUMNS
from taxonomies import SPINE

HEADER = ",".join(ANNOTATION_COLUMNS)
ROW = "a1,Cardiomegaly,3,R9,10,20,30,40"


# source.json


def test_what_is_written_is_read(tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "boxes.csv").touch()
    data = RawData("folder", tmp_path / "boxes.csv", "scaled", None, tmp_path / "pics")
    raw.write(data, tmp_path / "out")
    assert raw.read(tmp_path / "out") == data


def test_the_output_folder_can_be_moved(tmp_path):
    (tmp_path / "out" / "raw" / "train").mkdir(parents=True)
    for name in ("train.csv", "train_meta.csv"):
        (tmp_path / "out" / "raw" / name).touch()
    inside = tmp_path / "out" / "raw"
    raw.write(
        RawData("kaggle", inside / "train.csv", "auto", inside / "train_meta.csv", inside / "train"), tmp_path / "out"
    )
    (tmp_path / "out").rename(tmp_path / "moved")
    assert raw.read(tmp_path / "moved").sizes == tmp_path / "moved" / "raw" / "train_meta.csv"


def test_nothing_extracted_yet_names_the_command(tmp_path):
    with pytest.raises(SourceError, match="radloop extract"):
        raw.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"{}", id="no keys"),
        pytest.param(b'{"name":"x","annotations":7,"boxes":"auto","sizes":null,"pictures":null}', id="wrong type"),
        pytest.param(b'{"name":"x","annotations":"a\\u0000","boxes":"auto","sizes":null,"pictures":null}', id="NUL"),
        pytest.param(b'{"name":"x","annotations":"a","boxes":[],"sizes":null,"pictures":null}', id="unknown boxes"),
    ],
)
def test_damaged_source_json_names_the_command(tmp_path, content):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "source.json").write_bytes(content)
    with pytest.raises(SourceError, match="radloop extract"):
        raw.read(tmp_path)


def test_annotations_that_are_gone_are_named(tmp_path):
    (tmp_path / "boxes.csv").touch()
    raw.write(RawData("folder", tmp_path / "boxes.csv", "auto", None, None), tmp_path)
    (tmp_path / "boxes.csv").unlink()
    with pytest.raises(SourceError, match=r"boxes\.csv is gone"):
        raw.read(tmp_path)


# sizes


def test_dim0_is_the_height_and_dim1_the_width(csv_file):
    sizes = raw.read_sizes(csv_file("image_id,dim0,dim1\na1,3000,2000\nb2,2836.0,2336\n"))
    assert sizes.rows() == [("a1", 2000, 3000), ("b2", 2336, 2836)]
    assert sizes.schema == {"image_id": pl.String, "width": pl.Int32, "height": pl.Int32}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "its first line has nothing", id="empty"),
        pytest.param("image_id,width,height\na1,1,1\n", "its first line has 'image_id', 'width'", id="other columns"),
        pytest.param("image_id,dim0,dim1\n", "holds no sizes", id="no rows"),
        pytest.param("image_id,dim0,dim1\na1,3000\n", "line 2, cannot be read", id="short row"),
        pytest.param("image_id,dim0,dim1\na1,3000,x\n", "line 2: dim0 '3000', dim1 'x' is no size", id="text"),
        pytest.param("image_id,dim0,dim1\na1,3000,nan\n", "is no size", id="NaN"),
        pytest.param("image_id,dim0,dim1\na1,3000,inf\n", "is no size", id="inf"),
        pytest.param("image_id,dim0,dim1\na1,0,2000\n", "is no size", id="zero"),
        pytest.param("image_id,dim0,dim1\na1,3000.5,2000\n", "is no size", id="half a pixel"),
        pytest.param(
            "image_id,dim0,dim1\na1,2 4108,2000\n", "dim0 '2 4108', dim1 '2000' is no size", id="four after a blank"
        ),
        pytest.param(
            'image_id,dim0,dim1\na1,"2,4108",2000\n', "dim0 '2,4108', dim1 '2000' is no size", id="four after a comma"
        ),
        pytest.param("image_id,dim0,dim1\na1,3000,2000\na1,3000,2001\n", "line 3: image 'a1' has two sizes", id="two"),
    ],
)
def test_broken_sizes_are_one_error(csv_file, content, message):
    with pytest.raises(AnnotationError, match=message):
        raw.read_sizes(csv_file(content, "train_meta.csv"))


def test_source_json_is_plain(tmp_path):
    (tmp_path / "boxes.csv").touch()
    path = raw.write(RawData("folder", tmp_path / "boxes.csv", "auto", None, None), tmp_path)
    assert json.loads(path.read_text()) == {
        "name": "folder",
        "format": "csv",
        "boxes": "auto",
        "annotations": str(tmp_path / "boxes.csv"),
        "sizes": None,
        "pictures": None,
        "schema_version": 1,
    }


def test_the_sources_own_classes_are_kept(tmp_path):
    (tmp_path / "boxes.csv").touch()
    named = RawData("synthetic:3", tmp_path / "boxes.csv", "original", None, None, SPINE)
    raw.write(named, tmp_path)
    assert raw.read(tmp_path).classes == SPINE
    path = tmp_path / "raw" / "source.json"
    path.write_text(path.read_text().replace('"Osteophytes"', "7"))
    with pytest.raises(SourceError, match="damaged"):
        raw.read(tmp_path)

"""Tables with a box a row: whichever way they are packed, each line is a row or refused with its number."""

import gzip
import zipfile

import pytest

from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle
from radloop.sources.formats import box_table

HEADER = "name,class,left,top,width,height"


def places(header):
    return range(6) if ",".join(header) == HEADER else None


def read(path):
    bundle = Bundle(path)
    return box_table.read(bundle, places)


@pytest.fixture(params=["plain", "gz", "zip", "utf-16"])
def written(request, tmp_path):
    """Write a table in each of the ways that it may come in."""

    def write(text):
        path = tmp_path / "table.csv"
        data = text.encode("utf-16") if request.param == "utf-16" else text.encode("utf-8", "surrogateescape")
        if request.param == "gz":
            path = tmp_path / "table.csv.gz"
            data = gzip.compress(data)
        if request.param == "zip":
            path = tmp_path / "table.zip"
            with zipfile.ZipFile(path, "w") as packed:
                packed.writestr("table.csv", data)
        else:
            path.write_bytes(data)
        return path

    return write


def test_corners_are_exact_and_a_row_without_numbers_has_no_box(written):
    rows, refused = read(written(f"{HEADER}\na.png,x,0.5,2,30.25,4\n\nb.png,y,,,,\n"))
    assert rows.select("line", "file", "x_min", "y_min", "x_max", "y_max").rows() == [
        (2, "a.png", 0.5, 2.0, 30.75, 6.0),
        (4, "b.png", None, None, None, None),
    ]
    assert refused.is_empty()


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("a.png,x,1,2,3", "cells-miscounted"),
        ("a.png,x,1,2,3,4,5", "cells-miscounted"),
        ("a.png,x,1,2,3,", "coordinate-no-number"),
        ("a.png,x,1,2,nan,4", "coordinate-no-number"),
        ("a.png,x,1,2,1e999,4", "coordinate-no-number"),
        ("a.png,x,1,2,-3,4", "size-negative"),
        ('"a\n.png",x,1,2,3,4', "cell-of-several-lines"),
    ],
)
def test_what_is_no_row_is_refused_with_its_line(row, code, written):
    rows, refused = read(written(f"{HEADER}\nb.png,x,1,2,3,4,,\n{row}\n"))
    assert rows["line"].to_list() == [2]
    assert refused.select("line", "code").rows() == [(3, code)]
    assert refused["file"][0].replace("\n", "") == "a.png"


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "table.csv").write_bytes(f"{HEADER}\n".encode() + b"\xff.png,x,1,2,3,4\n")
    assert read(tmp_path)[1].select("line", "code", "file").rows() == [(2, "not-utf-8", "\ufffd.png")]


def test_a_damaged_archive_is_said_in_one_line(tmp_path):
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(f"{HEADER}\n{'a.png,x,1,2,3,4' * 99}".encode())[:-9])
    with pytest.raises(AnnotationError, match=r"table\.csv\.gz cannot be unpacked"):
        read(tmp_path)


def test_other_tables_are_not_claimed(tmp_path):
    (tmp_path / "a.csv").write_text("image_id,class\n")
    (tmp_path / "b.csv.gz").write_bytes(b"no archive")
    (tmp_path / "c.csv").write_bytes(b"")
    assert box_table.find(Bundle(tmp_path), places) == ()


def test_a_folder_without_a_table_is_said_to_have_none(tmp_path):
    with pytest.raises(AnnotationError, match="holds no table"):
        read(tmp_path)

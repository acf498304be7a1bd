import gzip
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import AnnotationError
from radloop.sources.formats.csv import read_annotations
from radloop.tables import ANNOTATION_COLUMNS, REJECTED

HEADER = ",".join(ANNOTATION_COLUMNS)
ROW = "a1,Cardiomegaly,3,R9,10,20,30,40"


def test_rows_are_text_with_the_line_they_came_from(csv_file):
    rows, rejected = read_annotations(csv_file(f"{HEADER}\n{ROW}\n\n   \nb2,No finding,14,R1,,,,\n"))
    assert rows.columns == ["line", *ANNOTATION_COLUMNS]
    assert rows["line"].to_list() == [2, 5]
    assert rows.row(0) == (2, "a1", "Cardiomegaly", "3", "R9", "10", "20", "30", "40")
    assert rejected.is_empty()
    assert rejected.schema == REJECTED


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"\ufeff{HEADER}\n{ROW}\n".encode(), id="BOM"),
        pytest.param(f"{HEADER}\r\n{ROW}\r\n".encode(), id="CRLF"),
        pytest.param(f"{HEADER}\r{ROW}\r".encode(), id="CR"),
        pytest.param(f"{HEADER}\n{ROW}".encode(), id="no last newline"),
        pytest.param(f" {HEADER.replace(',', ' , ')}\n{ROW}\n".encode(), id="spaces in the header"),
        pytest.param(f'"{HEADER.replace(",", chr(34) + "," + chr(34))}"\n{ROW}\n'.encode(), id="quoted header"),
        pytest.param(f'{HEADER},comment\n{ROW},"a, b\nc ""d"""\n'.encode(), id="quoted commas and newlines elsewhere"),
        pytest.param(f"comment,{HEADER}\nx,{ROW}\n".encode(), id="another column first"),
        pytest.param(f"{HEADER}\n{ROW}\n".replace(",", ";").encode(), id="semicolons"),
        pytest.param(f"\ufeff{HEADER}\r\n{ROW}\r\n".replace(",", "\t").encode(), id="tabs"),
        pytest.param(f'{HEADER};comment\n{ROW};"a;b"\n'.replace(",", ";").encode(), id="quoted semicolons"),
        pytest.param(f"{HEADER}\n{ROW}\n".encode("utf-16"), id="UTF-16"),
        pytest.param(f"{HEADER}\n{ROW}\n".replace(",", "\t").encode("utf-16-le"), id="UTF-16-LE without a mark"),
        pytest.param(f"{HEADER}\n{ROW}\n".encode("utf-16-be"), id="UTF-16-BE without a mark"),
    ],
)
def test_forms_of_one_table_read_the_same(csv_file, content):
    rows, rejected = read_annotations(csv_file(content))
    assert rows.select(ANNOTATION_COLUMNS).rows() == [tuple(ROW.split(","))]
    assert rejected.is_empty()


def test_gzip_is_read(csv_file):
    rows, _ = read_annotations(csv_file(gzip.compress(f"{HEADER}\n{ROW}\n".encode()), "train.csv.gz"))
    assert len(rows) == 1


def test_quoted_comma_and_nul_stay_in_their_cell(csv_file):
    rows, _ = read_annotations(csv_file(f'{HEADER}\n"a,1",Nodule\0,8,R9,1,2,3,4\n'))
    assert rows.row(0)[1:3] == ("a,1", "Nodule\0")


def test_without_readers_there_is_one(csv_file):
    rows, _ = read_annotations(csv_file("image_id,class_id,x_min,y_min,x_max,y_max\na1,3,1,2,3,4\n"))
    assert rows.row(0, named=True) | {"line": 0} == {
        "line": 0, "image_id": "a1", "class_name": None, "class_id": "3", "rad_id": "R0",
        "x_min": "1", "y_min": "2", "x_max": "3", "y_max": "4",
    }  # fmt: skip


def test_optional_columns_come_along(csv_file):
    rows, _ = read_annotations(csv_file(f"{HEADER},patient_id,height,width,age\n{ROW},P7,30,20,60\n"))
    assert rows.columns == ["line", *ANNOTATION_COLUMNS, "width", "height", "patient_id"]
    assert rows.row(0)[-3:] == ("20", "30", "P7")


def test_the_ids_of_a_slipped_row_are_told_where_other_rows_have_them(csv_file):
    table = f'{HEADER},patient\n{ROW},P1\na1,Nodule, Mass,8,R9,1,2,3,4,SECRET\n"SECRET",R9\n'
    _, rejected = read_annotations(csv_file(table))
    assert rejected.select("image_id", "rad_id").rows() == [("a1", None), (None, None)]
    assert "SECRET" not in rejected.write_csv()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param(b"a1,Cardiomegaly,3", "the row has more or fewer cells than the header: 3, not 8", id="short"),
        pytest.param(ROW.encode() + b",9", "the row has more or fewer cells than the header: 9, not 8", id="long"),
        pytest.param(ROW.encode().replace(b"R9", b"\xff"), "the row is not UTF-8", id="not UTF-8"),
        pytest.param(b'"a\n1"' + ROW.encode()[2:], "a cell runs over several lines", id="newline"),
    ],
)
def test_what_is_no_row_is_rejected_with_its_line(csv_file, record, reason):
    content = f"{HEADER}\n{ROW}\n".encode() + record + f"\n{ROW}\n".encode()
    rows, rejected = read_annotations(csv_file(content), source="mine")
    assert len(rows) == 2
    assert rejected.select("source", "line", "reason").rows() == [("mine", 3, reason)]
    assert rejected["code"].str.contains("^[a-z0-9-]+$").all()
    assert rejected.schema == REJECTED


def test_a_rejected_row_shows_what_it_had(csv_file):
    _, rejected = read_annotations(csv_file(f"{HEADER}\n".encode() + b"a1,Cardio\xffmegaly\n"))
    assert rejected.row(0)[5:8] == ("a1", "Cardio\ufffdmegaly", None)


def test_a_slipped_row_never_shows_a_patient(csv_file):
    table = f"patient_id,{HEADER}\nSECRET,extra,{ROW}\nSECRET\n" + '"a\nSECRET",' + ROW + "\n"
    _, rejected = read_annotations(csv_file(table))
    assert len(rejected) == 3
    assert "SECRET" not in rejected.write_csv()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("\n\n", "is empty", id="blank"),
        pytest.param(HEADER, "no rows", id="header only"),
        pytest.param(ROW, "lacks the column image_id, x_min.*not one of column names", id="no header"),
        pytest.param(HEADER.replace("x_max", "xmax") + "\n1", "lacks the column x_max; .*'xmax'", id="missing"),
        pytest.param("image_id,x_min,y_min,x_max,y_max\n1", "lacks the column class_name or class_id", id="no class"),
        pytest.param(
            HEADER.replace(",", ":") + "\n1",
            "lacks the column .*not one of column names",
            id="other separators",
        ),
        pytest.param(f"{HEADER},x_min\n1", "x_min more than once", id="twice"),
        pytest.param(f"{HEADER},width\n1", "only one of the columns width and height", id="width alone"),
        pytest.param(f'{HEADER}\n"{"x" * 200_000}\n', "line 2: .*quote", id="huge cell"),
        pytest.param(f'{HEADER}\n"a1' + f"{ROW}\n" * 200, "line 2: a quote was opened", id="open quote"),
        pytest.param(f"{HEADER}\n{ROW}\n".encode("utf-16")[:-1], "cannot be read to its end", id="half a UTF-16"),
        pytest.param(f"{HEADER}\n{ROW}\n".encode("utf-32"), "lacks the column", id="UTF-32"),
        pytest.param(
            f"{HEADER},patient_id,PatientID\n1",
            "several columns that may be patient_id: 'patient_id', 'PatientID'",
            id="two patients",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_one_error(csv_file, content, message):
    with pytest.raises(AnnotationError, match=f"(?s){message}"):
        read_annotations(csv_file(content))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("missing.csv", id="missing"),
        pytest.param(".", id="a folder"),
        pytest.param("missing.csv.gz", id="gz"),
    ],
)
def test_a_file_that_cannot_be_opened_is_one_error(tmp_path, path):
    with pytest.raises(AnnotationError, match="cannot be opened"):
        read_annotations(tmp_path / path)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"not gzip", id="no gzip"),
        pytest.param(gzip.compress(f"{HEADER}\n{ROW}\n".encode())[:-12], id="cut"),
        pytest.param(gzip.compress(b"x" * 200)[:12] + b"\xff" * 40, id="damaged"),
    ],
)
def test_a_damaged_gzip_is_one_error(csv_file, data):
    with pytest.raises(AnnotationError, match="cannot be read to its end"):
        read_annotations(csv_file(data, "train.csv.gz"))


@given(data=st.binary(max_size=300))
def test_any_bytes_are_rows_or_one_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "train.csv"
    path.write_bytes(f"{HEADER},patient_id\n".encode() + data)
    try:
        rows, rejected = read_annotations(path)
    except AnnotationError:
        return
    assert len(rows) + len(rejected) > 0
    assert rows["line"].is_sorted()


@pytest.mark.slow
def test_a_million_rows_are_read_in_seconds(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(f"{HEADER}\n" + f"50a418190bc3fb1ef1633bf9678929b3{ROW[2:]}\n" * 1_000_000)
    began = time.process_time()
    rows, rejected = read_annotations(path)
    assert (len(rows), len(rejected)) == (1_000_000, 0)
    assert time.process_time() - began < 60  # 3 to 5 s on an idle machine

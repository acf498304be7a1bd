"""CSV that a person opens in a spreadsheet holds no formula, and what reads it again finds what came."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop import spreadsheets

NASTY = st.text(st.sampled_from("=+-@\t\r\n;', \"0.5aé＝＠"), min_size=1, max_size=8)


def cells(data, delimiter=","):
    return [cell for row in csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter) for cell in row]


def is_formula(cell):
    try:
        float(cell)
    except ValueError:
        return cell.strip(" \t\r\n").startswith(tuple("=+-@＝＋－＠"))
    return False


@given(st.lists(NASTY, min_size=1))
def test_no_cell_is_a_formula_and_each_comes_back(texts):
    data = spreadsheets.csv(pl.DataFrame({"image_id": texts, "number": range(len(texts))}))
    assert not any(map(is_formula, cells(data)))
    back = pl.read_csv(io.BytesIO(data), infer_schema=False)
    assert back.select(spreadsheets.as_came("image_id"))["image_id"].to_list() == texts
    assert [spreadsheets.plain(cell) for cell in back["image_id"]] == texts


@pytest.mark.parametrize(
    "text", ["=cmd|'/c calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "＝1+1", "it is;=1+1"]
)
def test_formula_becomes_text_also_where_semicolons_divide(text):
    data = spreadsheets.csv(pl.DataFrame({"reason": [text], text: ["x"]}))
    for delimiter in ",;":
        assert not any(map(is_formula, cells(data, delimiter)))


def test_numbers_and_ordinary_texts_are_as_they_were():
    texts = ["-5", "+0.5", "1e-3", "-.5", "a=b", "x-ray", "'quoted'", "", None]
    data = spreadsheets.csv(pl.DataFrame({"x_min": texts}))
    assert data == pl.DataFrame({"x_min": texts}).write_csv().encode()


def test_names_in_a_file_that_is_read_again_are_told():
    assert spreadsheets.warning("retrain.csv", pl.Series(["a", "-5"]), pl.Series(["Aortic enlargement"])) == ()
    (note,) = spreadsheets.warning("retrain.csv", pl.Series(["@a", "=b"]), pl.Series(["-c"]))
    assert "'-c' and 2 more" in note

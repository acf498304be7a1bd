"""Cells as people write them."""

import polars as pl
import pytest

from radloop import values
from radloop.errors import AnnotationError

BOX = ("x_min", "y_min", "x_max", "y_max")


def table(*rows):
    return pl.DataFrame([row.split(";") for row in rows], schema=dict.fromkeys(BOX, pl.String), orient="row")


def numbers(*rows):
    found = table(*rows)
    decimal = values.decimal_of(found, BOX, name="train.csv")
    return found.select(values.number(side, decimal) for side in BOX).rows()


@pytest.mark.parametrize("cell", ["", "  ", "NaN", "nan", "NULL", "null", "None", "NA", "N/A", "n/a", " nan ", "<NA>"])
def test_what_says_no_value_is_empty(cell):
    assert pl.DataFrame({"x": [cell, None]}).select(values.text("x"))["x"].to_list() == ["", ""]


@pytest.mark.parametrize(
    ("row", "numbers_in_it"),
    [
        pytest.param("1.5;2;300.25;4e2", (1.5, 2.0, 300.25, 400.0), id="points"),
        pytest.param("1,5;2;300,25;400", (1.5, 2.0, 300.25, 400.0), id="decimal commas"),
        pytest.param("0,125;0,25;0,5;0,75", (0.125, 0.25, 0.5, 0.75), id="fractions with commas"),
        pytest.param("1,024.5;2;2,336.25;3,000.0", (1024.5, 2.0, 2336.25, 3000.0), id="thousands with commas"),
        pytest.param("1.024,5;2;2.336,25;3.000,0", (1024.5, 2.0, 2336.25, 3000.0), id="thousands with points"),
        pytest.param("1,234,567;2;1,234,568;4", (1234567.0, 2.0, 1234568.0, 4.0), id="two separators"),
        pytest.param("1 024,5;2;2\u202f336,25;3\u00a0000", (1024.5, 2.0, 2336.25, 3000.0), id="thousands with blanks"),
        pytest.param("1'024.5;2;2’336.25;3000", (1024.5, 2.0, 2336.25, 3000.0), id="thousands with apostrophes"),
        pytest.param("512;600;1,024;1,200", (512.0, 600.0, 1024.0, 1200.0), id="commas that only boxes explain"),
        pytest.param("512;600;1.024;1.200", (512.0, 600.0, 1024.0, 1200.0), id="points that only boxes explain"),
        pytest.param("1.234;2.345;3.456;4.567", (1.234, 2.345, 3.456, 4.567), id="points may stand before fractions"),
        pytest.param("-1,5;NaN;;N/A", (-1.5, None, None, None), id="no values"),
        pytest.param("ten;inf;1,5;2", (None, float("inf"), 1.5, 2.0), id="no numbers"),
    ],
)
def test_numbers_are_read_as_the_table_writes_them(row, numbers_in_it):
    assert numbers(row) == [numbers_in_it]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param(["1,024;2;2,336;3"], "cannot be told whether the comma in '1,024'", id="commas of either kind"),
        pytest.param(["1,5;2;3,5;4", "1.5;2;3.5;4"], "'1.5' and '1,5'", id="both kinds"),
        pytest.param(["1,024.5;2;3;4", "1.024,5;2;3;4"], "'1,024.5' and '1.024,5'", id="both kinds of thousands"),
    ],
)
def test_numbers_that_may_be_two_stop_with_one_of_them(rows, message):
    with pytest.raises(AnnotationError, match=f"train.csv: .*{message}"):
        numbers(*rows)


def test_one_cell_of_another_kind_among_many_is_no_number():
    assert numbers(*["1.5;2.5;3.5;4.5"] * 100, "1,5;2;3;4")[-1] == (None, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("box", "stands"),
    [("0;0;0;0", True), ("0;0;1;1", True), ("0.0;0;1.0;1", True), ("0;0;1;2", False), ("1;1;1;1", False)],
)
def test_a_box_of_zeros_or_of_the_first_pixel_stands_for_none(box, stands):
    found = table(box).select(values.stands_for_no_box(*(values.number(side, "point") for side in BOX)))
    assert found.item() is stands

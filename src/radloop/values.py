"""What a cell of an annotations table says: no value in its many spellings, and numbers as people write them."""

import math
import re
from collections.abc import Sequence
from typing import Final, Literal

import polars as pl

from radloop.errors import AnnotationError

NO_VALUE: Final = ("", "nan", "null", "none", "na", "n/a", "<na>", "#n/a")  # in any case of letters

# What stands before a fraction: 1024.5 and 1,024.5, or 1024,5 and 1.024,5.
Decimal = Literal["point", "comma"]

_BY_POINT: Final = r"^[+-]?(\d*|[1-9]\d{0,2}(,\d{3})+)(\.\d*)?([eE][+-]?\d+)?$"
_BY_COMMA: Final = r"^[+-]?(\d*|[1-9]\d{0,2}(\.\d{3})+)(,\d*)?([eE][+-]?\d+)?$"
_SPACED: Final = r"^[+-]?[1-9]\d{0,2}([ '’\u00a0\u202f]\d{3})+([.,]\d+)?$"
_SPACES: Final = r"[ '’\u00a0\u202f]"
_WHOLE: Final = re.compile(r"0*([0-9]+?)(?:\.0+)?")
_STRAY: Final = 0.01  # of the cells may be written in the other way: they are bad cells, and refused


def plain_id(text: str) -> str:
    """What the ways to write an id have in common: no leading zeros, no trailing .0, one case of letters.

    >>> {plain_id(text) for text in ("0012", "12", "12.0")}
    {'12'}
    """
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text.casefold()


def text(column: str) -> pl.Expr:
    """The cell without the blanks around it; "" where it says that there is no value."""
    stripped = pl.col(column).fill_null("").str.strip_chars()
    return pl.when(stripped.str.to_lowercase().is_in(NO_VALUE)).then(pl.lit("")).otherwise(stripped).alias(column)


def number(column: str, decimal: Decimal) -> pl.Expr:
    """The cell as a Float64, null where it is no number."""
    cell = _closed_up(column)
    if decimal == "point":
        plain = pl.when(cell.str.contains(_BY_POINT)).then(cell.str.replace_all(",", "", literal=True)).otherwise(cell)
    else:
        swapped = cell.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        other = pl.when(~cell.str.contains(".", literal=True)).then(cell)
        plain = pl.when(cell.str.contains(_BY_COMMA)).then(swapped).otherwise(other)
    return plain.cast(pl.Float64, strict=False).alias(column)


def _closed_up(column: str) -> pl.Expr:
    """The cell without blanks and apostrophes between thousands."""
    cell = text(column)
    return pl.when(cell.str.contains(_SPACED)).then(cell.str.replace_all(_SPACES, "")).otherwise(cell).alias(column)


def whole_numbers(text: str) -> set[int]:
    """The whole numbers that a cell may mean: none, one, or two where its comma can be read in two ways.

    >>> whole_numbers("2,336"), whole_numbers("2.336,0"), whole_numbers("2 4108")
    ({2336}, {2336}, set())
    """
    text = text.strip()
    if re.match(_SPACED, text):
        text = re.sub(_SPACES, "", text)
    readings = set()
    if re.match(_BY_POINT, text):
        readings.add(text.replace(",", ""))
    if "," in text and re.match(_BY_COMMA, text):
        readings.add(text.replace(".", "").replace(",", "."))
    return {int(number) for number in map(_finite, readings) if number is not None and number.is_integer()}


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def stands_for_no_box(x_min: pl.Expr, y_min: pl.Expr, x_max: pl.Expr, y_max: pl.Expr) -> pl.Expr:
    """Whether a box is 0, 0, 0, 0 or 0, 0, 1, 1, as tables have it in the place of none."""
    return (x_min == 0) & (y_min == 0) & (x_max == y_max) & x_max.is_in([0.0, 1.0])


def decimal_of(rows: pl.DataFrame, box: Sequence[str], others: Sequence[str] = (), *, name: str) -> Decimal:
    """How the columns `box` (x_min, y_min, x_max, y_max) and `others` of a table write their numbers.

    Cells that can be read in one way only decide; where there are none, boxes do that would be inverted in the other
    way. Raises AnnotationError, with the table's `name` and a cell, where neither decides.
    """
    columns = [*box, *others]
    marked = pl.concat(rows.select(cell=_closed_up(column)) for column in columns)["cell"]
    marked = marked.filter(marked.str.contains("[.,]"))
    commas = marked.filter(marked.str.contains(",", literal=True))
    if marked.is_empty() or (commas.is_empty() and not marked.str.contains(_BY_COMMA).all()):
        return "point"
    by_point, by_comma = marked.str.contains(_BY_POINT), marked.str.contains(_BY_COMMA)
    only_point, only_comma = marked.filter(by_point & ~by_comma), marked.filter(by_comma & ~by_point)
    few = _STRAY * max(len(only_point), len(only_comma))
    if len(only_point) > few or len(only_comma) > few:
        if min(len(only_point), len(only_comma)) > few:
            raise AnnotationError(
                f"{name}: some boxes are written with a decimal point and some with a decimal comma, such as "
                f"{only_point.min()!r} and {only_comma.min()!r}. Write all of them with a point."
            )
        return "point" if len(only_point) > few else "comma"
    inverted = {decimal: _inverted(rows, box, decimal) for decimal in ("point", "comma")}
    if commas.is_empty() and not (inverted["point"] and not inverted["comma"]):
        return "point"
    if (inverted["point"] > 0) == (inverted["comma"] > 0):
        raise AnnotationError(
            f"{name}: it cannot be told whether the comma in {commas.min()!r} stands before a fraction or between "
            "thousands. Write the boxes with a decimal point, and without separators of thousands."
        )
    return "comma" if inverted["point"] else "point"


def _inverted(rows: pl.DataFrame, box: Sequence[str], decimal: Decimal) -> int:
    x_min, y_min, x_max, y_max = (number(side, decimal) for side in box)
    return int(rows.select(((x_min > x_max) | (y_min > y_max)).fill_null(value=False).sum()).item())

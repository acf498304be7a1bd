"""CSV that a person opens in a spreadsheet: a cell that would be a formula begins with an apostrophe, and is text.

Excel, LibreOffice and Google Sheets work out a cell that begins with = + - @ (also behind a tab or carriage return),
and `=HYPERLINK(…)` sends what stands beside it to any server; where cells are divided by semicolons a text may begin
one in its middle. Only files that people read are written so: rejected.csv, refused.csv, withheld.csv, refused-*.csv
and the dashboard's downloads. What the loop reads again (scaled_bounding_boxes.csv, retrain.csv) holds ids and classes
as they are. docs/decisions/2026-11-30-formulas-in-csv.md has why.
"""

import re
from io import BytesIO
from typing import Final

import polars as pl

_AHEAD: Final = r"(^[ \t\r\n]*|[;\t\r\n] *)"  # of what may be taken for the beginning of a cell
_BEGINS: Final = "('*[=+\\-@\uff1d\uff0b\uff0d\uff20])"  # the last four are wide, as Japanese has them
_FORMULA: Final = _AHEAD + _BEGINS
_TEXT: Final = re.compile(f"{_AHEAD}'{_BEGINS}")
_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def csv(table: pl.DataFrame) -> bytes:
    """A table as the bytes of a CSV file without formulas; `plain` and `as_came` take back what is done here.

    >>> csv(pl.DataFrame({"name": ["=1+1", "-0.5", "a"]}))
    b"name\\n'=1+1\\n-0.5\\na\\n"
    """
    texts = [name for name, kind in table.schema.items() if kind in (pl.String, pl.Categorical, pl.Enum)]
    written = BytesIO()  # a text would be there twice
    table.with_columns(_safe(pl.col(name).cast(pl.String)) for name in texts).rename(
        {name: cell(name) for name in table.columns}
    ).write_csv(written)
    return written.getvalue()


def plain(text: str) -> str:
    """A cell of such a file as it came.

    >>> plain("'=1+1"), plain("'quoted'")
    ('=1+1', "'quoted'")
    """
    return _TEXT.sub(r"\1\2", text)


def as_came(column: str) -> pl.Expr:
    """A column of such a file as it came."""
    return pl.col(column).str.replace_all(_TEXT.pattern, "${1}${2}")


def warning(file: str, *names: pl.Series) -> tuple[str, ...]:
    """Tell of a file that the loop reads again where an id or a class in it would be a formula.

    >>> warning("retrain.csv", pl.Series(["a", "=1+1"]))[0][:60]
    "retrain.csv has names that a spreadsheet would work out ('=1"
    """
    named = pl.col("name")
    found = pl.concat([some.cast(pl.String).rename("name").to_frame() for some in names])
    found = found.filter(named.str.contains(_FORMULA), ~named.str.contains(_NUMBER)).unique().sort(named)
    if found.is_empty():
        return ()
    first = f"{found.item(0, 0)[:40]!r}{f' and {found.height - 1:,} more' if found.height > 1 else ''}"
    return (
        f"{file} has names that a spreadsheet would work out ({first}): they stay as they are, for it is read again. "
        "Open it as text only",
    )


def _safe(column: pl.Expr) -> pl.Expr:
    return pl.when(column.str.contains(_NUMBER)).then(column).otherwise(column.str.replace_all(_FORMULA, "${1}'${2}"))


def cell(text: str) -> str:
    """A cell as `csv` writes it."""
    return text if re.search(_NUMBER, text) else re.sub(_FORMULA, r"\1'\2", text)

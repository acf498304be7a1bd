"""How many rows may be refused before a table is one that nothing is built from."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop import spreadsheets
from radloop.dataset import ids
from radloop.errors import RefusedError, StrictError
from radloop.tables import REJECTED

# Rows that were left out as they should be: nothing that the table says is lost.
AS_ASKED: Final = ("class-dropped", "image-held-out")
_FOLLOWS: Final = "reading-void"  # from another row's reason: counted among the readings
_UNCOUNTED: Final = (*AS_ASKED, "row-repeats", _FOLLOWS)
_OF_A_FILE: Final = "dicom-"  # of a DICOM file that gave no picture, and of which the table has no row
_MOST_SHOWN: Final = 3
_QUESTIONS: Final = {
    "box-inverted": "Do x_max and y_max hold widths and heights? Corners are meant.",
    "class-missing": "Do they say that nothing was found? Write No finding there, or pass --map 'None=No finding'.",
}


@dataclass(frozen=True)
class Limit:
    """What share of the rows, and of the readings, may be refused; `strict`: none at all."""

    share: float
    strict: bool = False

    def require(
        self,
        rejected: pl.DataFrame,
        broken: pl.DataFrame | None = None,
        *,
        rows: int,
        lost: int = 0,
        readings: int = 0,
        name: str,
        hint: str = "",
    ) -> None:
        """Raise RefusedError or StrictError, which hold the rows, where more are refused of a table than may be.

        rejected, broken: REJECTED, of all `rows` (those of `broken` come on top); lost: of all `readings`. `hint` is
        what else is to be said.
        """
        if broken is not None:
            rejected, rows = pl.concat([ids.as_came(broken).select(REJECTED.names()), rejected]), rows + broken.height
        no_row = pl.col("code").str.starts_with(_OF_A_FILE)  # what the table says is not touched
        counted = rejected.filter(~pl.col("code").is_in(_UNCOUNTED), ~no_row)
        too_many = counted.height > self.share * rows or lost > self.share * readings
        none_left = bool(rows) and rejected.height == rows
        if not (too_many or none_left or (self.strict and _strictly(rejected).height)):
            return
        shown = counted if too_many else _strictly(rejected) if not none_left else rejected
        what = (
            f"{shown.height:,} of {rows:,} rows {f'and {lost:,} of {readings:,} readings ' if lost else ''}are refused"
        )
        if none_left:
            what = f"None of {rows:,} rows can be used"
        sentence = " ".join(filter(None, [f"{name}: {what}: {_reasons(shown)}.", _question(shown), hint]))
        if self.strict:
            raise StrictError(f"{sentence} With --strict nothing is written.", rejected=rejected)
        if not none_left:
            sentence += (
                f" That is more than --max-refused allows ({self.share:.3g}): mend the table, or allow it, and "
                "readings that lost a row get no label."
            )
        raise RefusedError(sentence, rejected=rejected)


def _strictly(rejected: pl.DataFrame) -> pl.DataFrame:
    return rejected.filter(~pl.col("code").is_in(AS_ASKED))


def by_code(rejected: pl.DataFrame) -> pl.DataFrame:
    """How many rows were refused for each kind of reason, with the sentence of one; the most frequent first."""
    kinds = rejected.group_by("code").agg(rows=pl.len(), example=pl.col("reason").min())
    return kinds.sort("rows", "code", descending=[True, False])


def _reasons(rejected: pl.DataFrame) -> str:
    causes = rejected.filter(pl.col("code") != _FOLLOWS)
    kinds = by_code(causes if causes.height else rejected)
    more = kinds.height - _MOST_SHOWN
    shown = [f"{rows:,}x {example}" for _, rows, example in kinds.head(_MOST_SHOWN).iter_rows()]
    return "; ".join(shown) + (f"; and {more} more kinds" if more > 0 else "")


def _question(rejected: pl.DataFrame) -> str:
    """What may be behind the most frequent reason."""
    return _QUESTIONS.get(by_code(rejected)["code"][0], "")


def file(rejected: pl.DataFrame) -> bytes:
    """The bytes of rejected.csv."""
    return spreadsheets.csv(rejected.select(REJECTED.names()).sort(pl.all(), nulls_last=True))

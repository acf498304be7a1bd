"""Whether what is published in clear (images' and readers' ids) looks like what tells who a person is."""

from collections.abc import Iterator
from typing import Final

import polars as pl

_SHARE: Final = 0.05  # of a column's ids: fewer look so by chance
_EDGE = r"(^|[^0-9A-Za-z])"
_YEAR, _MONTH, _DAY = "(19|20)[0-9]{2}", "(0[1-9]|1[0-2])", "(0[1-9]|[12][0-9]|3[01])"
_DATE: Final = f"{_EDGE}({_YEAR}[-_.]?{_MONTH}[-_.]?{_DAY}|{_DAY}[-_.]{_MONTH}[-_.]{_YEAR})($|[^0-9A-Za-z])"
_NAME: Final = r"\^|^\p{Lu}\p{Ll}+[ ,_-]+\p{Lu}\p{Ll}+$|^\p{Lu}{3,}[ ,_-]+\p{Lu}{3,}$"
_NUMBERED: Final = r"^[0-9]{6,12}[ ,_-]+\p{Lu}\p{Ll}{2,}|^\p{Lu}\p{Ll}{2,}[ ,_-]+[0-9]{6,12}$"  # a name and a number
_WORD: Final = r"^\p{L}{3,}$"
_RECORD: Final = r"(?i)^(mrn|pat|pid|patient|acc|accession|case)[ _-]*[0-9]+|^[0-9]{6,12}$"
_LOOKS: Final = {
    "image_id": {"names": f"{_NAME}|{_NUMBERED}", "dates": _DATE, "record numbers": _RECORD},
    "rad_id": {"names": f"{_NAME}|{_WORD}", "record numbers": _RECORD},
}


def warnings(rows: pl.DataFrame) -> Iterator[str]:
    """A sentence for each column and kind; no id is shown."""
    for column in _LOOKS:
        ids = rows[column].drop_nulls().unique().str.strip_chars()
        for count, kind in looks(ids, column):
            yield (
                f"{count:,} of {len(ids):,} values of the column {column} look like {kind}: they are published in "
                "clear as names of files. Put pseudonyms in their place where they tell who somebody is"
            )


def looks(ids: pl.Series, column: str = "image_id") -> Iterator[tuple[int, str]]:
    """How many of a column's ids look like what tells who somebody is, and like what."""
    for kind, form in _LOOKS[column].items():
        count = int(ids.str.contains(form).sum())
        if count > _SHARE * len(ids):
            yield count, kind

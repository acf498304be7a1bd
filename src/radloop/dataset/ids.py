"""Image ids as tables write them, matched with the names of pictures: one to one, or not at all.

An id that no picture has may differ from a picture's name in what programs add and lose on the way: blanks around it,
the picture's ending, the case of letters, leading zeros, a trailing .0 and the form of accents.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

import polars as pl

from radloop import values
from radloop.errors import AnnotationError

_SHOWN: Final = 2
_ODD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Matched:
    """Which pictures the ids of a table mean."""

    renamed: Mapping[str, str] = field(default_factory=dict)  # ids that no picture has -> the picture's own
    note: str = ""  # that ids were matched
    hint: str = ""  # two ids without a picture beside two pictures without an id; "" where either has none

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the pictures' ids; `image_id_came` is what stood there, where any is another."""
        if not self.renamed:
            return rows
        return rows.with_columns(image_id_came="image_id", image_id=pl.col("image_id").replace(dict(self.renamed)))


def as_came(table: pl.DataFrame) -> pl.DataFrame:
    """A table of `Matched.apply` with the ids that stood there."""
    return table.with_columns(image_id="image_id_came") if "image_id_came" in table.columns else table


def match(ids: Iterable[str | None], pictures: pl.DataFrame, *, name: str) -> Matched:
    """Match the ids of a table with the pictures (image_id, path).

    Raises AnnotationError where an id may mean two pictures, two ids one picture, or where no id means any.
    """
    ids = sorted({one for one in ids if one})
    names = dict(pictures.select("image_id", "path").iter_rows())
    strange = [one for one in ids if one not in names]
    if not strange or not names:
        return Matched()
    endings = {PurePosixPath(path).suffix.lower() for path in names.values()}
    renamed = _renamed(ids, names, endings, name)
    without = [one for one in strange if one not in renamed]
    unnamed = sorted(names[one] for one in names.keys() - {*ids, *renamed.values()})
    hint = ""
    if without and unnamed:
        hint = f"Ids without a picture: {_shown(without)}; pictures without a row: {_shown(unnamed)}."
    if len(without) == len(ids):
        raise AnnotationError(
            f"{name}: none of the {len(ids):,} image ids, such as {_shown(without)}, is the name of one of the "
            f"{len(names):,} pictures, such as {_shown(sorted(names.values()))}. Write the pictures' names without "
            "their ending as image_id."
        )
    note = ""
    if renamed:
        first, picture = next(iter(renamed.items()))
        note = (
            f"{len(renamed):,} of {len(ids):,} image ids are not written as the pictures are named and were matched "
            f"one to one, such as {_shown([first])} with {_shown([names[picture]])}"
        )
    return Matched(renamed, note, hint)


def of_sizes(sizes: pl.DataFrame, pictures: pl.DataFrame, *, name: str) -> pl.DataFrame:
    """A table of sizes (image_id, width, height) with the pictures' ids, where it writes them otherwise.

    Raises AnnotationError where two of its rows mean one picture and differ, and where none means any.
    """
    names = dict(pictures.select("image_id", "path").iter_rows())
    endings = {PurePosixPath(path).suffix.lower() for path in names.values()}
    renamed = _renamed(sizes["image_id"].to_list(), names, endings)
    if names and not renamed and names.keys().isdisjoint(sizes["image_id"]):
        raise AnnotationError(
            f"{name}: none of its {sizes.height:,} image ids, such as {_shown(sizes['image_id'].sort())}, is the name "
            f"of one of the {len(names):,} pictures, such as {_shown(sorted(names.values()))}. Get the file of these "
            "pictures, or remove it."
        )
    if not renamed:
        return sizes
    sizes = sizes.with_columns(pl.col("image_id").replace(renamed)).unique()
    twice = sizes.filter(pl.col("image_id").is_duplicated())["image_id"].sort().to_list()
    if twice:
        raise AnnotationError(f"{name}: image {_shown(twice[:1])} has two sizes. Remove one.")
    return sizes


def _renamed(
    ids: Collection[str], names: Mapping[str, str], endings: Collection[str], table: str | None = None
) -> dict[str, str]:
    """The ids that no picture has, each with the one picture that it can mean.

    Where that is not one to one: AnnotationError, which names the `table`; without one they are left.
    """
    pictures, meaning = defaultdict(list), defaultdict(list)
    for one in names:
        pictures[_key(one)].append(one)
    for one in ids:
        meaning[_key(one if one in names else _without(one.strip(), endings))].append(one)
    renamed: dict[str, str] = {}
    for key, alike in meaning.items():
        strange = [one for one in alike if one not in names]
        if not strange or key not in pictures:
            continue
        if len(alike) > len(strange) or len(pictures[key]) > 1 or (table and len(alike) > 1):
            if not table:
                continue
            raise AnnotationError(
                f"{table}: it cannot be told which picture an id means: ids {_shown(sorted(alike))}, pictures "
                f"{_shown(sorted(names[one] for one in pictures[key]))}. Write the pictures' names without their "
                "ending as image_id."
            )
        renamed |= dict.fromkeys(strange, pictures[key][0])
    return renamed


def _key(text: str) -> str:
    """What all ways to write an id have in common."""
    return values.plain_id(unicodedata.normalize("NFC", text.strip()))


def _without(text: str, endings: Collection[str]) -> str:
    return next((text[: -len(ending)] for ending in sorted(endings) if text.lower().endswith(ending)), text)


def _shown(texts: Iterable[str]) -> str:
    shown = [repr(_ODD.sub("\ufffd", text)[:60]) for text, _ in zip(texts, range(_SHOWN), strict=False)]
    return " and ".join(shown)

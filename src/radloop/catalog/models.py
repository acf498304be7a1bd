"""Models that may find findings: which one is in use, which one was before, and what the comparisons of them said.

A unit of its own (`STORE/models/`, `OUT/models/` on disk): aliases.json says which model each alias means and how that
came about, comparisons/<id>.json what one comparison found, <model>/ holds a model that was promoted with its classes,
recipe, dataset version and verdict.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import formats, manifest, tree
from radloop.errors import DatasetError, NewerFormatError
from radloop.tables import TIME

CHAMPION: Final = "champion"  # the alias of the model in use
ALIASES: Final = "aliases.json"
COMPARISONS_FOLDER: Final = "comparisons/"
SCHEMA_VERSION: Final = 1

# One move of an alias. previous: the model that it meant before, null for its first. comparison: the last one that
# the model passed, null where it was forced or rolled back.
HISTORY: Final = pl.Schema(
    {"at": TIME, **dict.fromkeys(("action", "alias", "model", "previous", "comparison", "reason"), pl.String())}
)
# One comparison. reasons: what each gate that was missed says, one a line.
COMPARISONS: Final = pl.Schema(
    {
        "comparison": pl.String(),
        "at": TIME,
        **dict.fromkeys(("split", "dataset", "champion", "challenger"), pl.String()),
        "passed": pl.Boolean(),
        "reasons": pl.String(),
    }
)
# How many distinct comparisons asked a split of a version.
USES: Final = pl.Schema({"split": pl.String(), "dataset": pl.String(), "comparisons": pl.Int64()})

_SAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Models:
    """What the unit tells."""

    aliases: Mapping[str, str]  # alias -> model id
    history: pl.DataFrame  # HISTORY, by time
    comparisons: pl.DataFrame  # COMPARISONS, by time
    refused: tuple[str, ...] = ()  # keys of comparisons that are not those that the manifest lists, or cannot be read

    @property
    def uses(self) -> pl.DataFrame:
        """USES."""
        counted = self.comparisons.group_by("split", "dataset").agg(comparisons=pl.col("comparison").n_unique())
        return counted.sort("split", "dataset").match_to_schema(USES, integer_cast="upcast")

    def asked(self, split: str, dataset: str) -> int:
        """How many distinct comparisons asked the split of a version."""
        return int(self.uses.filter(split=split, dataset=dataset)["comparisons"].sum())

    def passed(self, split: str, dataset: str, *, challenger: str, champion: str | None = None) -> str | None:
        """The newest comparison on a split that is passed, if the newest one of the two is; else None.

        Without a champion: that of the challenger with any.
        """
        asked = self.comparisons.filter(split=split, dataset=dataset, challenger=challenger)
        if champion is not None:
            asked = asked.filter(champion=champion)
        newest = asked.sort("at", "comparison").tail(1).filter("passed")
        return None if newest.is_empty() else str(newest["comparison"][0])


NONE: Final = Models({}, HISTORY.to_frame(), COMPARISONS.to_frame())


def model_id(name: str, version: str) -> str:
    """How a model is called in files: its name and version as feedback tells them.

    >>> model_id("lungs", "9f86d081884c"), model_id("my model", "1")
    ('lungs-9f86d081884c', 'my_model-1')
    """
    return _SAFE.sub("_", f"{name or 'unknown'}-{version}").lstrip(".-") or "unknown"


def read(folder: Path) -> Models:
    """What the unit in `folder` tells; nothing where there is none.

    Raises DatasetError where its manifest or aliases.json is damaged: nobody knows then which model is in use.
    """
    listed = manifest.read(folder)
    if listed is None:
        return NONE
    return of(listed, lambda key: _bytes(folder / key), name=str(folder))


def of(listed: pl.DataFrame, get: Callable[[str], bytes | None], *, name: str) -> Models:
    """The same from a manifest and what brings the bytes of a key; `name` is what an error calls the place."""
    sums = dict(listed.select("key", "md5").iter_rows())

    def sound(key: str) -> bytes | None:
        data = get(key) if key in sums else None
        return data if data is not None and hashlib.md5(data).hexdigest() == sums[key] else None

    aliases, history = _aliases(sound(ALIASES), name=f"{name}/{ALIASES}") if ALIASES in sums else ({}, [])
    keys = sorted(key for key in sums if key.startswith(COMPARISONS_FOLDER) and key.endswith(".json"))
    rows = {key: _comparison(sound(key)) for key in keys}
    return Models(
        aliases,
        pl.DataFrame(history, schema=HISTORY, orient="row").sort("at", maintain_order=True),
        pl.DataFrame([row for row in rows.values() if row], schema=COMPARISONS, orient="row").sort("at", "comparison"),
        tuple(key for key, row in rows.items() if row is None),
    )


def moved(
    models: Models, alias: str, model: str, *, at: datetime, action: str, comparison: str | None, reason: str | None
) -> bytes:
    """aliases.json after `alias` has come to mean `model`."""
    row = (at, action, alias, model, models.aliases.get(alias), comparison, reason)
    history = pl.concat([models.history, pl.DataFrame([row], schema=HISTORY, orient="row")])
    return encode({**models.aliases, alias: model}, history)


def encode(aliases: Mapping[str, str], history: pl.DataFrame) -> bytes:
    """The bytes of aliases.json."""
    moves = [row | {"at": row["at"].isoformat()} for row in history.iter_rows(named=True)]
    newest = {(row["alias"], row["model"]): row for row in moves}
    return tree.json_file(
        {
            "schema_version": SCHEMA_VERSION,
            "aliases": {
                alias: {"model": model, "since": row["at"], "comparison": row["comparison"]}
                for alias, model in sorted(aliases.items())
                for row in (newest.get((alias, model), {"at": None, "comparison": None}),)
            },
            "history": moves,
        }
    )


def before(models: Models, alias: str, model: str | None = None) -> str | None:
    """The model to go back to: `model` where the alias ever meant it, else the one before; None where there is none."""
    meant = models.history.filter(alias=alias)
    if model is not None:
        return model if model in meant["model"] else None
    stack: list[str] = []
    for action, name, previous in meant.select("action", "model", "previous").iter_rows():
        if action == "rollback" and name in stack:
            del stack[stack.index(name) :]
        elif previous is not None:
            stack.append(previous)
    return stack[-1] if stack else None


def _aliases(data: bytes | None, *, name: str) -> tuple[dict[str, str], Iterable[tuple[Any, ...]]]:
    formats.require_json(data, name=name, up_to=SCHEMA_VERSION)
    try:
        told = json.loads(data or b"")
        aliases = {str(alias): str(one["model"]) for alias, one in told["aliases"].items()}
        history = [
            (datetime.fromisoformat(row["at"]), *(row.get(column) for column in HISTORY.names()[1:]))
            for row in told["history"]
        ]
        pl.DataFrame(history, schema=HISTORY, orient="row")
        "".join(text for pair in aliases.items() for text in pair).encode()  # a lone surrogate can be named in no file
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError, pl.exceptions.PolarsError) as broken:
        raise DatasetError(
            f"{name} is damaged, so that nobody knows which model is in use ({broken!r}). Move the folder away, and "
            "run the same command again: it brings what the store holds."
        ) from broken
    return aliases, history


def _comparison(data: bytes | None) -> tuple[Any, ...] | None:
    """A row of COMPARISONS; None where the document cannot be read."""
    try:
        formats.require_json(data, name="a comparison", up_to=SCHEMA_VERSION)
        told = json.loads(data or b"")
        missed = [gate["says"] for gate in told["gates"] if gate["passed"] is False]
        row = (
            told["comparison"],
            datetime.fromisoformat(told["at"]),
            told["split"],
            told["dataset"],
            told["champion"]["model"],
            told["challenger"]["model"],
            told["passed"],
            "\n".join(missed),
        )
        pl.DataFrame([row], schema=COMPARISONS, orient="row")
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        RecursionError,
        pl.exceptions.PolarsError,
        NewerFormatError,
    ):
        return None
    return row


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None

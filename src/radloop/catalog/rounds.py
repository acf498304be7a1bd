"""The rounds of re-training that stand beside a dataset: what each one learned from, by its report."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import formats, manifest, tree
from radloop.catalog import chains
from radloop.catalog.audit_lines import Line
from radloop.errors import NewerFormatError
from radloop.tables import TIME

SINCE: Final = "newest"  # in report.json: when the newest feedback or review that the round knew was given
PINNED: Final = "chains"  # in report.json: the heads of the chains of reviews
BEFORE_LOG: Final = "rounds"  # in the first line of an audit log: how many rounds of an earlier one there were
AGAINST_READERS: Final = "predictions_against_readers"  # in report.json
FATES: Final = ("kept", "withheld", "disputed", "unused", "refused")
ROUNDS: Final = pl.Schema(
    {
        "round": pl.String(),
        "newest": TIME,  # null: its report is from before reports told it
        "dataset": pl.String(),  # the version
        "feedback": pl.Int64(),
        **dict.fromkeys(FATES, pl.Int64()),
        "images": pl.Int64(),
        "rows_that_train": pl.Int64(),
        "reviews_used": pl.Int64(),
        "predictions": pl.Int64(),  # rows of the table by source
        "reviews": pl.Int64(),
        "simulated_reviews": pl.Int64(),
        "known_images": pl.Int64(),  # of the rows that train and are a model's: on images that readers have read,
        "known_labels": pl.Int64(),  # how many there are,
        "known_correct": pl.Int64(),  # and how many are right
    }
)
_SOURCES: Final = {"predictions": "prediction", "reviews": "review", "simulated_reviews": "simulated-review"}


def pins(heads: pl.DataFrame) -> dict[str, Any]:
    """What a report tells of the chains of reviews: their HEADS (`catalog.chains`)."""
    return {PINNED: heads.to_dicts()}


def pins_sha256(pinned: Mapping[str, Any]) -> str:
    """The hash of what a report pins, as the audit log tells it."""
    return hashlib.sha256(tree.json_file(pinned)).hexdigest()


def pinned(unit: Path) -> dict[str, str]:
    """{round: hash of what it pins} of the rounds that pin anything; those that cannot be read are left out."""
    return {path.parent.name: pins_sha256({PINNED: told}) for path, told in _pins(unit)}


def binding(unit: Path, log: Sequence[Line]) -> pl.DataFrame:
    """The HEADS that each round has pinned, with its `round`: of those that this log tells of; of all without a log.

    A round that came with the store from another machine is of reviews that lie there.
    """
    known = {sha256 for line in log if (sha256 := heads_of(line))}
    rows = [
        {"round": path.parent.name, **{name: one[name] for name in chains.HEADS}}
        for path, told in _pins(unit)
        if not log or pins_sha256({PINNED: told}) in known
        for one in told
    ]
    return pl.DataFrame(rows, schema={"round": pl.String(), **chains.HEADS})


def heads_of(line: Line) -> str | None:
    """The hash of what a round pins, of the line of an audit log that tells of one."""
    told = line.new.get("heads") if line.what == "retrain" and isinstance(line.new, Mapping) else None
    return told if isinstance(told, str) else None


def _pins(unit: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    for path in sorted((unit / tree.ROUNDS).glob(f"*/{tree.REPORT}")):
        try:
            told = json.loads(path.read_bytes()).get(PINNED)
            if told is not None:
                pl.DataFrame([{name: one[name] for name in chains.HEADS} for one in told], schema=chains.HEADS)
                yield path, told
        except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError, OverflowError):
            continue
        except pl.exceptions.PolarsError:
            continue


def since(feedback: pl.DataFrame, reviews: pl.DataFrame) -> dict[str, str | None]:
    """What a report tells of its time: nothing of the clock, so that the same input says the same."""
    newest: Any = pl.concat([feedback["timestamp"], reviews["timestamp"]]).max()
    return {SINCE: None if newest is None else newest.isoformat()}


def read(unit: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """ROUNDS by time, and the keys of reports that are not those that the manifest lists, or cannot be read.

    unit: the folder of the re-training data; none where there is none.
    """
    listed = manifest.read(unit)
    if listed is None:
        return ROUNDS.to_frame(), ()
    rows, refused = [], []
    reports = listed.filter(pl.col("key").str.starts_with(tree.ROUNDS), pl.col("key").str.ends_with(f"/{tree.REPORT}"))
    for key, md5 in reports.select("key", "md5").iter_rows():
        path = unit / key
        data = path.read_bytes() if path.is_file() else b""
        row = _row(key, data) if hashlib.md5(data).hexdigest() == md5 else None
        if row is None:
            refused.append(key)
        else:
            rows.append(row)
    return pl.DataFrame(rows, schema=ROUNDS, orient="row").sort("newest", "round"), tuple(refused)


def _row(key: str, data: bytes) -> dict[str, Any] | None:
    try:
        formats.require_json(data, name=key)
        report = json.loads(data)
        row = _told(key, report) if isinstance(report, dict) else None
        pl.DataFrame([row] if row else [], schema=ROUNDS, orient="row")
    except (
        *(ValueError, TypeError, AttributeError, OverflowError, RecursionError),
        *(NewerFormatError, pl.exceptions.PolarsError),
    ):
        return None
    return row


def _told(key: str, report: Mapping[str, Any]) -> dict[str, Any]:
    fates, rows = report.get("fates", {}), report.get("rows", {})
    known = report.get(AGAINST_READERS, {})
    newest = report.get(SINCE)
    return {
        "round": key.removeprefix(tree.ROUNDS).partition("/")[0],
        "newest": None if newest is None else datetime.fromisoformat(newest),
        "dataset": report.get("dataset"),
        "feedback": report.get("feedback"),
        **{fate: int(fates.get(fate, 0)) for fate in FATES},
        **{name: report.get(name) for name in ("images", "rows_that_train", "reviews_used")},
        **{name: int(rows.get(source, 0)) for name, source in _SOURCES.items()},
        **{f"known_{name}": known.get(name) for name in ("images", "labels", "correct")},
    }

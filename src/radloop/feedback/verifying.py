"""Feedback and reviews as files, held against their ids and what was known of them: what was changed, or is gone."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from radloop import files, sealed
from radloop.catalog import audit_lines, tombstones
from radloop.errors import UNDECODABLE, FeedbackError
from radloop.feedback import chaining, documents, identity, listing, records
from radloop.feedback.records import Feedback

# What was found wrong: the file, its line where it has lines, a code and a sentence.
FAULTS: Final = pl.Schema({"file": pl.String(), "line": pl.Int64(), "code": pl.String(), "reason": pl.String()})
KNOWN: Final = pl.Schema({"file": pl.String(), "feedback_id": pl.String()})  # the feedback that rounds have seen
KNOWN_FILE: Final = ".feedback.parquet"  # in OUT/audit: KNOWN

_NUMBER: Final = r"(?i)(\.(?:jsonl|ndjson)):[0-9]+$"  # of a line
_NUMBERED: Final = re.compile(_NUMBER)

Fault = tuple[str, int | None, str, str]


class _Told(msgspec.Struct):
    image_id: str | None = None
    feedback_id: str | None = None
    schema_version: int | None = None


_told: Final = msgspec.json.Decoder(_Told).decode
_feedback: Final = msgspec.json.Decoder(Feedback).decode


def faults(rows: Iterable[Fault]) -> pl.DataFrame:
    """FAULTS of the rows."""
    return pl.DataFrame(list(rows), schema=FAULTS, orient="row")


def encode_known(feedback: pl.DataFrame, before: pl.DataFrame | None = None) -> bytes:
    """The bytes of KNOWN; what was known `before` stays in it, there or not. A line counts without its number."""
    file = pl.col("file").str.replace(_NUMBER, "$1")
    parts = [table.select(KNOWN.names()) for table in (feedback, before) if table is not None]
    return sealed.encode(pl.concat(parts).with_columns(file).unique().sort(KNOWN.names()))


def known_path(out: Path) -> Path:
    """Where KNOWN is kept."""
    return out / audit_lines.FOLDER / KNOWN_FILE


def known(out: Path) -> pl.DataFrame:
    """KNOWN as the last round left it; nothing where there is none that can be read."""
    path = known_path(out)
    table = sealed.decode(path.read_bytes(), name=str(path)) if path.is_file() else None
    return KNOWN.to_frame() if table is None or dict(table.schema) != dict(KNOWN) else table


def gone(folder: Path, known: pl.DataFrame) -> pl.DataFrame:
    """The rows of KNOWN whose file is not in the folder any more."""
    return known.filter(~pl.col("file").is_in(listing.names(folder)))


def of_feedback(folder: Path, stones: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """FAULTS of a folder of feedback, and how much it has: signed, and other, whose ids say nothing.

    stones: TOMBSTONES of images; known: KNOWN, what there was.
    """
    found, there, images = list[Fault](), dict[str, set[str] | None](), dict[str, str]()
    counted, own = {"signed": 0, "others": 0}, dict[str, str]()
    seen = set(known["file"])
    for name, content in _contents(folder):
        file = _NUMBERED.sub(r"\1", name)
        try:
            told = _read(name, content, images, counted)
            if identity.is_own(told, None) and (first := own.setdefault(told, name)) != name:
                found.append((name, None, "feedback-copied", f"feedback {told} lies there twice: it is {first}, too"))
            if (ids := there.setdefault(file, set())) is not None:
                ids.add(told)
        except FeedbackError as wrong:
            found.append((name, None, wrong.code, str(wrong)))
            there[file] = None
        except UNDECODABLE as broken:
            if name == file or file in seen:  # else a line that another program writes just now
                found.append((name, None, "feedback-damaged", f"it is not feedback any more: {broken}"))
            there[file] = None
    forgotten = tombstones.forgotten(stones, images.values())
    found += [
        (name, None, "feedback-returned", "its image was forgotten, and it is there again")
        for name, image_id in images.items()
        if image_id in forgotten
    ]
    return faults([*found, *_unlike(known, there)]), counted


def _contents(folder: Path) -> Iterator[tuple[str, bytes | FeedbackError]]:
    """Every document, and every line (`name:number`) of files of many, by name."""
    names = sorted(name for name in listing.names(folder) if listing.is_document(name) or listing.has_lines(name))
    if names:
        with files.opened_folder(folder) as directory:
            for name in names:
                if listing.has_lines(name):
                    yield from documents.lines(directory, name)
                else:
                    try:
                        yield name, documents.read_bytes(directory, name)
                    except FeedbackError as wrong:
                        yield name, wrong


def _read(name: str, content: bytes | FeedbackError, images: dict[str, str], counted: dict[str, int]) -> str:
    """The id of a feedback. Raises FeedbackError where its bytes, or its name, are not those of the id."""
    if isinstance(content, FeedbackError):
        raise content
    data = content.removeprefix(documents.BOM)
    told = _told(data)
    images[name] = told.image_id or ""
    if not identity.is_own(told.feedback_id, told.schema_version):
        counted["others"] += 1
        return told.feedback_id or records.id_of(content)
    counted["signed"] += 1
    identity.require(data, records.encode(_feedback(data)), told.feedback_id)
    if listing.is_document(name):
        _require_name(name, told)
    return told.feedback_id or ""


def _require_name(name: str, told: _Told) -> None:
    own = name.rpartition("/")[2]
    if own not in (f"{told.image_id}.json", f"{told.image_id}.{told.feedback_id}.json"):
        raise FeedbackError(f"it is feedback {told.feedback_id}, under another's name", code="feedback-swapped")


def _unlike(known: pl.DataFrame, there: Mapping[str, set[str] | None]) -> Iterable[Fault]:
    for name, feedback_id in known.iter_rows():
        ids = there.get(name, set())
        if ids is None or feedback_id in ids:
            continue
        if ids and listing.is_document(name):
            yield name, None, "feedback-changed", f"it was feedback {feedback_id}, and is {min(ids)}"
        else:
            yield name, None, "feedback-deleted", f"feedback {feedback_id} was there at an earlier round, and is gone"


def of_reviews(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """chaining.LINK of every review, and FAULTS of those that are not what their names say, or there twice."""
    names = sorted(listing.names(folder))
    links = chaining.links(folder, names)
    lost = sorted(set(names) - set(links["file"]))
    reason = "its name and its bytes do not agree: it was changed, or has another's name"
    copies = links.filter(pl.col("review_id").is_duplicated()).select("file", "review_id").iter_rows()
    swapped = "it is of other feedback, or by another reviewer, than its name says"
    return links, faults(
        [
            *((name, None, "review-changed", reason) for name in lost),
            *((name, None, "review-copied", f"review {review_id} lies there twice") for name, review_id in copies),
            *((name, None, "review-swapped", swapped) for name in _called_otherwise(folder, links["file"])),
        ]
    )


def _called_otherwise(folder: Path, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        with suppress(OSError):
            if not chaining.is_called(name, (folder / name).read_bytes()):
                yield name

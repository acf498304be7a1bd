"""Feedback and reviews as files, held against their ids and what was known of them: what was changed, or is gone."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from radloop import files, sealed
from radloop.catalog import tombstones
from radloop.errors import UNDECODABLE, FeedbackError
from radloop.feedback import chaining, documents, identity, listing, records
from radloop.feedback.records import Feedback

# What was found wrong: the file, its line where it has lines, a code and a sentence.
FAULTS: Final = pl.Schema({"file": pl.String(), "line": pl.Int64(), "code": pl.String(), "reason": pl.String()})
KNOWN: Final = pl.Schema({"file": pl.String(), "feedback_id": pl.String()})  # the feedback that a round has seen
KNOWN_FILE: Final = ".feedback.parquet"  # in OUT/audit: KNOWN

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


def encode_known(feedback: pl.DataFrame) -> bytes:
    """The bytes of KNOWN."""
    return sealed.encode(feedback.select(KNOWN.names()).sort(KNOWN.names()))


def of_feedback(folder: Path, stones: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """FAULTS of a folder of feedback, and how many files it has: signed, and others, whose ids say nothing.

    stones: TOMBSTONES of images; known: KNOWN, what there was.
    """
    found, there, images = list[Fault](), dict[str, str | None](), dict[str, str]()
    counted = {"signed": 0, "others": 0}
    names = sorted(name for name in listing.names(folder) if listing.is_document(name))
    if names:
        with files.opened_folder(folder) as directory:
            for name in names:
                try:
                    data = documents.read_bytes(directory, name)
                    told = _told(data)
                    images[name] = told.image_id or ""
                    if identity.is_own(told.feedback_id, told.schema_version):
                        counted["signed"] += 1
                        identity.require(data, records.encode(_feedback(data)), told.feedback_id)
                        _require_name(name, told)
                    else:
                        counted["others"] += 1
                    there[name] = told.feedback_id or records.id_of(data)
                except FeedbackError as wrong:
                    found.append((name, None, wrong.code, str(wrong)))
                    there[name] = None
                except UNDECODABLE as broken:
                    found.append((name, None, "feedback-damaged", f"it is not feedback any more: {broken}"))
                    there[name] = None
    gone = tombstones.forgotten(stones, images.values())
    found += [
        (name, None, "feedback-returned", "its image was forgotten, and it is there again")
        for name, image_id in images.items()
        if image_id in gone
    ]
    return faults([*found, *_unlike(known, there)]), counted


def _require_name(name: str, told: _Told) -> None:
    own = name.rpartition("/")[2]
    if own not in (f"{told.image_id}.json", f"{told.image_id}.{told.feedback_id}.json"):
        raise FeedbackError(f"it is feedback {told.feedback_id}, under another's name", code="feedback-swapped")


def _unlike(known: pl.DataFrame, there: Mapping[str, str | None]) -> Iterable[Fault]:
    for name, feedback_id in known.iter_rows():
        if name not in there:
            yield name, None, "feedback-deleted", f"feedback {feedback_id} was there at the last round, and is gone"
        elif there[name] not in (None, feedback_id):
            yield name, None, "feedback-changed", f"it was feedback {feedback_id}, and is {there[name]}"


def of_reviews(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """chaining.LINK of every review, and FAULTS of those that are not what their names say, or there twice."""
    names = sorted(listing.names(folder))
    links = chaining.links(folder, names)
    lost = sorted(set(names) - set(links["file"]))
    reason = "its name and its bytes do not agree: it was changed, or has another's name"
    copies = links.filter(pl.col("review_id").is_duplicated()).select("file", "review_id").iter_rows()
    return links, faults(
        [
            *((name, None, "review-changed", reason) for name in lost),
            *((name, None, "review-copied", f"review {review_id} lies there twice") for name, review_id in copies),
        ]
    )

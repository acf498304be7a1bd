"""The chains of `radloop.catalog.chains` in a folder of reviews: what each file links, and where a new review goes on.

The tombstones of reviews that were forgotten lie beside them, in a hidden file.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from radloop import files, sealed, sums
from radloop.catalog import chains
from radloop.errors import UNDECODABLE, FeedbackError
from radloop.feedback import documents, listing
from radloop.tables import REVIEWS

FORGOTTEN: Final = ".forgotten.parquet"  # in the folder of reviews: FORGOTTEN_REVIEWS
OWN_ID: Final = re.compile(chains.OWN_ID)
LINK: Final = pl.Schema(
    {
        name: REVIEWS[name]
        for name in ("review_id", "feedback_id", "reviewer", "timestamp", "previous", "file", "sha256")
    }
)

_PARTS: Final = 4  # of a review's name


class _Told(msgspec.Struct):
    """What a review says of itself, and of its place in the chain."""

    feedback_id: Any = None
    reviewer: Any = None
    previous: str | None = None
    timestamp: str | None = None


_decode: Final = msgspec.json.Decoder(_Told).decode


def review_id(data: bytes) -> str:
    """The id of a review: the hash of its bytes."""
    return hashlib.md5(data).hexdigest()[:16]


def file_name(feedback_id: str, reviewer: str, data: bytes) -> str:
    """What the file of a review is called; the same for the same bytes."""
    return f"{feedback_id}.{reviewer}.{review_id(data)}.json"


def link(name: str, data: bytes) -> tuple[Any, ...] | None:
    """The LINK of a file, whether it can be read as a review or not; None of one that is not what its name says."""
    parts = os.path.basename(name).split(".")
    if len(parts) != _PARTS or not listing.is_document(name):
        return None
    feedback_id, reviewer, own = parts[:3]
    if OWN_ID.fullmatch(own) and own != review_id(data):
        return None
    told = _told(data)
    previous = told.previous if told.previous and OWN_ID.fullmatch(told.previous) else None
    return own, feedback_id, reviewer, _time(told.timestamp), previous, name, hashlib.sha256(data).hexdigest()


def is_called(name: str, data: bytes) -> bool:
    """Whether a review is of the feedback, and by the reviewer, that its name says."""
    feedback_id, reviewer, *_ = os.path.basename(name).split(".")
    told = _told(data)
    return told.feedback_id in (None, feedback_id) and told.reviewer in (None, reviewer)


def _told(data: bytes) -> _Told:
    try:
        return _decode(data)
    except UNDECODABLE:
        return _Told()


def _time(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def links(folder: Path, names: Iterable[str] | None = None) -> pl.DataFrame:
    """LINK of every file in `folder`, or of those in `names`, that is what its name says."""
    names = sorted(listing.names(folder) if names is None else names)
    rows = []
    if names:
        with files.opened_folder(folder) as directory:
            for name in names:
                try:
                    rows.append(link(name, documents.read_bytes(directory, name)))
                except FeedbackError:
                    continue
    return pl.DataFrame([row for row in rows if row is not None], schema=LINK, orient="row")


def forgotten(folder: Path) -> pl.DataFrame:
    """FORGOTTEN_REVIEWS of a folder of reviews. Raises FeedbackError where they are damaged."""
    path = folder / FORGOTTEN
    if not path.is_file():
        return chains.NOTHING_FORGOTTEN
    table = sealed.decode(path.read_bytes(), name=str(path))
    if table is None or dict(table.schema) != dict(chains.FORGOTTEN_REVIEWS):
        raise FeedbackError(
            f"{path} is not radloop's, or damaged: it says which reviews were forgotten. Bring it back from a backup; "
            "without it the chains of their reviewers have gaps.",
            code="tombstones-damaged",
        )
    return table


def bury(folder: Path, gone: pl.DataFrame) -> None:
    """Add FORGOTTEN_REVIEWS to those of the folder, durably; before their files go, so that no chain has a gap."""
    known = forgotten(folder)
    table = pl.concat([known, gone]).unique("review_id", keep="first", maintain_order=True).sort("review_id")
    if table.height > known.height:
        files.write_atomic(folder / FORGOTTEN, sealed.encode(table), durable=True, mode=files.OWN_FILE)


def tombstones_sha256(folder: Path) -> str | None:
    """The hash of the tombstones of a folder, as the audit log tells it; None where there are none."""
    path = folder / FORGOTTEN
    return sums.of_file(path).sha256 if path.is_file() else None


class Chain:
    """Where the next review of a reviewer goes on, in a folder to which others write, too.

    Each file is opened once: what is asked often costs a listing.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read before it is asked for."""
        self._folder = folder
        self._known: dict[str, tuple[frozenset[str], pl.DataFrame]] = {}  # by reviewer: names, LINK

    def previous(self, reviewer: str) -> str | None:
        """The id of the review that the reviewer's next one names; None where there is none."""
        if not self._folder.is_dir():
            return None
        mine = frozenset(name for name in listing.names(self._folder) if _reviewer(name) == reviewer)
        known, table = self._known.get(reviewer, (frozenset(), LINK.to_frame()))
        if mine != known:
            still = table.filter(pl.col("file").is_in(list(mine)))
            table = pl.concat([still, links(self._folder, mine - set(still["file"]))])
            self._known[reviewer] = (mine, table)
        return chains.newest(table, forgotten(self._folder)).get(reviewer)


def _reviewer(name: str) -> str:
    parts = name.rpartition("/")[2].split(".")
    return parts[1] if len(parts) == _PARTS else ""

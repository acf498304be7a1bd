"""What an attestation states of a dataset and of what people said, as an in-toto Statement v1.

`OUT/attestations/<id>/` has two files: the signed statement, a DSSE envelope, and the listing of every file with its
size and SHA-256, which the statement names by its own. The id is the beginning of the payload's SHA-256. Each
attestation pins the one before.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, get_args

import msgspec
import polars as pl

from radloop import manifest, sealed
from radloop.catalog import audit_lines
from radloop.errors import UNDECODABLE, AttestationError
from radloop.words import AttestedPart

STATEMENT: Final = "statement.dsse.json"
FILES: Final = "files.parquet"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:radloop:attestation:v1"
ID_DIGITS: Final = 16
PARTS: Final[tuple[AttestedPart, ...]] = get_args(AttestedPart)
AUDIT: Final = "audit"

# Every file that is attested. name: relative to OUT, or to the store. place: out, store, or both, where it is the same.
# image_id: whose it is, null where it is of no image or of several.
LISTING: Final = pl.Schema(
    {
        **dict.fromkeys(("name", "place"), pl.String()),
        "bytes": pl.Int64(),
        **dict.fromkeys(("sha256", "image_id"), pl.String()),
    }
)


class Digest(msgspec.Struct, frozen=True):
    """Of a subject."""

    sha256: str


class Subject(msgspec.Struct, frozen=True):
    """What is attested: a unit's manifest, or the listing."""

    name: str
    digest: Digest


class Head(msgspec.Struct, frozen=True):
    """The end of a reviewer's chain."""

    reviewer: str
    review_id: str
    sha256: str
    reviews: int


class Moves(msgspec.Struct, frozen=True):
    """How often aliases of models were moved, and a hash over all moves."""

    number: int
    sha256: str


class Before(msgspec.Struct, frozen=True):
    """The attestation before: its id, and the SHA-256 of its envelope."""

    id: str
    sha256: str


class Predicate(msgspec.Struct, frozen=True, kw_only=True):
    """What the statement says of its subjects."""

    time: datetime
    version: dict[str, str | None]  # id, lineage, previous, replaces
    inputs: dict[str, Any]  # source, annotations
    recipe: str | None
    settings: dict[str, Any]
    code: dict[str, str]  # radloop, python, sha256 over its source files
    heads: tuple[Head, ...]
    audit: dict[str, audit_lines.Head] | None  # the end of each audit log that there was
    rounds: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    models: dict[str, str]  # alias -> model
    moves: Moves
    counts: dict[str, int]
    tombstones: int
    check: dict[str, Any]
    previous: Before | None = None


class Statement(msgspec.Struct, frozen=True, kw_only=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    """The payload."""

    type: str = STATEMENT_TYPE
    subject: tuple[Subject, ...]
    predicate_type: str = PREDICATE_TYPE
    predicate: Predicate

    def sha256_of(self, name: str) -> str | None:
        """What the statement says of a subject."""
        return next((one.digest.sha256 for one in self.subject if one.name == name), None)


def encode(statement: Statement) -> bytes:
    """The payload."""
    return msgspec.json.encode(statement)


def decode(payload: bytes, *, name: str) -> Statement:
    """The statement in a payload whose signature holds. Raises AttestationError for one that is not radloop's."""
    try:
        told = msgspec.json.decode(payload, type=Statement)
    except UNDECODABLE as broken:
        raise AttestationError(f"{name}: what it states is not an attestation of radloop: {broken}.") from broken
    if (told.type, told.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise AttestationError(
            f"{name}: it states {told.predicate_type[:80]!r} ({told.type[:80]}), not {PREDICATE_TYPE}: it is not an "
            "attestation of radloop, or of a later one."
        )
    return told


def id_of(payload: bytes) -> str:
    """What an attestation is called."""
    return hashlib.sha256(payload).hexdigest()[:ID_DIGITS]


def key(attestation: str, name: str) -> str:
    """Where a file of an attestation lies, relative to OUT or a store.

    >>> key("0a1b", FILES)
    'attestations/0a1b/files.parquet'
    """
    return f"{manifest.ATTESTATIONS}/{attestation}/{name}"


def encode_files(listing: pl.DataFrame) -> bytes:
    """The bytes of files.parquet: the same for the same rows."""
    return sealed.encode(listing.select(LISTING.names()).sort("name", "place"))


def decode_files(data: bytes, statement: Statement, *, name: str) -> pl.DataFrame:
    """LISTING of a statement. Raises AttestationError for any other bytes than those that were signed."""
    if hashlib.sha256(data).hexdigest() != statement.sha256_of(FILES):
        raise AttestationError(
            f"{name} was altered: its SHA-256 is not the one in the signed statement. Bring it back from the store, or "
            "from where the attestation was sent."
        )
    table = sealed.decode(data)
    if table is None or dict(table.schema) != dict(LISTING):
        raise AttestationError(f"{name} was signed as it is, and is not a listing that this radloop can read.")
    return table


def part_of(name: str) -> AttestedPart:
    """The part that a file belongs to.

    >>> [part_of(name) for name in ("organized/data.yaml", "organized/retrain/retrain.csv", "feedback/a.json")]
    ['dataset', 'retrain', 'feedback']
    """
    top, _, rest = name.partition("/")
    if top == manifest.UNIT and manifest.is_inner(rest):
        top = rest.partition("/")[0]
    return next((part for part in PARTS if part == top), "dataset")


def counted(names: Iterable[str]) -> dict[str, int]:
    """How many files of each part there are."""
    found = dict.fromkeys(PARTS, 0)
    for name in names:
        found[part_of(name)] += 1
    return {part: number for part, number in found.items() if number}


def moves(history: pl.DataFrame, number: int | None = None) -> Moves:
    """Of the moves of aliases (models.HISTORY), the first `number` of them."""
    first = history if number is None else history.head(number)
    rows = [row | {"at": row["at"].isoformat()} for row in first.iter_rows(named=True)]
    return Moves(len(rows), hashlib.sha256(msgspec.json.encode(rows)).hexdigest())


def heads(rows: Iterable[Mapping[str, Any]]) -> tuple[Head, ...]:
    """Of rows of HEADS."""
    return tuple(Head(row["reviewer"], row["review_id"], row["sha256"], row["reviews"]) for row in rows)

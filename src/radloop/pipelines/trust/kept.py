"""Attestations as they lie in a folder: the last of them, and those before it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from radloop import manifest
from radloop.catalog import attestations, signatures
from radloop.catalog.attestations import Before, Statement
from radloop.catalog.attested import sha256
from radloop.errors import UNDECODABLE, AttestationError, UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


class _Envelope(msgspec.Struct):
    payload: bytes  # base64


def _unverified(data: bytes, name: str) -> Statement | None:
    """The statement in an envelope, whoever signed it; None where it cannot be read."""
    try:
        payload = msgspec.json.decode(data, type=_Envelope).payload
        return attestations.decode(payload, name=name)
    except (*UNDECODABLE, msgspec.ValidationError, AttestationError):
        return None


def envelopes(folder: Path) -> Iterator[Path]:
    """The envelopes of the attestations in a folder, by id."""
    yield from sorted(folder.glob(f"{'[0-9a-f]' * attestations.ID_DIGITS}/{attestations.STATEMENT}"))


def head(folder: Path) -> Before | None:
    """The attestation that the next one follows: of those that none other follows, the newest. None where none is."""
    found = {path: path.read_bytes() for path in envelopes(folder)}
    told = {path: statement for path, data in found.items() if (statement := _unverified(data, str(path)))}
    followed = {one.predicate.previous.id for one in told.values() if one.predicate.previous}
    ends = [path for path in told if path.parent.name not in followed]
    if not ends:
        return None
    last = max(ends, key=lambda path: (told[path].predicate.time, path.parent.name))
    return Before(last.parent.name, sha256(found[last]))


@dataclass(frozen=True)
class One:
    """An attestation that a key has signed."""

    id: str
    statement: Statement
    listing: pl.DataFrame  # LISTING


@dataclass(frozen=True)
class Signed(One):
    """The one that is asked for."""

    key: str  # the id of the key
    files: Mapping[str, bytes]  # its own files, by where they lie in OUT or a store
    earlier: tuple[One, ...]  # those that lie beside it and which the same key has signed


def read(place: Path, key: "SSlibKey") -> Signed:
    """The attestation in a file, in its folder, or the last of several in a folder, with those beside it.

    Raises AttestationError where its signature does not hold, or its listing is not the one that was signed.
    """
    path = _envelope(place)
    one, files = _read(path, key)
    earlier = []
    for beside in envelopes(path.parent.parent):
        if beside.parent != path.parent and _is_id(path.parent.name):
            try:
                earlier.append(_read(beside, key)[0])
            except (AttestationError, OSError):
                continue  # of another key, or damaged: the listing of this one says so
    before = tuple(other for other in earlier if other.statement.predicate.time < one.statement.predicate.time)
    return Signed(one.id, one.statement, one.listing, key.keyid, files, before)


def _envelope(place: Path) -> Path:
    if not place.is_dir():
        return place
    if (place / attestations.STATEMENT).is_file():
        return place / attestations.STATEMENT
    folder = place / manifest.ATTESTATIONS if (place / manifest.ATTESTATIONS).is_dir() else place
    last = head(folder)
    if last is None:
        raise UsageError(f"{place} holds no attestation that can be read. Give the folder of one, or its envelope.")
    return folder / last.id / attestations.STATEMENT


def _read(path: Path, key: "SSlibKey") -> tuple[One, dict[str, bytes]]:
    data = path.read_bytes()
    known = path.parent.name if _is_id(path.parent.name) else None
    payload = signatures.verified(data, key, name=str(path), attestation=known)
    statement = attestations.decode(payload, name=str(path))
    beside = path.with_name(attestations.FILES)
    try:
        listed = beside.read_bytes()
    except FileNotFoundError as missing:
        raise AttestationError(f"{beside} is not there: it is the other half of the attestation.") from missing
    name = attestations.id_of(payload)
    files = {
        attestations.key(name, attestations.STATEMENT): data,
        attestations.key(name, attestations.FILES): listed,
    }
    return One(name, statement, attestations.decode_files(listed, statement, name=str(beside))), files


def _is_id(name: str) -> bool:
    return len(name) == attestations.ID_DIGITS and all(digit in "0123456789abcdef" for digit in name)

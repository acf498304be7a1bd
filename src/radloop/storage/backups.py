"""How a backup lies in a vault.

    parts/<sha256>.tar[.gz][.age]     files, packed; written once and named by the SHA-256 of its own bytes
    indexes/<id>.json.gz[.age]        every file of one backup: size, mode, time, SHA-256, and in which part it is
    heads/<id>.json                   its parts with their sizes, and the index's SHA-256; written last: without it
                                      there is no backup of this id. It names no file, so that parts can be checked
                                      without a key

A part is a plain tar file: where radloop is not at hand, `age -d` and `tar` bring everything back.
"""

import gzip
import hashlib
import re
import secrets
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any, BinaryIO, Final, Literal

import msgspec

from radloop import manifest
from radloop.errors import UNDECODABLE, StoreError
from radloop.storage import encryption
from radloop.storage.vault import Vault, sha256

HEADS: Final = "heads/"
_HEAD: Final = re.compile(r"heads/[0-9]{8}T[0-9]{6}-[0-9a-f]{6}\.json")
INDEXES: Final = "indexes/"
PARTS: Final = "parts/"
PART_BYTES: Final = 32 * 2**20  # of files in a part, before they are packed; a larger file has one of its own
PART_FILES: Final = 20_000
_PACKED: Final = (
    ".json",
    ".jsonl",
    ".csv",
    ".txt",
    ".log",
    ".yaml",
    ".db",
    "",
)  # what packing makes smaller
_CHUNK: Final = 1 << 20

_PART: Final = re.compile(r"parts/([0-9a-f]{64})\.tar(\.gz)?(\.age)?")
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]{1,64}\Z")]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where the bytes of a file are: in a part, under a name."""

    part: str
    member: str


class Entry(msgspec.Struct, frozen=True):
    """One file."""

    path: str
    size: int
    mode: int
    mtime_ns: int
    sha256: Digest
    place: Place
    link: str | None = None  # the path of another name of the same file


class Index(msgspec.Struct, frozen=True):
    """All files and folders of one backup."""

    entries: tuple[Entry, ...]
    folders: dict[str, int]  # path -> mode
    format: Literal[1] = 1


class Head(msgspec.Struct, frozen=True):
    """One backup."""

    id: Id
    created_at: datetime
    radloop: str
    files: int
    bytes: int
    parts: dict[str, int]
    index: str  # its key
    index_sha256: Digest
    left_out: tuple[str, ...] = ()
    withheld: int = 0  # private files that were not sent
    format: Literal[1] = 1

    @property
    def keys(self) -> set[str]:
        """Of everything that it needs but itself."""
        return {self.index, *self.parts}


class Known(msgspec.Struct):
    """What this machine knows of a vault, so that a later run sends only what is new. It lies in OUT/private."""

    address: str
    places: dict[str, Place]  # SHA-256 of a file -> where it is
    sizes: dict[str, int]  # of parts
    format: Literal[1] = 1


def new_id(now: datetime) -> str:
    """An id that sorts by time."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def is_part(key: str) -> bool:
    """Whether a key is that of a part."""
    return _PART.fullmatch(key) is not None


def is_packed(path: str) -> bool:
    """Whether packing makes a file of this name smaller."""
    return Path(path).suffix in _PACKED


def heads(vault: Vault, listing: Mapping[str, int]) -> list[Head]:
    """Every backup that is whole by the listing, the oldest first; a damaged head is none."""
    found = []
    for key in (one for one in listing if one.startswith(HEADS)):
        try:
            head = msgspec.json.decode(vault.get(key) or b"", type=Head)
        except UNDECODABLE:
            continue
        if key == f"{HEADS}{head.id}.json" and head.index.startswith(INDEXES) and all(map(is_part, head.parts)):
            found.append(head)
    return sorted(found, key=lambda head: (head.created_at, head.id))  # an id tells the second only


def unreadable(listing: Mapping[str, int], told: Sequence[Head]) -> list[str]:
    """The heads that a vault lists and `heads` could not read: damaged, or of a newer radloop. By time, as ids are."""
    known = {f"{HEADS}{head.id}.json" for head in told}
    return sorted(key for key in listing if _HEAD.fullmatch(key) and key not in known)


def pack(path: Path, members: Iterable[tuple[str, BinaryIO, int, str]], *, packed: bool) -> None:
    """Write a tar file of (name, open file, size, SHA-256). Raises StoreError where one has other bytes."""
    target: Any = gzip.GzipFile(path, "wb", compresslevel=6) if packed else path.open("wb")
    with target, tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, file, size, digest in members:
            about = tarfile.TarInfo(name)
            about.size, about.mode = size, 0o600
            read = _Hashed(file)
            tar.addfile(about, read)
            if read.digest() != digest:
                raise StoreError(f"{name} was changed while it was read. Run the same command again.")


class _Hashed:
    """A file that knows the hash of what was read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        return self._hash.hexdigest()


def encode_index(index: Index) -> bytes:
    """The bytes of an index, packed; the same for the same index."""
    return gzip.compress(msgspec.json.encode(index), mtime=0)


def encode_known(known: Known) -> bytes:
    """The bytes of what is known of a vault, packed."""
    return gzip.compress(msgspec.json.encode(known), compresslevel=3, mtime=0)


def decode_known(data: bytes) -> Known:
    """What `encode_known` wrote. Raises OSError, EOFError or one of UNDECODABLE."""
    return msgspec.json.decode(gzip.decompress(data), type=Known)


def known_from(address: str, head: Head, index: Index) -> Known:
    """What the index of a backup says of its vault."""
    return Known(address, {one.sha256: one.place for one in index.entries}, dict(head.parts))


def read_index(vault: Vault, head: Head, work: Path, identities: list[object]) -> Index:
    """The index of a backup. Raises StoreError where it is missing, damaged or cannot be opened."""
    data = vault.get(head.index)
    if data is None or hashlib.sha256(data).hexdigest() != head.index_sha256:
        state = "missing" if data is None else "damaged"
        raise StoreError(f"{vault.address}: {head.index} of backup {head.id} is {state}. Take another one by --backup.")
    if head.index.endswith(encryption.SUFFIX):
        (work / "index.age").write_bytes(data)
        encryption.decrypt(work / "index.age", work / "index", identities)
        data = (work / "index").read_bytes()
    try:
        index = msgspec.json.decode(gzip.decompress(data), type=Index)
    except (OSError, EOFError, *UNDECODABLE) as broken:
        raise StoreError(f"{vault.address}: {head.index} cannot be read ({broken}).") from broken
    paths = [*(one.path for one in index.entries), *index.folders]
    unsafe = next((path for path in paths if not manifest.is_safe_key(path)), None)
    if unsafe is not None:
        raise StoreError(f"{vault.address}: {head.index} lists the unsafe path {unsafe[:80]!r}; do not use it.")
    return index


def open_part(path: Path, key: str, work: Path, identities: list[object]) -> tarfile.TarFile:
    """A part that was fetched. Raises StoreError where it is not what its name says, or no key opens it."""
    found = _PART.fullmatch(key)
    if found is None or sha256(path) != found[1]:
        raise StoreError(f"{key} is damaged: its bytes are not those of its name")
    if key.endswith(encryption.SUFFIX):
        encryption.decrypt(path, work / "part", identities)
        path = work / "part"
    return tarfile.open(path)


def copy(file: IO[bytes], target: BinaryIO) -> str:
    """Write all of a file into another; the SHA-256 of its bytes."""
    computed = hashlib.sha256()
    while data := file.read(_CHUNK):
        computed.update(data)
        target.write(data)
    return computed.hexdigest()


def digest(file: BinaryIO, size: int) -> str:
    """The SHA-256 of the first bytes of a file, which may be growing."""
    computed = hashlib.sha256()
    while size and (data := file.read(min(size, _CHUNK))):
        computed.update(data)
        size -= len(data)
    return computed.hexdigest()

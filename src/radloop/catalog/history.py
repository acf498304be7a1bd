"""Which versions of a dataset were published, and which of them are kept: `organized/versions/history.json`.

Of a kept version everything but its pictures is one object, named by its MD5 as its manifest is. A picture lies in the
dataset itself, where the current version lists it, else in `versions/pictures/` under its MD5.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Final

import msgspec
import polars as pl

from radloop import formats, manifest, sealed, sums
from radloop.errors import UNDECODABLE, DatasetError, UsageError
from radloop.tables import HISTORY

NAME: Final = f"{manifest.VERSIONS}/history.json"  # a key of the dataset
PICTURES: Final = f"{manifest.VERSIONS}/pictures/"
SCHEMA_VERSION: Final = 1
_ID: Final = re.compile("[0-9a-f]{16}")
_MD5: Final = re.compile("[0-9a-f]{32}")
_PARTIAL: Final = r"\.[0-9a-f]{8}\.partial"  # what a killed rclone leaves of a key in a remote that is a file system
_OURS: Final = re.compile(
    rf"{manifest.VERSIONS}/(history\.json{_PARTIAL}|([0-9a-f]{{16}}/(manifest|documents)-[0-9a-f]{{32}}\.parquet"
    rf"|pictures/[0-9a-f]{{32}}\.\w+)({_PARTIAL})?)"
)


class Kept(msgspec.Struct, frozen=True):
    """The two objects of a kept version, by MD5."""

    manifest: str
    documents: str

    def keys(self, version: str) -> tuple[str, str]:
        """Where they lie."""
        place = f"{manifest.VERSIONS}/{version}"
        return f"{place}/manifest-{self.manifest}.parquet", f"{place}/documents-{self.documents}.parquet"


class Changed(msgspec.Struct, frozen=True):
    """How many images and labels a version has otherwise than the one before."""

    images_added: int
    images_removed: int
    images_moved: int
    labels_added: int
    labels_removed: int
    labels_moved: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One time that a version was published."""

    version: str
    previous: str | None
    published_at: Annotated[datetime, msgspec.Meta(tz=True)]
    action: str
    images: int
    labels: int
    boxes: int | None
    splits: dict[str, int]
    kept: bool = False
    was: tuple[str, ...] = ()  # ids of before images in it were forgotten
    changes: Changed | None = None


class History(msgspec.Struct, frozen=True):
    """All of them, by time; `kept` are the versions that can be brought back, in a copy beside a dataset none."""

    schema_version: int = SCHEMA_VERSION
    entries: tuple[Entry, ...] = ()
    kept: dict[str, Kept] = {}

    def keeping(self, kept: Mapping[str, Kept]) -> "History":
        """The same entries with other versions kept."""
        entries = tuple(msgspec.structs.replace(entry, kept=entry.version in kept) for entry in self.entries)
        return History(entries=entries, kept=dict(sorted(kept.items())))

    def newest(self, number: int) -> "History":
        """With the `number` kept ones that were published last."""
        order = list(dict.fromkeys(entry.version for entry in reversed(self.entries) if entry.version in self.kept))
        return self.keeping({version: self.kept[version] for version in order[:number]})

    def find(self, asked: str) -> Entry:
        """The last entry of the kept version whose id begins so, or was so before images were forgotten.

        Raises UsageError where none or several do.
        """
        kept = {entry.version: entry for entry in self.entries if entry.kept}
        for ids in (
            {version: entry for version, entry in kept.items() if version.startswith(asked)},
            {entry.version: entry for entry in kept.values() if any(one.startswith(asked) for one in entry.was)},
        ):
            if len(ids) == 1 and asked:
                return next(iter(ids.values()))
            if len(ids) > 1:
                raise UsageError(f"several versions begin with {asked!r}: {', '.join(ids)}. Give more of its id.")
        raise UsageError(f"unknown version {asked!r}: kept are {', '.join(kept) or 'none'}.")


def encode(history: History) -> bytes:
    """The bytes of history.json."""
    return msgspec.json.format(msgspec.json.encode(history), indent=2) + b"\n"


def copied(history: History) -> bytes:
    """The bytes of its copy beside a dataset, where nothing of the kept versions lies."""
    return encode(msgspec.structs.replace(history, kept={}))


def decode(data: bytes | None, *, name: str) -> History:
    """What they tell; an empty history where there are none. Raises DatasetError for anything else."""
    if data is None:
        return History()
    try:
        formats.require_json(data, name=name)
        history = msgspec.json.decode(data, type=History)
    except UNDECODABLE as broken:
        raise DatasetError(f"{name} is not radloop's, or damaged: {broken}.") from broken
    md5s = [md5 for kept in history.kept.values() for md5 in (kept.manifest, kept.documents)]
    if not all(_ID.fullmatch(one) for one in history.kept) or not all(_MD5.fullmatch(one) for one in md5s):
        raise DatasetError(f"{name} names a version by what is no id: it was not written by radloop.")
    return history


def read(root: Path) -> pl.DataFrame:
    """HISTORY of the dataset in the folder `root`, by time; empty where it has none. Raises DatasetError."""
    path = root / NAME
    return table(decode(path.read_bytes() if path.is_file() else None, name=str(path)))


def table(history: History) -> pl.DataFrame:
    """HISTORY."""
    return pl.DataFrame([msgspec.structs.asdict(entry) | _structs(entry) for entry in history.entries], schema=HISTORY)


def _structs(entry: Entry) -> dict[str, object]:
    return {
        "splits": entry.splits,
        "was": list(entry.was),
        "changes": None if entry.changes is None else msgspec.structs.asdict(entry.changes),
    }


def is_ours(key: str) -> bool:
    """Whether a key of the dataset is of the form of those in `versions/`, so that it may be removed there.

    >>> is_ours("versions/pictures/" + 32 * "0" + ".png"), is_ours("versions/notes.txt")
    (True, False)
    """
    return _OURS.fullmatch(key) is not None


def picture_key(key: str, md5: str) -> str:
    """Where the picture of this key lies once the current version does not list it."""
    return f"{PICTURES}{md5}{PurePosixPath(key).suffix}"


def md5_in(key: str) -> str:
    """The MD5 of the picture of an earlier version that lies under this key."""
    return PurePosixPath(key).stem


def archive(files: Mapping[str, bytes]) -> bytes:
    """All files of a version but its pictures as one object: the same bytes for the same files."""
    rows = {"key": sorted(files), "data": [files[key] for key in sorted(files)]}
    return sealed.encode(pl.DataFrame(rows, schema={"key": pl.String(), "data": pl.Binary()}))


def unpacked(data: bytes | None, listed: pl.DataFrame, *, name: str) -> dict[str, bytes]:
    """The files in such an object. Raises DatasetError where they are not what the manifest (`listed`) says."""
    table = sealed.decode(data or b"", name=name)
    files = {} if table is None or table.columns != ["key", "data"] else dict(table.iter_rows())
    wanted = listed.filter(pl.col("kind") != "image").select("key", *sums.Sums._fields)
    for key, md5, sha256 in wanted.iter_rows():
        if key not in files or not sums.of(files[key]).agree(md5, sha256):
            raise DatasetError(f"{name} is damaged, or not of this version: {key} is not what its manifest says.")
    return {key: files[key] for key in wanted["key"]}


@dataclass(frozen=True)
class Objects:
    """The two objects of a version, as bytes."""

    manifest: bytes
    documents: bytes

    @property
    def kept(self) -> Kept:
        """How a history names them."""
        return Kept(*(hashlib.md5(one).hexdigest() for one in (self.manifest, self.documents)))

    def by_key(self, version: str) -> dict[str, bytes]:
        """By where they lie."""
        return dict(zip(self.kept.keys(version), (self.manifest, self.documents), strict=True))


def objects(listed: pl.DataFrame, files: Mapping[str, bytes]) -> Objects:
    """Those of a version by its manifest and its files."""
    return Objects(manifest.encode(listed), archive(files))


def keys(kept: Mapping[str, Kept]) -> Iterable[str]:
    """Where all objects of these versions lie."""
    return (key for version, one in kept.items() for key in one.keys(version))

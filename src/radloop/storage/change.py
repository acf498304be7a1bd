"""From what a store holds of a unit to what a manifest says: `publish` computes it, `Store.commit` makes it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from radloop.errors import DatasetError, StoreError
from radloop.progress import Progress, silent
from radloop.storage.digests import Digests
from radloop.sums import Sums


class Row(NamedTuple):
    """One file of a manifest.

    `md5` is None only where a store without a manifest keeps none either, `sha256` also where a manifest of an earlier
    radloop has none.
    """

    key: str
    kind: str
    bytes: int
    md5: str | None
    sha256: str | None = None

    def agrees(self, sums: Sums) -> bool:
        """Whether a file with these sums is this one, as far as the manifest tells."""
        return self.md5 is not None and sums.agree(self.md5, self.sha256)


@dataclass(frozen=True)
class Stored:
    """What a listing says of one key. `md5` is None where the store keeps none."""

    bytes: int
    md5: str | None

    def holds(self, row: Row) -> bool:
        """Whether this is what the manifest says, as far as the store can tell."""
        return self.bytes == row.bytes and self.md5 in (None, row.md5)


@dataclass(frozen=True)
class Transfers:
    """How the files of a change get into the store."""

    sent_files: int = 0  # whose bytes travel
    sent_bytes: int = 0
    copied: int = 0  # keys made of bytes that the store has, or by links


@dataclass(frozen=True)
class Outcome:
    """How a batch ended: the last error in the store's words, None where there was none; and the keys whose
    source was gone."""

    error: str | None = None
    gone: frozenset[str] = frozenset()


class EndedError(StoreError):
    """The program that talks to the store has ended, and what was under way with it."""


@dataclass(frozen=True)
class Keeping:
    """What a change does to the versions that are kept beside the dataset; by default nothing.

    A picture that no file of the new version shows is kept under a name of its own before it goes.
    """

    history: bytes | None = None  # None: it stays as it is
    standing: bytes | None = None  # the one that the store holds now
    before: bytes | None = None  # the one to be written first, where a version is kept no more: what it lists is whole
    objects: Mapping[str, bytes] = field(default_factory=dict)  # by key: small ones that the store has not yet
    pictures: Mapping[str, Row] = field(default_factory=dict)  # by key: those that it has under another name
    sources: Mapping[str, str] = field(default_factory=dict)  # that name, by key
    gone: tuple[str, ...] = ()
    listing: Mapping[str, Stored] = field(default_factory=dict)  # what lies there now

    @property
    def changes_history(self) -> bool:
        """Whether the history is to be written."""
        return self.history is not None and self.history != self.standing

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be written or removed."""
        return bool(self.objects or self.pictures or self.gone or self.changes_history)


@dataclass(frozen=True)
class Change:
    """What makes the unit `prefix` of a store the dataset in the folder `root`."""

    root: Path
    prefix: str
    rows: Mapping[str, Row]  # all that the new manifest lists, by key
    manifest_file: bytes
    standing: bytes | None  # the manifest that the store holds now
    listing: Mapping[str, Stored]  # what it holds of the unit now
    journal: pl.DataFrame  # rows of every key that this or an unfinished publish writes, or owes the removal of
    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    gone: tuple[str, ...]  # to be removed
    unlisted: tuple[str, ...]  # in no manifest: left alone
    unverified: int  # of the unchanged, those that the store keeps no MD5 of
    unfinished: bool  # an earlier publish did not end
    owing: bytes | None = None  # the journal of that publish
    keeping: Keeping = Keeping()

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be written or removed."""
        differs = self.new or self.changed or self.gone or self.standing != self.manifest_file
        return bool(differs) or self.unfinished or self.keeping.is_needed

    def row(self, key: str) -> Row:
        """What is to lie under a key that is new or changed: of the dataset, or a picture that is kept."""
        return self.rows.get(key) or self.keeping.pictures[key]

    def require_sizes(self, keys: Iterable[str]) -> None:
        """Raise DatasetError where a file of `root` is missing or has another size than its manifest says."""
        for row in self._rows(keys):
            try:
                size = (self.root / row.key).stat().st_size
            except FileNotFoundError as missing:
                raise DatasetError(
                    f"{self.root / row.key} is in the manifest and not on disk. Run `radloop transform` again."
                ) from missing
            if size != row.bytes:
                raise self._damaged(row)

    def require_sound(
        self, keys: Iterable[str], *, digests: Digests | None = None, progress: Progress = silent
    ) -> None:
        """Raise DatasetError where a file of `root` is not what its manifest says, by size, MD5 and SHA-256."""
        rows = self._rows(keys)
        self.require_sizes(row.key for row in rows)
        found = (digests or Digests()).both((self.root / row.key for row in rows), progress=progress)
        for row in rows:
            if not row.agrees(found[self.root / row.key]):
                raise self._damaged(row)

    def _rows(self, keys: Iterable[str]) -> list[Row]:
        return [self.rows[key] for key in keys]

    def _damaged(self, row: Row) -> DatasetError:
        return DatasetError(
            f"{self.root / row.key} is not what the manifest says: it was changed after it was written. "
            "Run `radloop transform` again."
        )

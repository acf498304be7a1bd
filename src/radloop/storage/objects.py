"""Stores without folders and without renames, and the order of writes that lets a kill at any moment lose nothing.

Everything is idempotent, and the second run begins by reading what the first one left:

1. `publishing.parquet`, the journal: every key that this or an unfinished earlier publish may have written or owes
   the removal of, so that whoever comes next can finish or undo;
2. new keys, which no reader knows of yet: of the version, of what is kept of it, and of the pictures that it drops;
3. `publishing`, the marker: from here on readers are told to wait;
4. changed keys; 5. the history of versions, whose last entry counts only if it is the manifest's; the manifest;
6. removal of what an earlier manifest (or the journal) lists and this one does not, and of what no version needs;
7. the journal goes, then the marker.
"""

import hashlib
import secrets
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from radloop import manifest
from radloop.catalog.history import NAME as HISTORY
from radloop.errors import DatasetError, StoreError
from radloop.progress import Parts, Progress, silent
from radloop.storage import overtaking
from radloop.storage.change import Change, Outcome, Stored, Transfers
from radloop.storage.layout import JOURNAL, MARKER, key_in, of_versions, within
from radloop.storage.quickest import Arrived, Sender, ignored
from radloop.tables import MANIFEST

_TRIES: Final = 3  # in a row that bring little
_MUCH: Final = 20  # a twentieth of what was missing
_REHEARSAL: Final = ".radloop-rehearsal"
_MARKER_TEXT: Final = b"A publish is in progress, or was cut off: then run `radloop load` again.\n"


class ObjectStore(ABC):
    """Objects one by one, each whole or not at all; what such a store can do with them is abstract here.

    Keys are relative to `prefix`. `upload` and `copy` raise StoreError only for what another try cannot mend; what
    came through otherwise is for the next listing to say. `storage.Store` says what the other methods promise.
    """

    address: str
    settle_seconds: float = 60.0  # how long a listing may lag behind what was written
    finds_quickest: bool = False  # whether `upload` and `copy` may be timed, and called at the same time
    clock: Callable[[], float] = staticmethod(time.monotonic)

    @property
    @abstractmethod
    def can_copy(self) -> bool:
        """Whether `copy` works."""

    @abstractmethod
    def preflight(self) -> None: ...

    def rehearse(self) -> None:
        """Write one small object beside the units and remove it."""
        self.preflight()
        self.put(_REHEARSAL, b"A load is about to begin, and looks whether it may write here.\n")
        self.delete("", [_REHEARSAL])

    @abstractmethod
    def list(self, prefix: str = "", *, progress: Progress = silent) -> dict[str, Stored]: ...

    @abstractmethod
    def top(self) -> set[str]: ...

    @abstractmethod
    def get(self, key: str) -> bytes | None: ...

    @abstractmethod
    def fetch(
        self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent
    ) -> dict[str, Path]: ...

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write one small object; it is there when this returns."""

    @abstractmethod
    def upload(
        self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent, arrived: Arrived = ignored
    ) -> Outcome:
        """Send the files `root`/key; `arrived` may be told of those that are there, in this thread."""

    @abstractmethod
    def copy(self, prefix: str, sources: Mapping[str, str], *, progress: Progress = silent) -> Outcome:
        """Let the store make each target from its source, {target: source}; no bytes travel."""

    @abstractmethod
    def delete(self, prefix: str, keys: Iterable[str]) -> None:
        """Remove objects; what is missing already is no error."""

    @abstractmethod
    def close(self) -> None: ...

    def admit(self, root: Path, prefix: str) -> None:  # noqa: B027 - nothing to refuse
        """Take every folder: none lies in the store."""

    def recover(self, prefix: str) -> None:  # noqa: B027 - the journal is a matter of the next change
        """Leave all as it is: the next change takes over what a killed one left."""

    def foresee(self, change: Change) -> Transfers:
        """What `commit` would send and copy if nothing failed."""
        sent_files = sent_bytes = copied = 0
        listing = {**change.listing, **change.keeping.listing}
        for keys in ((*change.new, *change.keeping.pictures), change.changed):
            uploads, copies = _route(change, keys, listing, can_copy=self.can_copy)
            listing |= {key: Stored(change.row(key).bytes, change.row(key).md5) for key in keys}
            sent_files += len(uploads)
            sent_bytes += sum(change.row(key).bytes for key in uploads)
            copied += len(copies)
        sent_files, sent_bytes = _with_objects(change, sent_files, sent_bytes)
        return Transfers(sent_files, sent_bytes, copied)

    def commit(self, change: Change, *, progress: Progress = silent) -> Transfers:
        """Make the change in the seven steps at the top of this file."""
        if not change.is_needed:
            return Transfers()
        change.require_sizes(change.new)
        change.require_sound(change.changed, progress=progress)

        commit = _Commit(self, change, progress)
        keeping = change.keeping
        commit.require_quiet()
        commit.put(JOURNAL, commit.journal)
        if keeping.before is not None:
            commit.put(HISTORY, keeping.before)
        for key, data in keeping.objects.items():
            commit.put(key, data)
        listing = commit.send((*change.new, *keeping.pictures), {**change.listing, **keeping.listing})
        commit.require_alone(change.standing)
        commit.put(MARKER, _MARKER_TEXT)
        commit.send(change.changed, listing)
        commit.require_alone(change.standing)
        if keeping.history is not None and keeping.changes_history:
            commit.put(HISTORY, keeping.history)
        commit.put(manifest.NAME, change.manifest_file)
        commit.require_not_overtaken()
        commit.require_alone(change.manifest_file)
        self.delete(change.prefix, (*change.gone, *keeping.gone))
        commit.require_alone(change.manifest_file)
        self.delete(change.prefix, [JOURNAL])
        self.delete(change.prefix, [MARKER])
        return commit.transfers


class _Commit:
    """One commit: sends until the store shows it, counts what was sent, and notices another publisher."""

    def __init__(self, store: ObjectStore, change: Change, progress: Progress) -> None:
        self.journal = _signed(change.journal)
        self._carried: list[str] = []
        self._kept = 0  # pictures that no file of the new version shows, copied
        self._store = store
        self._change = change
        self._progress = progress
        parts = Parts(progress)
        self._sender = Sender(
            lambda keys, arrived: store.upload(
                change.root, change.prefix, keys, progress=parts.part(), arrived=arrived
            ),
            lambda sources: store.copy(change.prefix, sources, progress=parts.part()),
            tries=store.finds_quickest,
            clock=store.clock,
        )

    @property
    def transfers(self) -> Transfers:
        """What was done so far."""
        sent = [*self._sender.uploaded, *self._carried]
        sent_bytes = sum(self._change.row(key).bytes for key in sent)
        return Transfers(*_with_objects(self._change, len(sent), sent_bytes), self._sender.copied + self._kept)

    def put(self, name: str, data: bytes) -> None:
        self._store.put(key_in(self._change.prefix, name), data)

    def send(self, keys: Collection[str], listing: Mapping[str, Stored]) -> Mapping[str, Stored]:
        """Send `keys` until the listing shows every one with its size and MD5; the listing that shows it."""
        missing, no_source, outcome, attempt = list(keys), set[str](), Outcome(), 0
        while missing and attempt < _TRIES:
            if attempt:
                self.require_alone(self._change.standing)  # what is missing may be what another one has put there
            if outcome.error:
                time.sleep(max(attempt, 1))  # what has just failed needs a moment
            outcome = self._send_once(missing, listing, no_source)
            no_source |= outcome.gone
            patience = 0.0 if outcome.error else self._store.settle_seconds / _TRIES
            before = len(missing)
            listing, missing = self._await_listing(missing, patience)
            if attempt and outcome.error and len(missing) == before:
                break  # the server is down
            # where much has arrived another try is worth it, however often a token expires
            attempt = 0 if before - len(missing) > before // _MUCH else attempt + 1
        if not missing:
            return listing
        self._change.require_sound([key for key in missing if key in self._change.rows], progress=self._progress)
        raise StoreError(
            f"{self._store.address}: {len(missing)} of {len(keys)} objects did not arrive, first {missing[0]}: "
            f"{outcome.error or 'the listing does not show them'}. What has arrived stays there; "
            "run the same command again to send the rest."
        )

    def _send_once(self, keys: Collection[str], listing: Mapping[str, Stored], no_source: Collection[str]) -> Outcome:
        change, store = self._change, self._store
        uploads, copies = _route(change, keys, listing, can_copy=store.can_copy, no_source=no_source)
        carried = [key for key in uploads if key not in change.rows]
        kept = {target: source for target, source in copies.items() if target not in change.rows}
        if carried:
            self._carried += carried
            if (outcome := self._carry(carried)).error:
                return outcome
        outcome = self._sender.send(
            [key for key in uploads if key in change.rows],
            {target: source for target, source in copies.items() if target in change.rows},
        )
        if outcome.error:  # not every source of a copy may have arrived
            kept = {target: source for target, source in kept.items() if source in listing}
        if not kept:
            return outcome
        self._kept += len(kept)
        copied = store.copy(change.prefix, kept, progress=self._progress)
        return Outcome(outcome.error or copied.error, outcome.gone | copied.gone)

    def _carry(self, keys: Sequence[str]) -> Outcome:
        """Keep pictures that the store cannot copy by itself: bring them here, verify them, send them."""
        change, store, sources = self._change, self._store, self._change.keeping.sources
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            paths = store.fetch(change.prefix, [sources[key] for key in keys], root / "brought")
            for key in keys:
                path = paths.get(sources[key])
                if path is None or hashlib.md5(path.read_bytes()).hexdigest() != change.row(key).md5:
                    raise StoreError(
                        f"{store.address}: {sources[key]} is missing, or not what its manifest says, and the version "
                        "that lists it cannot be kept. Run `radloop check` on the store, or leave earlier versions "
                        "with --keep-versions 0."
                    )
                (root / key).parent.mkdir(parents=True, exist_ok=True)
                path.replace(root / key)
            return store.upload(root, change.prefix, keys, progress=self._progress)

    def _await_listing(self, keys: Collection[str], seconds: float) -> tuple[dict[str, Stored], list[str]]:
        """The listing and those of `keys` that it does not show right, once it shows all or `seconds` have passed."""
        deadline = time.monotonic() + seconds
        pause = 0.1
        while True:
            shown = self._store.list(self._change.prefix)
            listing = within(shown) | of_versions(shown)
            wrong = [key for key in keys if key not in listing or not listing[key].holds(self._change.row(key))]
            if not wrong or time.monotonic() + pause > deadline:
                return listing, wrong
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    def require_quiet(self) -> None:
        """Raise StoreError where another publish has begun, or ended, since the store was looked at."""
        change = self._change
        journal, listed = (self._store.get(key_in(change.prefix, name)) for name in (JOURNAL, manifest.NAME))
        if (journal, listed) != (change.owing, change.standing):
            raise self._not_alone()

    def require_not_overtaken(self) -> None:
        """Raise StoreError where another publish began and ended between the last look and the manifest's write.

        Nobody was told to wait for the version that it published, and what it holds out would be forgotten, so that
        version is the current one again, and this one never was.
        """
        change = self._change
        if self._store.get(key_in(change.prefix, JOURNAL)) == self.journal:
            return
        overtaken = overtaking.find(change, self._store)
        if overtaken is None:
            return
        self.put(HISTORY, overtaken.history)
        self.put(manifest.NAME, overtaken.manifest_file)
        self._store.delete(change.prefix, overtaken.ours)
        shown = within(self._store.list(change.prefix))
        if not all(row.key in shown and shown[row.key].holds(row) for row in overtaken.rows):
            self.put(JOURNAL, _signed(change.journal))
            self.put(MARKER, _MARKER_TEXT)
        raise StoreError(
            f"{self._store.address}: version {overtaken.version} was published there from elsewhere in the very moment "
            "in which this one would have been, and it stands. Run `radloop transform` with this --store, which "
            "continues it, and load again; where it says that a publish is unfinished, first `radloop load` there."
        )

    def _not_alone(self) -> StoreError:
        return StoreError(
            f"{self._store.address}: another load was at work there at the same time. "
            "Run the same command again when nobody else does."
        )

    def require_alone(self, standing: bytes | None) -> None:
        """Raise StoreError where the journal is no longer ours, or the manifest not the one that is `standing`.

        Objects cannot be locked, so another publish is only noticed. Readers are told to wait, and the journal owes
        what both of them do: whoever comes next completes either.
        """
        prefix = self._change.prefix
        journal, listed = (self._store.get(key_in(prefix, name)) for name in (JOURNAL, manifest.NAME))
        if journal == self.journal and listed == standing:
            return
        both = pl.concat([self._change.journal, _rows_in(journal)]).unique("key", keep="first")
        theirs = _signed(both)
        for _ in range(_TRIES):  # who has just ended may take them away once
            self.put(JOURNAL, theirs)
            self.put(MARKER, _MARKER_TEXT)
            if self._store.get(key_in(prefix, JOURNAL)) is not None:
                break
        raise self._not_alone()


def _signed(rows: pl.DataFrame) -> bytes:
    """A journal with these rows that nobody else writes: where two owe the same, each must know its own."""
    signature = {"key": MARKER, "kind": "document", "bytes": len(_MARKER_TEXT), "md5": secrets.token_hex(16)}
    row = pl.DataFrame([signature]).match_to_schema(MANIFEST, missing_columns="insert", integer_cast="upcast")
    return manifest.encode(pl.concat([rows.filter(pl.col("key") != MARKER), row]))


def _rows_in(journal: bytes | None) -> pl.DataFrame:
    """The rows of another publisher's journal; none where it is gone or damaged."""
    try:
        return manifest.decode(journal or b"", name=JOURNAL)
    except DatasetError:
        return pl.DataFrame(schema=MANIFEST)


def _with_objects(change: Change, files: int, sent_bytes: int) -> tuple[int, int]:
    """With what is kept of the version as objects."""
    objects = change.keeping.objects
    return files + len(objects), sent_bytes + sum(map(len, objects.values()))


def _route(
    change: Change,
    keys: Iterable[str],
    listing: Mapping[str, Stored],
    *,
    can_copy: bool,
    no_source: Collection[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """Which of `keys` are uploaded, and which pictures the store makes from another key: {target: source}.

    No source is itself among `keys`, unless it is uploaded before the copies begin.
    """
    moving = set(keys)
    sources: dict[str | None, str] = {
        stored.md5: key for key, stored in listing.items() if stored.md5 and key not in moving
    }
    uploads: list[str] = []
    copies: dict[str, str] = {}
    for key in sorted(moving):
        row = change.row(key)
        source = sources.get(row.md5) if row.kind == "image" and can_copy and key not in no_source else None
        if source is None:
            uploads.append(key)
            sources[row.md5] = key
        else:
            copies[key] = source
    return uploads, copies

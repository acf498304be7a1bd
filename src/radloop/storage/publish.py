"""Publishing a dataset so that a kill at any moment loses nothing, bringing it back, and verifying what is there.

A folder is switched by one rename (`folder.replace_unit`). An object store has no rename, so the order of the
writes has to do it; everything is idempotent, and the second run begins by reading what the first one left:

1. `publishing.parquet`, the journal: every key that this or an unfinished earlier publish may have written or owes
   the removal of, so that whoever comes next can finish or undo;
2. new keys, which no reader knows of yet;
3. `publishing`, the marker: from here on readers are told to wait;
4. changed keys; 5. the manifest; 6. removal of what an earlier manifest (or the journal) lists and this one does not;
7. the journal goes, then the marker.
"""

import hashlib
import re
import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import msgspec
import polars as pl

from radloop import files, manifest
from radloop.errors import UNDECODABLE, DatasetError, StoreError
from radloop.progress import Progress, silent
from radloop.storage import ObjectStore, Outcome, Store, Stored
from radloop.storage.folder import Digests, FolderStore, explained, replace_unit
from radloop.tables import MANIFEST, SPLITS, Split

MARKER: Final = "publishing"
JOURNAL: Final = "publishing.parquet"
_OURS: Final = frozenset({manifest.NAME, MARKER, JOURNAL})

# what a killed rclone leaves of a key in a remote that is a file system
_PARTIAL: Final = re.compile(r"(.+)\.[0-9a-f]{8}\.partial")

SETTLE_SECONDS: Final = 60.0  # how long a listing may lag behind what was written
_TRIES: Final = 3
_MARKER_TEXT: Final = b"A publish is in progress, or was cut off: then run `radloop load` again.\n"


class Row(NamedTuple):
    """One file of a manifest. `md5` is None only where a store without a manifest keeps none either."""

    key: str
    kind: str
    bytes: int
    md5: str | None


@dataclass(frozen=True)
class Published:
    """What a publish did, or with `dry_run` would do."""

    address: str
    version: str
    previous_version: str | None
    sent_files: int  # whose bytes travelled
    sent_bytes: int
    copied: int  # keys made of bytes that the store had, or by links
    unchanged: int
    removed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pulled:
    """What a pull brought."""

    version: str | None  # None where the store has no manifest
    files: int
    received_files: int  # whose bytes travelled: each distinct content once
    received_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """One thing that `verify` found. rule: publishing, manifest, missing, changed, unverified or unlisted."""

    rule: str
    key: str
    detail: str


@dataclass(frozen=True)
class _Change:
    """From what the store holds to what the manifest says."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    gone: tuple[str, ...]
    unlisted: tuple[str, ...]
    unverified: int


@dataclass
class _Tally:
    sent_files: int = 0
    sent_bytes: int = 0
    copied: int = 0
    notes: list[str] = field(default_factory=list)


def publish(
    root: Path,
    store: Store,
    *,
    prefix: str = manifest.UNIT,
    keep_old: bool = False,
    dry_run: bool = False,
    settle_seconds: float = SETTLE_SECONDS,
    progress: Progress = silent,
) -> Published:
    """Make the unit `prefix` of `store` the dataset in the folder `root`, and verify it by size and MD5.

    Sends only what the store does not hold; of each distinct picture one copy. `settle_seconds` bounds the wait for
    a listing that lags. Raises DatasetError where `root` is not what its manifest says, StoreError where the store
    refuses or fails; the same command then goes on from there.
    """
    if isinstance(store, FolderStore) and (store.root / prefix).resolve() == root.resolve():
        raise StoreError(f"{root}: a dataset cannot be published onto itself. Choose another --store.")
    manifest_file, table = _read_unit(root)
    rows = {row.key: row for row in _rows(table)}

    held = store.get(key_in(prefix, manifest.NAME))
    tally = _Tally()
    last = _known(held, f"{store.address}: {manifest.NAME}", tally)
    owed = last
    journal = marker = None
    if isinstance(store, ObjectStore):
        journal, marker = store.get(key_in(prefix, JOURNAL)), store.get(key_in(prefix, MARKER))
        owed = pl.concat([last, _known(journal, f"{store.address}: {JOURNAL}", tally)]).unique("key", keep="first")
    listing = _unit(store.list(prefix))
    # while the marker stands, the keys that were to change may hold either version
    promised = {} if marker is not None else dict(last.select("key", "md5").iter_rows())
    change = _compare(rows, listing, promised=promised, owed=set(owed["key"].to_list()), keep_old=keep_old)
    unfinished = journal is not None or marker is not None
    if unfinished:
        tally.notes.append("an earlier publish did not end; this one took over from it")
    if change.unlisted:
        tally.notes.append(f"{len(change.unlisted)} objects that no manifest lists were left alone")
    if change.unverified:
        tally.notes.append(f"{change.unverified} objects are unverified: the store keeps no MD5, sizes were compared")

    idle = held == manifest_file and not (change.new or change.changed or change.gone or unfinished)
    if isinstance(store, ObjectStore):
        if dry_run:
            _foresee(rows, change, listing, store.can_copy, tally)
        elif not idle:
            job = _Job(store, root, prefix, rows, settle_seconds, tally, progress)
            _publish_in_order(
                job, change, owed=owed, table=table, held=held, manifest_file=manifest_file, listing=listing
            )
    elif isinstance(store, FolderStore):
        tally.copied = len(change.new) + len(change.changed)
        if not dry_run:
            store.clean(prefix)
            if not idle:
                tally.sent_bytes = _publish_by_rename(store, root, prefix, rows, change, manifest_file, progress)
    return Published(
        address=f"{store.address}/{prefix}",
        version=manifest.version(table),
        previous_version=manifest.version(last) if len(last) else None,
        sent_files=tally.sent_files,
        sent_bytes=tally.sent_bytes,
        copied=tally.copied,
        unchanged=len(change.unchanged),
        removed=len(change.gone),
        notes=tuple(tally.notes),
    )


def _read_unit(root: Path) -> tuple[bytes, pl.DataFrame]:
    try:
        data = (root / manifest.NAME).read_bytes()
    except FileNotFoundError as missing:
        raise DatasetError(
            f"{root} holds no {manifest.NAME}, so nothing says what to publish. Run `radloop transform`."
        ) from missing
    table = manifest.decode(data, name=str(root / manifest.NAME))
    told = _told_version(root / "summary.json")
    if told not in (None, manifest.version(table)):
        raise DatasetError(
            f"{root} is a part of version {told} (pulled with --splits), and publishing it would remove the rest. "
            "Pull all of it first."
        )
    return data, table


def _told_version(summary: Path) -> str | None:
    try:
        return _summary_version(summary.read_bytes())
    except FileNotFoundError:
        return None


def _summary_version(data: bytes) -> str | None:
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("version")
    except UNDECODABLE:
        return None
    return version if isinstance(version, str) else None


def _rows(table: pl.DataFrame) -> Iterable[Row]:
    return map(Row._make, table.select(Row._fields).iter_rows())


def _known(data: bytes | None, name: str, tally: _Tally) -> pl.DataFrame:
    """The rows of a manifest in the store; none where it is missing or damaged: then nothing is removed for it."""
    if data is not None:
        try:
            return manifest.decode(data, name=name)
        except DatasetError as damaged:
            tally.notes.append(f"{damaged} It is replaced; what it listed is left alone.")
    return pl.DataFrame(schema=MANIFEST)


def _unit(listing: Mapping[str, Stored]) -> dict[str, Stored]:
    """A listing without the unit inside this one and without the publisher's own files."""
    return {
        key: stored
        for key, stored in listing.items()
        if key not in _OURS and not key.startswith(f"{manifest.RETRAIN}/")
    }


def _compare(
    rows: Mapping[str, Row],
    listing: Mapping[str, Stored],
    *,
    promised: Mapping[str, str],
    owed: set[str],
    keep_old: bool,
) -> _Change:
    new, changed, unchanged, unverified = [], [], [], 0
    for key, row in rows.items():
        stored = listing.get(key)
        if stored is None:
            new.append(key)
        elif stored.bytes == row.bytes and (stored.md5 or promised.get(key)) == row.md5:
            # a store that keeps no MD5s is believed what its manifest promised
            unchanged.append(key)
            unverified += stored.md5 is None
        else:
            changed.append(key)
    old = owed - rows.keys()
    known = _OURS | owed | rows.keys()
    cut = {key for key in listing if (part := _PARTIAL.fullmatch(key)) and part[1] in known}
    return _Change(
        new=tuple(new),
        changed=tuple(changed),
        unchanged=tuple(unchanged),
        gone=tuple(sorted(cut if keep_old else cut | (old & listing.keys()))),
        unlisted=tuple(sorted(listing.keys() - rows.keys() - owed - cut)),
        unverified=unverified,
    )


def _publish_by_rename(
    store: FolderStore,
    root: Path,
    prefix: str,
    rows: Mapping[str, Row],
    change: _Change,
    manifest_file: bytes,
    progress: Progress,
) -> int:
    sent = {*change.new, *change.changed}
    _require_sound(root, [rows[key] for key in sent], digests=store.digests, progress=progress)
    unit = store.root / prefix
    placed = {key: (root if key in sent else unit) / key for key in rows}
    return store.replace(prefix, placed, manifest_file=manifest_file, gone=change.gone, progress=progress)


@dataclass(frozen=True)
class _Job:
    """One publish to an object store: where from, where to, and how patient."""

    store: ObjectStore
    root: Path
    prefix: str
    rows: Mapping[str, Row]
    settle_seconds: float
    tally: _Tally
    progress: Progress

    def put(self, name: str, data: bytes) -> None:
        self.store.put(key_in(self.prefix, name), data)


def _publish_in_order(
    job: _Job,
    change: _Change,
    *,
    owed: pl.DataFrame,
    table: pl.DataFrame,
    held: bytes | None,
    manifest_file: bytes,
    listing: Mapping[str, Stored],
) -> None:
    """The seven steps at the top of this file."""
    _require_sizes(job.root, [job.rows[key] for key in change.new])
    _require_sound(job.root, [job.rows[key] for key in change.changed], progress=job.progress)

    unfinished = pl.concat([owed, table.filter(pl.col("key").is_in(change.new))]).unique("key", keep="last")
    job.put(JOURNAL, manifest.encode(unfinished))
    listing = _send(job, change.new, listing)
    job.put(MARKER, _MARKER_TEXT)
    _send(job, change.changed, listing)
    _require_alone(job, unfinished, held)
    job.put(manifest.NAME, manifest_file)
    _require_alone(job, unfinished, manifest_file)
    job.store.delete(job.prefix, change.gone)
    _require_alone(job, unfinished, manifest_file)
    job.store.delete(job.prefix, [JOURNAL])
    job.store.delete(job.prefix, [MARKER])


def _require_alone(job: _Job, unfinished: pl.DataFrame, standing: bytes | None) -> None:
    """Raise StoreError where the journal is no longer ours, or the manifest not the one that is `standing`.

    rclone cannot lock a store, so another publish is only noticed. Readers are told to wait, and the journal owes what
    both of them do: whoever comes next completes either.
    """
    journal, told = (job.store.get(key_in(job.prefix, name)) for name in (JOURNAL, manifest.NAME))
    if journal == manifest.encode(unfinished) and told == standing:
        return
    theirs = _known(journal, JOURNAL, job.tally)
    job.put(JOURNAL, manifest.encode(pl.concat([unfinished, theirs]).unique("key", keep="first")))
    job.put(MARKER, _MARKER_TEXT)
    raise StoreError(
        f"{job.store.address}: another load was at work there at the same time. "
        "Run the same command again when nobody else does."
    )


def _send(job: _Job, keys: Collection[str], listing: Mapping[str, Stored]) -> Mapping[str, Stored]:
    """Send `keys` until the listing shows every one with its size and MD5; the listing that shows it."""
    missing, no_source, outcome = list(keys), set[str](), Outcome()
    for attempt in range(_TRIES):
        if not missing:
            return listing
        if attempt and outcome.error:
            time.sleep(attempt)  # what has just failed needs a moment
        uploads, copies = _route(job.rows, missing, listing, can_copy=job.store.can_copy, no_source=no_source)
        outcome = job.store.upload(job.root, job.prefix, uploads, progress=job.progress)
        job.tally.sent_files += len(uploads)
        job.tally.sent_bytes += sum(job.rows[key].bytes for key in uploads)
        if outcome.error:  # not every source of a copy may have arrived
            copies = {target: source for target, source in copies.items() if source in listing}
        if copies:
            copied = job.store.copy(job.prefix, copies, progress=job.progress)
            no_source |= copied.gone
            job.tally.copied += len(copies)
            outcome = Outcome(outcome.error or copied.error)
        patience = 0.0 if outcome.error else job.settle_seconds / _TRIES
        before = len(missing)
        listing, missing = _await_listing(job, missing, patience)
        if attempt and outcome.error and len(missing) == before:
            break  # the server is down
    if not missing:
        return listing
    _require_sound(job.root, [job.rows[key] for key in missing], progress=job.progress)
    raise StoreError(
        f"{job.store.address}: {len(missing)} of {len(keys)} objects did not arrive, first {missing[0]}: "
        f"{outcome.error or 'the listing does not show them'}. What has arrived stays there; "
        "run the same command again to send the rest."
    )


def _route(
    rows: Mapping[str, Row],
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
        row = rows[key]
        source = sources.get(row.md5) if row.kind == "image" and can_copy and key not in no_source else None
        if source is None:
            uploads.append(key)
            sources[row.md5] = key
        else:
            copies[key] = source
    return uploads, copies


def _foresee(
    rows: Mapping[str, Row], change: _Change, listing: Mapping[str, Stored], can_copy: bool, tally: _Tally
) -> None:
    for keys in (change.new, change.changed):
        uploads, copies = _route(rows, keys, listing, can_copy=can_copy)
        tally.sent_files += len(uploads)
        tally.sent_bytes += sum(rows[key].bytes for key in uploads)
        tally.copied += len(copies)


def _await_listing(job: _Job, keys: Collection[str], seconds: float) -> tuple[dict[str, Stored], list[str]]:
    """The listing and those of `keys` that it does not show right, once it shows all or `seconds` have passed."""
    deadline = time.monotonic() + seconds
    pause = 0.1
    while True:
        listing = _unit(job.store.list(job.prefix))
        wrong = [key for key in keys if not _holds(listing.get(key), job.rows[key])]
        if not wrong or time.monotonic() + pause > deadline:
            return listing, wrong
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _holds(stored: Stored | None, row: Row) -> bool:
    return stored is not None and stored.bytes == row.bytes and stored.md5 in (None, row.md5)


def _require_sizes(root: Path, rows: Iterable[Row]) -> None:
    for row in rows:
        try:
            size = (root / row.key).stat().st_size
        except FileNotFoundError as missing:
            raise DatasetError(
                f"{root / row.key} is in the manifest and not on disk. Run `radloop transform` again."
            ) from missing
        if size != row.bytes:
            raise _damaged(root, row)


def _require_sound(
    root: Path, rows: Collection[Row], *, digests: Digests | None = None, progress: Progress = silent
) -> None:
    """Raise DatasetError where a file of `root` is not what its manifest says."""
    _require_sizes(root, rows)
    md5s = (digests or Digests()).of((root / row.key for row in rows), progress=progress)
    for row in rows:
        if md5s[root / row.key] != row.md5:
            raise _damaged(root, row)


def _damaged(root: Path, row: Row) -> DatasetError:
    return DatasetError(
        f"{root / row.key} is not what the manifest says: it was changed after it was written. "
        "Run `radloop transform` again."
    )


def resolve_prefix(store: Store) -> str:
    """The unit that `store` means: itself where a dataset lies at its root, else its `organized/` child."""
    names = store.top()
    at_root = bool(names & {manifest.NAME, "data.yaml"}) or (manifest.UNIT not in names and bool(names & set(SPLITS)))
    return "" if at_root else manifest.UNIT


def read_manifest(store: Store, *, prefix: str = manifest.UNIT) -> pl.DataFrame | None:
    """The manifest of a published unit; None where it has none.

    Raises StoreError while a publish is in progress: what the manifest says and what is there may differ then.
    """
    _require_quiet(store, prefix)
    data = store.get(key_in(prefix, manifest.NAME))
    return None if data is None else manifest.decode(data, name=f"{store.address}/{key_in(prefix, manifest.NAME)}")


def listed(store: Store, *, prefix: str = manifest.UNIT) -> pl.DataFrame:
    """A manifest made up from the listing of a unit that has none: kinds, splits and readers by name, unverified.

    `md5` is null where the store keeps none. Raises StoreError where nothing is there.
    """
    rows = []
    for key, stored in sorted(_unit(store.list(prefix)).items()):
        if not manifest.is_safe_key(key):
            continue
        parts = key.split("/")
        within = len(parts) == 3 and parts[0] in SPLITS and parts[1] in ("images", "labels")
        image_id, _, rad_id = PurePosixPath(key).stem.rpartition("_")
        rows.append(
            {
                "key": key,
                "kind": parts[1].removesuffix("s") if within else "yaml" if key.endswith(".yaml") else "document",
                "image_id": (image_id or rad_id) if within else None,
                "rad_id": rad_id if within and image_id else None,
                "split": parts[0] if within else None,
                "bytes": stored.bytes,
                "md5": stored.md5 or None,
            }
        )
    if not rows:
        raise StoreError(f"{store.address} holds nothing under {prefix or '/'}. Run `radloop load`, or check the name.")
    return pl.DataFrame(rows, schema=MANIFEST)


def pull(
    store: Store,
    root: Path,
    *,
    prefix: str = manifest.UNIT,
    splits: Sequence[Split] | None = None,
    progress: Progress = silent,
) -> Pulled:
    """Make the folder `root` the dataset under `prefix`, or its `splits` and every file that belongs to no split.

    Each distinct content travels once and is verified by MD5; what `root` has already does not travel. The old
    folder or the new, by one rename; files in it that no manifest lists stay. With `splits` the manifest lists what
    was pulled. Killed, it goes on where it was. Raises StoreError while a publish is in progress.
    """
    table = read_manifest(store, prefix=prefix)
    notes = []
    whole = table
    if table is None:
        table = listed(store, prefix=prefix)
        notes.append(f"unverified: {store.address} has no {manifest.NAME}, so its listing was taken at its word")
    if splits is not None:
        table = table.filter(pl.col("split").is_null() | pl.col("split").is_in(splits))
        notes.append(f"only {', '.join(splits)}: this folder cannot be published again")

    rows = list(_rows(table))
    old = _local(root)
    cache = root.parent / f".{root.name}.pull"
    with explained(str(root)):
        files.recover_tree(root)
        reused = _sound_files(root, old, {row.md5 for row in rows})
        travelling = [row for row in rows if row.md5 not in reused]
        placed = fetch(store, travelling, cache, prefix=prefix, progress=progress)
        received = {placed[row.key]: row.bytes for row in travelling}
        placed |= {row.key: reused[row.md5] for row in rows if row.md5 in reused}
        manifest_file = None if whole is None else manifest.encode(table)
        gone = set() if old is None else set(old["key"].to_list()) - placed.keys()
        replace_unit(
            root, root.parent / f".{root.name}.new", placed, manifest_file=manifest_file, gone=gone, progress=progress
        )
        shutil.rmtree(cache, ignore_errors=True)
    return Pulled(
        version=None if whole is None else manifest.version(whole),
        files=len(rows),
        received_files=len(received),
        received_bytes=sum(received.values()),
        notes=tuple(notes),
    )


def _local(root: Path) -> pl.DataFrame | None:
    try:
        return manifest.read(root)
    except DatasetError:  # damaged: it claims nothing, so nothing is removed for it
        return None


def _sound_files(root: Path, old: pl.DataFrame | None, wanted: set[str | None]) -> dict[str | None, Path]:
    """{md5: a file in `root` that has it}, as far as the old manifest leads there."""
    if old is None:
        return {}
    candidates = [root / row.key for row in _rows(old) if row.md5 in wanted and (root / row.key).is_file()]
    return {md5: path for path, md5 in Digests().of(candidates).items() if md5 in wanted}


def fetch(
    store: Store,
    rows: Iterable[Row],
    cache: Path,
    *,
    prefix: str = manifest.UNIT,
    progress: Progress = silent,
) -> dict[str, Path]:
    """Bring the bytes of `rows` to this machine: {key: path}, each distinct content once, verified by MD5.

    `cache` keeps them by MD5 for the next call and for a next try; a folder store's files are used where they lie.
    Raises StoreError for what is missing or not what the manifest says.
    """
    rows = list(rows)
    with explained(store.address):
        have = _fetch_contents(store, rows, cache, prefix, progress)
    return {row.key: have[_content(row)] for row in rows}


def _fetch_contents(store: Store, rows: Sequence[Row], cache: Path, prefix: str, progress: Progress) -> dict[str, Path]:
    firsts = {_content(row): row for row in reversed(rows)}  # any key will do, the first is the same every time
    cache = cache.absolute()  # as the store tells what has come in
    incoming = cache / "incoming"
    have = _adopt(firsts, {name: cache / name[:2] / name for name in firsts})
    arrived = {name: incoming / row.key for name, row in firsts.items() if name not in have}
    have |= _keep(cache, incoming, _adopt(firsts, arrived))
    shutil.rmtree(incoming, ignore_errors=True)  # what is damaged there would be taken for what was asked for
    lacking = {name: row for name, row in firsts.items() if name not in have}
    if lacking:
        paths = store.fetch(prefix, [row.key for row in lacking.values()], incoming, progress=progress)
        found = {name: paths[row.key] for name, row in lacking.items() if row.key in paths}
        have |= _keep(cache, incoming, _adopt(lacking, found, progress))
        shutil.rmtree(incoming, ignore_errors=True)
    wrong = [row for name, row in firsts.items() if name not in have]
    if wrong:
        _require_quiet(store, prefix)
        raise StoreError(
            f"{store.address}: {len(wrong)} objects are missing or not what the manifest says, first "
            f"{key_in(prefix, wrong[0].key)}. `radloop check {store.address}` lists them, `radloop load` repairs them."
        )
    return have


def _content(row: Row) -> str:
    return row.md5 or "unverified-" + hashlib.md5(row.key.encode()).hexdigest()


def _adopt(rows: Mapping[str, Row], paths: Mapping[str, Path], progress: Progress = silent) -> dict[str, Path]:
    """Those of `paths` (by content) that hold what their row says; for a row without MD5, as many bytes."""
    present = {name: path for name, path in paths.items() if path.is_file()}
    md5s = Digests().of(present.values(), progress=progress)
    return {
        name: path
        for name, path in present.items()
        if (rows[name].md5 == md5s[path] if rows[name].md5 else rows[name].bytes == path.stat().st_size)
    }


def _keep(cache: Path, incoming: Path, sound: Mapping[str, Path]) -> dict[str, Path]:
    """Move what has come in to its place by content; what lies elsewhere stays there."""
    kept = {}
    for name, path in sound.items():
        kept[name] = path
        if path.is_relative_to(incoming):
            kept[name] = cache / name[:2] / name
            kept[name].parent.mkdir(parents=True, exist_ok=True)
            path.replace(kept[name])
    return kept


def verify(store: Store, *, prefix: str = manifest.UNIT, progress: Progress = silent) -> list[Problem]:
    """Compare what the store holds with its manifest, from one listing; and the manifest with the summary's version.

    Every problem but `unverified` and `unlisted` means that a pull would fail or bring something else. Raises
    StoreError where the store cannot be read or holds no manifest.
    """
    data = store.get(key_in(prefix, manifest.NAME))
    if data is None:
        raise StoreError(f"{store.address}/{prefix} holds no {manifest.NAME}: nothing says what should be there.")
    problems = []
    if store.get(key_in(prefix, MARKER)) is not None:
        problems.append(Problem("publishing", MARKER, "a publish is in progress, or was cut off"))
    try:
        table = manifest.decode(data, name=manifest.NAME)
    except DatasetError as damaged:
        return [*problems, Problem("manifest", manifest.NAME, str(damaged))]
    summary = store.get(key_in(prefix, "summary.json"))
    told = _summary_version(summary) if summary is not None else None
    if told not in (None, manifest.version(table)):
        problems.append(Problem("manifest", manifest.NAME, f"it lists another version than the summary's {told}"))

    listing = _unit(store.list(prefix))
    for row in _rows(table):
        stored = listing.pop(row.key, None)
        if stored is None:
            problems.append(Problem("missing", row.key, "listed in the manifest, not in the store"))
        elif stored.bytes != row.bytes:
            problems.append(Problem("changed", row.key, f"{stored.bytes} bytes, not {row.bytes}"))
        elif stored.md5 is None:
            problems.append(Problem("unverified", row.key, "the store keeps no MD5; the size is right"))
        elif stored.md5 != row.md5:
            problems.append(Problem("changed", row.key, f"MD5 {stored.md5 or 'unknown'}, not {row.md5}"))
    problems += [Problem("unlisted", key, "no manifest lists it; left alone") for key in sorted(listing)]
    return problems


def _require_quiet(store: Store, prefix: str) -> None:
    if store.get(key_in(prefix, MARKER)) is not None:
        raise StoreError(
            f"{store.address}: publish in progress. Wait for it; if none is running it was cut off, "
            "and `radloop load` again completes it."
        )


def key_in(prefix: str, key: str) -> str:
    """The key of a unit's file in its store; the unit may be the store itself (an empty prefix)."""
    return f"{prefix}/{key}" if prefix else key

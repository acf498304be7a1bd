"""OUT -> a vault: what is new as parts, then the index of all files, then the head that makes it a backup."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from radloop import __version__, files, storage
from radloop.dicom import pseudonyms
from radloop.errors import DatasetError, StoreError, UsageError
from radloop.options import Backup
from radloop.pipelines.keeping import noting, packing, scanning
from radloop.pipelines.keeping.packing import Packer, Sealing
from radloop.pipelines.keeping.scanning import KNOWN_FOLDER, Found, Scan
from radloop.progress import Progress, silent
from radloop.storage import backups, encryption, vault
from radloop.storage.backups import Head, Index, Known
from radloop.storage.vault import Vault

_CLEAR: Final = (
    "NOT backed up: {count} private files (OUT/private and secrets), for {address} is a remote and nothing is "
    "encrypted. Without them nothing leads from a pseudonym back to its patient. Give "
    "--encrypt-to, or back up to a folder, too."
)


@dataclass(frozen=True)
class BackedUp:
    """One backup, or with --dry-run what would be one."""

    address: str
    backup: str | None  # its id
    created_at: datetime
    files: int
    bytes: int
    new_files: int  # that were not there yet,
    new_bytes: int
    parts: int  # in so many new parts
    encrypted: bool
    kept: int  # backups that are there now
    removed: int  # parts that no backup needs any more
    private_left_out: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()
    done: bool = True


def backup(options: Backup, *, now: datetime | None = None, progress: Progress = silent) -> BackedUp:
    """Keep all of OUT that is not made again elsewhere; killed at any moment it leaves every earlier backup whole.

    People and detectors may go on meanwhile; what else writes to OUT waits. Raises DatasetError where there is nothing
    to keep, UsageError for a TO inside OUT, StoreError where the vault refuses or damages what it is given.
    """
    now, writing = now or datetime.now(UTC), not options.dry_run
    keys = encryption.recipients(options.encrypt_to)
    _require_elsewhere(options)
    with ExitStack() as held:
        enter = held.enter_context
        if not options.out.is_dir():
            raise DatasetError(f"{options.out}: there is nothing to back up. Name the folder by --out.")
        enter(files.locked(options.out, writing=writing))
        store = Path(options.store_address)
        if not storage.is_remote(options.store_address) and store.is_dir() and store.resolve() != options.out.resolve():
            enter(files.locked(store, writing=writing))
        kept_in = enter(closing(vault.opened(options.to)))
        kept_in.preflight()
        listing = kept_in.listing()
        known_path = remembered(options.out, options.to)
        known = packing.recall(known_path, options.to, listing, encrypted=bool(keys))
        work = enter(_workplace(options.out, writing=writing))
        scan = _allowed(scanning.scan(options, work), open_to_others=kept_in.leaves_the_house and not keys)
        packer = Packer(Sealing(kept_in, keys, work, known_path, options.dry_run, progress), known)
        index = Index(tuple(packer.entries(scan.found)), scan.folders)
        head, removed = None, 0
        if writing:
            head = _finish(kept_in, index, known, scan, work, now, keys=keys)
            noting.note(known_path, now)
            removed = _prune(kept_in, options.keep)
        count = len(backups.heads(kept_in, kept_in.listing()))
    return BackedUp(
        address=options.to,
        backup=head.id if head else None,
        created_at=now,
        files=len(scan.found),
        bytes=sum(one.size for one in scan.found),
        new_files=packer.sent_files,
        new_bytes=packer.sent_bytes,
        parts=packer.parts,
        encrypted=bool(keys),
        kept=count,
        removed=removed,
        private_left_out=scan.withheld,
        left_out=scan.left_out,
        notes=(_CLEAR.format(count=scan.withheld, address=options.to),) if scan.withheld else (),
        done=writing,
    )


def remembered(out: Path, address: str) -> Path:
    """Where it is kept what is known of a vault."""
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    return out / pseudonyms.FOLDER / KNOWN_FOLDER / f"{name}.json.gz"


def _require_elsewhere(options: Backup) -> None:
    if storage.is_remote(options.to):
        return
    out, to = options.out.resolve(), Path(options.to).resolve()
    if to == out or out in to.parents:
        raise UsageError(f"{options.to} lies in {options.out}: what is lost with it is no backup. Name another place.")


@contextmanager
def _workplace(out: Path, *, writing: bool) -> Iterator[Path]:
    """A folder for what is packed, of this machine and this user alone; what a killed run left in it goes."""
    if not writing:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    (out / pseudonyms.FOLDER).mkdir(mode=0o700, exist_ok=True)
    (out / pseudonyms.FOLDER / KNOWN_FOLDER).mkdir(mode=0o700, exist_ok=True)
    work = out / pseudonyms.FOLDER / KNOWN_FOLDER / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _allowed(scan: Scan, *, open_to_others: bool) -> Scan:
    """Without what is private, where it would leave the house in clear."""
    if not scan.found:
        raise DatasetError("there is nothing to back up. Name the folder by --out.")
    if not open_to_others:
        return scan
    open_files: list[Found] = [one for one in scan.found if not one.is_private]
    private = pseudonyms.FOLDER
    folders = {path: mode for path, mode in scan.folders.items() if path.partition("/")[0] != private}
    return Scan(open_files, folders, scan.left_out, withheld=len(scan.found) - len(open_files))


def _finish(
    kept_in: Vault, index: Index, known: Known, scan: Scan, work: Path, now: datetime, *, keys: list[object]
) -> Head:
    """Write the index, then the head."""
    name = backups.new_id(now)
    key = f"{backups.INDEXES}{name}.json.gz{encryption.SUFFIX if keys else ''}"
    for folder in (backups.INDEXES, backups.HEADS):
        (work / folder).mkdir(exist_ok=True)
    path = work / key
    if keys:
        (work / "plain").write_bytes(backups.encode_index(index))
        encryption.encrypt(work / "plain", path, keys)
        (work / "plain").unlink()
    else:
        path.write_bytes(backups.encode_index(index))
    parts = {one.place.part for one in index.entries}
    head = Head(
        id=name,
        created_at=now,
        radloop=__version__,
        files=len(index.entries),
        bytes=sum(one.size for one in index.entries),
        parts={part: known.sizes[part] for part in sorted(parts)},
        index=key,
        index_sha256=vault.sha256(path),
        left_out=scan.left_out,
        withheld=scan.withheld,
    )
    kept_in.put(work, [key])
    (work / f"{backups.HEADS}{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(head)))
    kept_in.put(work, [f"{backups.HEADS}{name}.json"])
    return head


def _prune(kept_in: Vault, keep: int | None) -> int:
    """Remove all but the newest backups: heads first, then what no head needs. How many parts went."""
    if keep is None:
        return 0
    listing: Mapping[str, int] = kept_in.listing()
    told = backups.heads(kept_in, listing)
    if len(told) != sum(key.startswith(backups.HEADS) for key in listing):
        raise StoreError(f"{kept_in.address}: a head cannot be read, so that nothing is removed.")
    old, stay = told[:-keep], told[-keep:]
    kept_in.delete(f"{backups.HEADS}{one.id}.json" for one in old)
    needed = {key for one in stay for key in one.keys}
    gone = [key for key in listing if key.startswith((backups.PARTS, backups.INDEXES)) and key not in needed]
    kept_in.delete(gone)
    return sum(key.startswith(backups.PARTS) for key in gone)

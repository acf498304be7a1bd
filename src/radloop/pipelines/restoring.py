"""A vault -> OUT, built beside it, verified file by file, and put in its place by one rename."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from radloop import files, storage
from radloop.catalog import audit_log
from radloop.errors import StoreError, UsageError
from radloop.options import Restore
from radloop.pipelines import backing_up, deeds
from radloop.pipelines.keeping import coming_again, packing
from radloop.progress import Progress, silent
from radloop.storage import backups, encryption, vault
from radloop.storage.backups import Entry, Head, Index
from radloop.storage.vault import Vault
from radloop.words import several

_AT_ONCE = 16  # parts that are fetched together
_NAMED = 5


@dataclass(frozen=True)
class Restored:
    """What came back."""

    address: str
    backup: str
    created_at: datetime
    out: Path
    files: int
    bytes: int
    forgotten: int  # images that were forgotten since, and taken away again
    lost: tuple[str, ...]  # files in parts that are damaged
    damaged: tuple[str, ...]  # those parts
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()
    done: bool = True  # False with --dry-run: all was read and verified, nothing was put in place


@dataclass
class _Unpacked:
    """How it went so far."""

    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def restore(options: Restore, *, progress: Progress = silent) -> Restored:
    """Bring OUT back as it was at one backup. Killed at any moment it leaves no OUT, or all of it.

    Raises UsageError where OUT holds anything, StoreError where there is no such backup, where the key does not open
    it, and, unless --salvage is given, where any part of it is damaged: then nothing is put in place.
    """
    out = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty, and a restore overwrites nothing. Name a new folder by --out.")
    identities = encryption.identities(options.identity)
    with closing(vault.opened(options.from_)) as kept_in, _staging(out, writing=not options.dry_run) as staging:
        return _restored(options, kept_in, staging, identities, progress)


@contextmanager
def _staging(out: Path, *, writing: bool) -> Iterator[Path]:
    """A folder beside OUT, on its file system, that is gone at the end; what a killed restore left there goes, too."""
    if not writing:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    staging = out.absolute().with_name(f".{out.absolute().name}.restoring")
    try:
        with files.locked(staging):
            for entry in staging.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
            yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _restored(options: Restore, kept_in: Vault, staging: Path, identities: list[Any], progress: Progress) -> Restored:
    listing = kept_in.listing()
    heads = backups.heads(kept_in, listing)
    head = _chosen(heads, backups.unreadable(listing, heads), options)
    tree, work = staging / "out", staging / "work"
    os.chmod(staging, 0o700)
    tree.mkdir()
    work.mkdir()
    index = backups.read_index(kept_in, head, work, identities)
    went = _unpack(kept_in, index, tree, work, identities, progress)
    if went.damaged and not options.salvage:
        raise StoreError(
            f"{options.from_}: {several(len(went.damaged), 'part')} of backup {head.id} cannot be used: "
            f"{'; '.join(went.damaged[:_NAMED])}. {several(len(went.lost), 'file')} would be lost, such as "
            f"{', '.join(went.lost[:_NAMED])}. Nothing was restored: choose another --backup, or --salvage the rest."
        )
    for path, mode in sorted(index.folders.items(), reverse=True):
        (tree / path).mkdir(parents=True, exist_ok=True)
        os.chmod(tree / path, mode)
    stones = coming_again.tombstones_of_later(kept_in, heads, head, work, identities)
    forgotten = 0
    if not options.dry_run:
        known = backing_up.remembered(tree, options.from_)
        if (tree / "private").is_dir():
            known.parent.mkdir(mode=0o700, exist_ok=True)
            packing.remember(known, backups.known_from(options.from_, head, index))
        forgotten = coming_again.forget(tree, _store(options), stones, progress)
        log = audit_log.of(tree, "radloop restore", durable=True)
        log.record("restore", deeds.place(options.from_), new={"backup": head.id, "lost": len(went.lost)})
        if options.out.exists():
            options.out.rmdir()
        os.rename(tree, options.out.absolute())
    whole = [one for one in index.entries if one.path not in set(went.lost)]
    return Restored(
        address=options.from_,
        backup=head.id,
        created_at=head.created_at,
        out=options.out,
        files=len(whole),
        bytes=sum(one.size for one in whole),
        forgotten=forgotten,
        lost=tuple(went.lost),
        damaged=tuple(went.damaged),
        left_out=head.left_out,
        notes=_notes(head, went),
        done=not options.dry_run,
    )


def _store(options: Restore) -> str | None:
    """The store that may know what was forgotten since; None where it was part of what was lost."""
    address = options.store_address
    if not storage.is_remote(address) and (Path(address) == options.out / "store" or not Path(address).is_dir()):
        return None
    return address


def _chosen(heads: list[Head], unreadable: list[str], options: Restore) -> Head:
    """What --backup names, else the newest. Raises StoreError where nobody can tell which that is."""
    newest = heads[-1].id.rpartition("-")[0] if heads else ""  # the time, to the second
    newer = [key for key in unreadable if key >= f"{backups.HEADS}{newest}"]
    if newer and options.backup is None:
        known = f"name the older one that you want by --backup: {heads[-1].id}" if heads else "there is no other"
        raise StoreError(
            f"{options.from_}: {newer[-1]}, the newest backup, is damaged or was written by a newer radloop, and is "
            f"not read. Upgrade radloop, or {known}."
        )
    if not heads:
        raise StoreError(f"{options.from_} holds no backup of radloop.")
    if options.backup is None:
        return heads[-1]
    found = [one for one in heads if one.id.startswith(options.backup)]
    if len(found) != 1:
        known = ", ".join(one.id for one in heads)
        raise UsageError(f"--backup {options.backup} means {several(len(found), 'backup')}. There are: {known}.")
    return found[0]


def _unpack(
    kept_in: Vault, index: Index, tree: Path, work: Path, identities: list[Any], progress: Progress
) -> _Unpacked:
    """Every file of every part that is sound, each compared with its SHA-256 as it is written and once more after."""
    went, wanted = _Unpacked(), dict[str, dict[str, list[Entry]]]()
    for one in index.entries:
        wanted.setdefault(one.place.part, {}).setdefault(one.place.member, []).append(one)
    keys = sorted(wanted)
    for begin in range(0, len(keys), _AT_ONCE):
        some = keys[begin : begin + _AT_ONCE]
        there = kept_in.fetch(some, work / "fetched", progress=progress)
        for key in some:
            _unpack_part(there.get(key), key, wanted[key], tree, work, identities, went)
            if key in there and work in there[key].parents:
                there[key].unlink()
        progress("restore", min(begin + _AT_ONCE, len(keys)), len(keys), "parts")
    return went


def _unpack_part(
    path: Path | None,
    key: str,
    wanted: dict[str, list[Entry]],
    tree: Path,
    work: Path,
    identities: list[Any],
    went: _Unpacked,
) -> None:
    missing = {one.path for entries in wanted.values() for one in entries}
    try:
        if path is None:
            raise StoreError(f"{key} is missing")
        with backups.open_part(path, key, work, identities) as part:
            for member in part:
                if entries := wanted.get(member.name):
                    _write(part, member, entries, tree)
                    missing -= {one.path for one in entries}
        if missing:
            raise StoreError(f"{key} does not hold {min(missing)}")
    except (StoreError, tarfile.TarError, EOFError, OSError) as damaged:
        if isinstance(damaged, OSError) and damaged.errno is not None:
            raise  # this machine's disk, not the part
        went.damaged.append(str(damaged))
        went.lost += sorted(missing)


def _write(part: tarfile.TarFile, member: tarfile.TarInfo, entries: list[Entry], tree: Path) -> None:
    """The one file under all its names: links where it had several, copies where two files had the same bytes."""
    written = dict[str, Path]()
    for one in entries:
        target = tree / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if one.link in written:
            os.link(written[one.link], target)
            continue
        source = part.extractfile(member)
        if source is None:
            raise StoreError(f"{member.name} is no file in its part")
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with source, open(descriptor, "wb") as file:
            digest = backups.copy(source, file)
        if {digest, vault.sha256(target)} != {one.sha256}:
            raise StoreError(f"{one.path} is not what was backed up")
        os.chmod(target, one.mode)
        os.utime(target, ns=(one.mtime_ns, one.mtime_ns))
        written[one.path] = target


def _notes(head: Head, went: _Unpacked) -> tuple[str, ...]:
    notes = [f"not in the backup: {one}" for one in head.left_out]
    if went.damaged:
        notes.append(f"LOST: {several(len(went.lost), 'file')}, such as {', '.join(went.lost[:_NAMED])}")
        notes += [f"damaged: {one}" for one in went.damaged]
    if head.withheld:
        notes.append("this backup has no OUT/private: without the key nothing leads back to a patient, and DICOM "
                     "files that come in get other pseudonyms")  # fmt: skip
    return tuple(notes)

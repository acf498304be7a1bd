"""Taking an image, or all of a person, away from OUT and the store, and leaving a tombstone.

What is to be written is prepared below OUT/.forgetting first, and `journal.json` is the last of it: from then on every
step can be killed and made again, and the next `forget` ends what this one began. It is gone when all is done.
"""

import secrets
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from radloop import files, formats, manifest, storage, tree
from radloop.catalog import tombstones
from radloop.dicom import pseudonyms
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import UNDECODABLE, BusyError, DatasetError, UsageError
from radloop.options import Forget
from radloop.pipelines import deeds, versioning
from radloop.pipelines.removal import clearing, remainders, whose
from radloop.pipelines.removal.remainders import Places, Unit
from radloop.pipelines.removal.whose import Whose
from radloop.progress import Progress, silent
from radloop.simulation import journal

_WORK: Final = ".forgetting"
_JOURNAL: Final = "journal.json"
_LONGEST_REASON: Final = 200


@dataclass(frozen=True)
class Forgot:
    """What was taken away, or with --dry-run would be; nothing here says whose it was."""

    images: int
    removed: Mapping[str, int]  # how many things of each kind
    version: str | None  # of the dataset in OUT, or else in the store, now; None where there is none
    previous: str | None  # and before
    splits: Mapping[str, int]  # by which it has fewer images in each of its splits
    tombstones: int  # that stand now
    notes: tuple[str, ...] = ()
    done: bool = True  # False with --dry-run


@dataclass(frozen=True)
class _Work:
    """All that one `forget` has to do."""

    asked: str  # a hash: whether the same is asked for again
    reason: str
    now: datetime
    salt: str
    whose: Whose
    units: tuple[Unit, ...] = ()
    removed: dict[str, int] = field(default_factory=dict)
    stones: int = 0


def forget(options: Forget, *, now: datetime | None = None, progress: Progress = silent) -> Forgot:
    """Take away what `options.asked` means, wherever it is known. A run that was cut off before is ended first.

    Raises UsageError where nothing is known of it or it may mean two things, BusyError while the simulator plays; all
    else that stops it leaves what the same command takes up again.
    """
    asked, writing = options.asked.strip(), not options.dry_run
    _require_harmless(options.reason, asked)
    with ExitStack() as held:
        held.enter_context(files.locked(options.out, writing=writing))
        held.enter_context(_without_watcher(options.out, writing=writing))
        store = held.enter_context(closing(storage.open_store(options.store_address)))
        store.preflight()
        if writing and (playing := journal.running(options.log_file)):
            raise BusyError(f"run {playing[0]} of the simulator still plays. Wait for its end, then forget.")
        places = Places(options.out, store)
        begun = _begun(options.out)
        if begun is not None and writing:
            begun = _taken_up(options, places, begun)
            _apply(options, places, begun, progress)
        if begun is not None and begun.asked == _hash(options.out, asked):
            return _told(begun, done=writing)

        meant = whose.find(options, partial(places.get, "here"), partial(places.get, "store"))
        work = _Work(_hash(options.out, asked), options.reason, now or datetime.now(UTC), secrets.token_hex(8), meant)
        work = _prepared(options, places, work)
        if writing:
            _apply(options, places, work, progress)
        return _told(work, done=writing)


def _without_watcher(out: Path, *, writing: bool) -> AbstractContextManager[None]:
    """Hold off `radloop watch`. Raises BusyError where it is at work."""
    ledgers = out / pseudonyms.FOLDER / "watch"
    return files.locked(ledgers, writing=writing and ledgers.is_dir())


def _require_harmless(reason: str, asked: str) -> None:
    """Raise UsageError for a reason that cannot be published."""
    if not reason.isprintable() or len(reason) > _LONGEST_REASON:
        raise UsageError(f"--reason is one line of at most {_LONGEST_REASON} characters.")
    if reason and asked.casefold() in reason.casefold():
        raise UsageError("--reason says whose it was, and it is published. Give a reason without a name or an id.")


def _hash(out: Path, asked: str) -> str:
    """By the key of OUT, where it has one: it lies in the journal until the work is done."""
    return Pseudonyms.open(out, writing=False).keyed("asked", asked)


def _begun(out: Path) -> _Work | None:
    """What a run that was cut off had still to do."""
    path = out / _WORK / _JOURNAL
    try:
        formats.require_json(data := path.read_bytes(), name=str(path))
        return msgspec.json.decode(data, type=_Work)
    except FileNotFoundError:
        return None
    except UNDECODABLE as broken:
        raise DatasetError(
            f"{path} is damaged: what an earlier forget had still to do is not known. Remove {path.parent}, and forget "
            "again what was meant."
        ) from broken


def _taken_up(options: Forget, places: Places, begun: _Work) -> _Work:
    """The work as it is still to be done: prepared anew where somebody has built or published a version since."""
    standing = [(places.manifest_md5(unit), unit) for unit in begun.units]
    overtaken = any(md5 not in (None, unit.before, unit.after) for md5, unit in standing)
    return _prepared(options, places, begun) if overtaken else begun


def _prepared(options: Forget, places: Places, work: _Work) -> _Work:
    """The work with all that changes; if it is to be done, in OUT/.forgetting, the journal last."""
    into = None if options.dry_run else options.out / _WORK
    held = places.get("store", f"{manifest.UNIT}/{tree.TOMBSTONES}")
    known = tombstones.union(tombstones.read(options.out), tombstones.decode(held, name=places.store.address))
    pixels = work.whose.pixels
    images = pl.DataFrame({"image_id": list(pixels), "pixels_md5": list(pixels.values())}, schema_overrides=_IMAGES)
    salt = known["salt"].first() if known.height else work.salt
    stones = tombstones.union(known, tombstones.made(images, salt=str(salt), now=work.now, reason=work.reason))
    if into is not None:
        shutil.rmtree(into, ignore_errors=True)
        files.write_atomic(into / tree.TOMBSTONES, tombstones.encode(stones))
    units = tuple(remainders.prepare(places, work.whose.gone, stones, now=work.now, into=into))
    work = replace(work, units=units, stones=stones.height)
    version = next((unit.versions[1] for unit in units if unit.is_dataset_here), _version(options.out))
    elsewhere = clearing.count(options, work.whose, version=version)
    work = replace(work, removed=_of_units(units) | elsewhere)
    if into is not None:
        files.write_atomic(into / _JOURNAL, msgspec.json.encode(work), durable=True, mode=0o600)
    return work


_IMAGES: Final = {"image_id": pl.String, "pixels_md5": pl.String}


def _apply(options: Forget, places: Places, work: _Work, progress: Progress) -> None:
    """Do it: tombstones first, so that nothing comes in again, and what says that there is work left last."""
    prepared = options.out / _WORK
    files.write_atomic(options.out / tree.TOMBSTONES, (prepared / tree.TOMBSTONES).read_bytes())
    for unit in sorted(work.units, key=lambda unit: unit.place != "here"):  # a `load` in between has the new version
        remainders.switch(places, unit, prepared, progress=progress)
    with deeds.deed(options.out, "forget", "", current=lambda: None, new="forgotten", durable=True) as deed:
        clearing.clear(options, work.whose, version=_version(options.out), now=work.now)
        deed.old, deed.new = _changed(work), clearing.known_feedback(options.out)
    if not places.is_one:
        versioning.note(places.store, manifest.UNIT, options.out / manifest.UNIT)
    (prepared / _JOURNAL).unlink()
    shutil.rmtree(prepared)


def _changed(work: _Work) -> dict[str, str | int | None]:
    """What the audit log tells of it: nothing of whose it was."""
    return {"images": len(work.whose.pixels), "reason": work.reason}


def _version(out: Path) -> str | None:
    """The id of the dataset in OUT; None where there is none."""
    listed = manifest.read(out / manifest.UNIT)
    return None if listed is None else manifest.version(listed)


def _of_units(units: tuple[Unit, ...]) -> dict[str, int]:
    """How many files of each unit go, here and in the store, and how many images are remembered no more."""
    names = {manifest.UNIT: "files of the dataset", manifest.RETRAIN_UNIT: "files of re-training"}
    names |= {manifest.INCOMING_UNIT: "files of incoming"}
    counted = dict.fromkeys((*names.values(), "remembered as held out", "files in the store"), 0)
    here = {unit.prefix for unit in units if unit.place == "here"}
    for unit in units:
        if unit.place == "here":
            counted[names[unit.prefix]] += len(unit.gone)
        else:
            counted["files in the store"] += len(unit.gone)
        if unit.place == "here" or unit.prefix not in here:
            counted["remembered as held out"] += unit.held_out
    return counted


def _told(work: _Work, *, done: bool) -> Forgot:
    datasets = {unit.place: unit for unit in work.units if unit.prefix == manifest.UNIT}
    dataset = datasets.get("here") or datasets.get("store")
    previous, version = dataset.versions if dataset else (None, None)
    return Forgot(
        images=len(work.whose.pixels),
        removed=work.removed,
        version=version,
        previous=previous,
        splits=dataset.splits if dataset else {},
        tombstones=work.stones,
        notes=work.whose.notes,
        done=done,
    )

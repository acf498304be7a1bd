"""Sign what a dataset is and what people said of it, in OUT/attestations and in the store."""

from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from radloop import files, manifest, storage
from radloop.catalog import attestations, signatures, version
from radloop.catalog.attestations import LISTING
from radloop.catalog.attested import Seen
from radloop.errors import DatasetError, UsageError
from radloop.options import Attest
from radloop.pipelines import checking, registry
from radloop.pipelines.checking import Report
from radloop.pipelines.trust import kept, stating
from radloop.pipelines.trust.places import FolderPlace, StorePlace
from radloop.progress import Progress, silent
from radloop.storage import Store
from radloop.words import several


@dataclass(frozen=True)
class Attested:
    """What was signed, or with `dry_run` would be."""

    attestation: str | None  # its id; None with --dry-run
    version: str
    key: str  # the id of the key that signed
    previous: str | None  # the attestation before
    counts: dict[str, int]  # files by part
    heads: int  # chains of reviewers that are pinned
    folder: Path
    address: str | None  # of the store that has it, too; None where it stays here
    notes: tuple[str, ...] = ()
    done: bool = True  # False with --dry-run


def attest(options: Attest, *, now: datetime | None = None, progress: Progress = silent) -> Attested:
    """Sign a statement over every file of the dataset, of feedback and of reviews, here and in the store.

    Raises DatasetError where `check` finds it unsound, unless the options allow that; nothing is written then.
    """
    signer = signatures.signer(options.key, _passphrase(options))
    writing = not options.dry_run
    with ExitStack() as held:
        held.enter_context(files.locked(options.out, writing=writing))
        store = held.enter_context(closing(storage.open_store(options.store_address, durable=True)))
        published = store.get(f"{manifest.UNIT}/{manifest.NAME}") is not None
        unit = registry.Shared(options.out, store, manifest.ATTESTATIONS)
        if writing:
            held.enter_context(files.locked(options.out / manifest.ATTESTATIONS, durable=True))
            unit.bring()
        dataset = version.read(options.out)
        checks = _checks(options, published=published, progress=progress)
        listing = _listing(options, store if published else None, progress)
        before = kept.head(unit.folder)
        told = stating.Told(dataset, checks, listing, before)
        written = attestations.encode_files(listing)
        statement = stating.state(options.out, options.reviews_folder, told, written, now=now or datetime.now(UTC))
        payload = attestations.encode(statement)
        name = attestations.id_of(payload) if writing else None
        if name is not None:
            documents = {
                f"{name}/{attestations.STATEMENT}": signatures.sign(payload, signer),
                f"{name}/{attestations.FILES}": written,
            }
            unit.write(documents, publishing=published)
        return Attested(
            attestation=name,
            version=dataset.whole_id,
            key=signer.public_key.keyid,
            previous=before.id if before else None,
            counts=attestations.counted(listing["name"].unique()),
            heads=len(statement.predicate.heads),
            folder=unit.folder if name is None else unit.folder / name,
            address=store.address if published else None,
            notes=tuple(_notes(options, checks, published=published)),
            done=writing,
        )


def _passphrase(options: Attest) -> bytes | None:
    if options.passphrase_file is not None:
        lines = options.passphrase_file.read_bytes().splitlines()
        if not lines or not lines[0]:
            raise UsageError(f"{options.passphrase_file} holds no passphrase in its first line.")
        return lines[0]
    return options.key_passphrase.encode() if options.key_passphrase else None


def _checks(options: Attest, *, published: bool, progress: Progress) -> dict[str, Report]:
    """What `check` says of the dataset here and in the store. Raises DatasetError where it is unsound."""
    places: dict[str, Path | str] = {"out": options.out}
    if published:
        address = options.store_address
        places["store"] = address if storage.is_remote(address) else Path(address)
    found = {name: checking.check(place, jobs=options.jobs, progress=progress) for name, place in places.items()}
    for report in found.values():
        if not report.sound and not options.allow_unsound:
            rule, key, _, detail, _ = report.violations.row(0)
            raise DatasetError(
                f"{report.place} is unsound, so that nothing was signed: "
                f"{several(report.violations.height, 'violation')}, such as {key}: {detail} ({rule}). Run `radloop "
                f"check {report.place}` and mend it, or say --allow-unsound, which the statement will tell."
            )
    if published and found["out"].version != found["store"].version and not options.allow_unsound:
        raise DatasetError(
            f"{options.out} holds version {found['out'].version} and {options.store_address} version "
            f"{found['store'].version}: run `radloop load` or `radloop pull` first, or give another --store."
        )
    return found


def _listing(options: Attest, store: Store | None, progress: Progress) -> pl.DataFrame:
    """LISTING of all that lies here and in the store; nothing of this attestation itself."""
    here = FolderPlace(options.out, {"feedback": options.feedback_folder, "reviews": options.reviews_folder})
    sizes = _without_own(here.names())
    seen = here.look(sizes, progress=progress)
    there = _in_store(store, seen, progress)
    images = stating.images(here, sizes)
    rows: list[tuple[Any, ...]] = []
    for name in sorted(seen.keys() | there.keys()):
        one, other = seen.get(name), there.get(name)
        if one is not None and one == other:
            rows.append((name, "both", one.bytes, one.sha256, images.get(name)))
            continue
        sides = (("out", one), ("store", other))
        rows += [(name, place, s.bytes, s.sha256, images.get(name)) for place, s in sides if s is not None]
    return pl.DataFrame(rows, schema=LISTING, orient="row")


def _without_own(sizes: dict[str, int]) -> dict[str, int]:
    """Without the manifest of the attestations, which changes with each."""
    own = f"{manifest.ATTESTATIONS}/{manifest.NAME}"
    return {name: size for name, size in sizes.items() if name != own}


def _in_store(store: Store | None, here: dict[str, Seen], progress: Progress) -> dict[str, Seen]:
    """What lies in the store. Of a remote, a file with the MD5 and the size of the one here is taken for that one."""
    if store is None:
        return {}
    if not storage.is_remote(store.address):
        folder = FolderPlace(Path(store.address))
        return folder.look(_without_own(folder.names()), progress=progress)
    remote = StorePlace(store)
    sizes = _without_own(remote.names())
    same = {
        name: here[name]
        for name, size in sizes.items()
        if name in here and (here[name].bytes, here[name].md5) == (size, remote.md5s[name])
    }
    return same | remote.look(sizes.keys() - same.keys(), progress=progress)


def _notes(options: Attest, checks: dict[str, Report], *, published: bool) -> list[str]:
    notes = [
        f"{report.place} is unsound ({several(report.violations.height, 'violation')}), and the statement says so"
        for report in checks.values()
        if not report.sound
    ]
    if not published:
        notes.append(f"{options.store_address} holds no dataset: the attestation stays in {options.out}")
    if signatures.is_open_to_others(options.key):
        notes.append(f"{options.key} can be read by others on this machine: chmod 600 {options.key}")
    return notes

"""Pictures without labels -> the unit `incoming/` beside the dataset, grouped with and kept from what is held out."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from radloop import files, manifest, spreadsheets, storage, tree
from radloop.catalog import version
from radloop.dataset import incoming, incoming_files, patients
from radloop.dataset.incoming import REASONS, REFUSED, Arrival, Refusal
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import AnnotationError, SourceError, StrictError
from radloop.options import Ingest
from radloop.pacs import Pacs
from radloop.pacs.client import Client
from radloop.pipelines import deeds
from radloop.pipelines.arrivals import arriving
from radloop.pipelines.arrivals.arriving import Reader
from radloop.pipelines.arrivals.registering import Register
from radloop.progress import Progress, silent
from radloop.recipe import Recipe
from radloop.storage import Store, publish
from radloop.storage.publish import Published
from radloop.tables import INCOMING
from radloop.words import AUDIT, HELD_OUT, PictureNames, several
from radloop.words import INCOMING as MAY_TRAIN

REFUSED_FILE: Final = "private/refused-incoming.csv"  # its places may name a person

PACS: Final = "dicomweb:"
_BATCH: Final = 256  # pictures that are written at once, and held in memory


@dataclass(frozen=True)
class TakenIn:
    """What became of some arrivals."""

    new: tuple[str, ...]  # image ids
    known: tuple[str, ...]  # that were there already, with this picture
    images: pl.DataFrame  # image_id, split, group, md5, phash of both
    refused: pl.DataFrame  # REFUSED


@dataclass(frozen=True)
class Ingested:
    """What came in, or with --dry-run would."""

    folder: Path
    files: int  # pictures and DICOM files that were looked at
    new: int
    known: int
    splits: Mapping[str, int]  # of the new ones: incoming, audit, or the held-out split that they are grouped with
    images: int  # in the unit now
    patients: int  # that they tell
    refused: pl.DataFrame  # code and reason, a row a file; which files those are stands in OUT/private alone
    published: Published | None
    notes: tuple[str, ...]
    done: bool = True  # False with --dry-run


class _Ward(NamedTuple):
    """All that a folder held, taken in."""

    register: Register
    parts: Sequence[TakenIn]
    refused: pl.DataFrame
    files: int
    known: int  # that were not asked for again
    notes: tuple[str, ...]
    after: str | None  # the store's manifest that it goes on from; None with --dry-run


def ingest(options: Ingest, *, pacs: Pacs | None = None, progress: Progress = silent) -> Ingested:
    """Take the pictures of a folder, or of a PACS, in and publish the unit to STORE/organized/incoming.

    Batch by batch, so that a kill costs one; a second run goes on and ends in the same bytes. `pacs` takes the place of
    the one that the options name. Raises DatasetError where OUT has no dataset, for it knows what is held out,
    SourceError where the key is lost that what is there was made with, and what the steps raise.
    """
    writing = not options.dry_run
    if pacs is None and options.from_.startswith(PACS):
        pacs = Client.of(options.from_, options.pacs_auth)
    durable = options.durable
    with (
        files.locked(options.out, writing=writing, durable=durable),
        closing(storage.open_store(options.store_address, durable=durable)) as store,
    ):
        store.preflight()
        if options.strict and writing:
            _require_none(_take_all(replace(options, dry_run=True), store, pacs, progress).refused)
        ward = _take_all(options, store, pacs, progress)
        published = None
        if writing:
            _beside(options.out / REFUSED_FILE, ward.refused)
            if ward.register.table.height:
                unit = ward.register.unit
                current = deeds.version_of(unit)
                with deeds.deed(
                    options.out, "ingest", manifest.INCOMING_UNIT, current=current, new=current(), durable=durable
                ) as deed:
                    published = publish.publish(
                        unit, store, prefix=manifest.INCOMING_UNIT, after=ward.after, progress=progress
                    )
                    deed.old = published.previous_version
    register, new = ward.register, [image_id for part in ward.parts for image_id in part.new]
    counts = dict(register.images(new).group_by("split").len().iter_rows())
    return Ingested(
        folder=register.unit,
        files=ward.files,
        new=len(new),
        known=ward.known + sum(len(part.known) for part in ward.parts),
        splits={split: counts[split] for split in (MAY_TRAIN, AUDIT, *HELD_OUT) if split in counts},
        images=register.table.height,
        patients=register.table["patient"].drop_nulls().n_unique(),
        refused=ward.refused.drop("place"),
        published=published,
        notes=ward.notes,
        done=writing,
    )


def take_in(register: Register, arrivals: Sequence[Arrival], *, audit_share: float, writing: bool = True) -> TakenIn:
    """Add pictures to the unit, all of them in one step; the caller holds OUT (`files.locked`).

    An image that is there with this picture is nothing new, so that a second run of what was killed ends in the same
    bytes; one that is there with another picture is refused. Raises DatasetError where there is no dataset.
    """
    register.refresh()
    there = dict(register.table.select("image_id", "md5").iter_rows())
    in_dataset = register.sums([one.image_id for one in arrivals])
    known, refused, fresh, rows, named = list[str](), list[Refusal](), list[Arrival](), [], list[Arrival]()
    patients = dict(register.table.select("image_id", "patient").iter_rows())
    for one in arrivals:
        try:
            looked = one.looked or incoming.look(one.picture)
        except SourceError as damaged:
            refused.append(Refusal(one.place or one.image_id, "picture", str(damaged)))
            continue
        why = incoming.problem(one.image_id)
        code = "image-id" if why else incoming.already_there(one, looked, there, in_dataset)
        if code is None and register.is_forgotten(one.image_id, looked.pixels_md5):
            code = "forgotten"
        if code == "known":
            known.append(one.image_id)
            if one.patient and one.image_id in patients and patients[one.image_id] != one.patient:
                named.append(one)
        elif code:
            refused.append(Refusal(one.place or one.image_id, code, why or REASONS[code]))
        else:
            there[one.image_id] = looked.md5
            fresh.append(one)
            rows.append(incoming.row(one, looked))
    if fresh or named:
        new = pl.DataFrame(rows, schema=INCOMING)
        table = register.decided(new, [*fresh, *named], audit_share=audit_share)
        if writing:
            incoming_files.add(register.unit, fresh, table, durable=register.durable)
        register.committed(table, new)
    added = tuple(one.image_id for one in fresh)
    return TakenIn(added, tuple(known), register.images([*added, *known]), _table(refused))


def _take_all(options: Ingest, store: Store, pacs: Pacs | None, progress: Progress) -> _Ward:
    """Every file looked at and taken in, batch by batch."""
    writing = not options.dry_run
    register = Register(options.out, jobs=options.jobs, caching=writing, progress=progress, durable=options.durable)
    register.refresh()
    after = register.bring(store) if writing else None
    register.require_key(store)
    parts, refused, batch, known, done = list[TakenIn](), list[Refusal](), list[Arrival](), 0, 0
    named = {}
    if options.patients is not None:
        named = _patients(options.patients, Pseudonyms.open(options.out, writing=writing), options.names)
    recipe = options.recipe or (Recipe.parse(register.known.recipe) if register.known.recipe else Recipe())
    reader = Reader(Path(options.from_), options.out, recipe, options.frontal_only, named, options.names, writing)
    if pacs is not None:
        coming = arriving.of_pacs(reader, pacs, set(register.table["image_id"]), jobs=options.jobs)
    else:
        coming = arriving.of_folder(reader, jobs=options.jobs)
    for shard in coming.shards:
        batch += [one for one in shard if isinstance(one, Arrival)]
        refused += [one for one in shard if isinstance(one, Refusal)]
        known += shard.count(None)
        done += len(shard)
        if len(batch) >= _BATCH:
            parts.append(take_in(register, batch, audit_share=options.audit_share, writing=writing))
            batch = []
        progress("incoming", done, max(coming.total, done))
    parts.append(take_in(register, batch, audit_share=options.audit_share, writing=writing))
    notes = (
        *coming.notes,
        *_other_version(register, store),
        *_other_recipes(register, parts),
        *_unnamed(named, register),
    )
    refusals = pl.concat([_table(refused), *(part.refused for part in parts)])
    return _Ward(register, parts, refusals, done, known, notes, after)


def _table(refused: Sequence[Refusal]) -> pl.DataFrame:
    return pl.DataFrame(refused, schema=REFUSED, orient="row")


def _patients(path: Path, pseudonyms: Pseudonyms, names: PictureNames | None) -> dict[str, tuple[str, tuple[str, ...]]]:
    """{image_id: its patient's pseudonym, and how a dataset may know the patient} of a table of `--patients`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as broken:
        raise AnnotationError(f"{path} cannot be read as a CSV: {broken}.") from broken
    named: dict[str, tuple[str, tuple[str, ...]]] = {}
    for line, row in enumerate(rows, 2):
        image_id, patient = row.get("image_id"), row.get("patient_id")
        if image_id is None or patient is None:
            raise AnnotationError(f"{path}: line {line} has no image_id and patient_id. Its head names both.")
        pseudonym = pseudonyms.patient(patient.strip())
        if pseudonym is None:
            continue
        if names == "hide":
            image_id = pseudonyms.image_id(image_id)
        if named.setdefault(image_id, (pseudonym, patients.hashes(patient)))[0] != pseudonym:
            raise AnnotationError(f"{path}: the image of line {line} has two patients. Remove one.")
    return named


def _require_none(refused: pl.DataFrame) -> None:
    """Raise StrictError where files were refused."""
    if refused.height:
        raise StrictError(
            f"{several(refused.height, 'file')} refused, such as one for: {refused['reason'][0]} "
            f"({refused['code'][0]}). With --strict nothing is taken in; without it {REFUSED_FILE} has all of them."
        )


def _beside(path: Path, refused: pl.DataFrame) -> None:
    """OUT/private/refused-incoming.csv, until an ingest has nothing to refuse."""
    if refused.is_empty():
        path.unlink(missing_ok=True)
    else:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_atomic(path, spreadsheets.csv(refused), mode=0o600)


def _other_version(register: Register, store: Store) -> Iterator[str]:
    """That the store has a version of the dataset that is not known here, and with it perhaps what it holds out."""
    data = store.get(f"{manifest.UNIT}/{manifest.NAME}")
    if data is None:
        return
    name = f"{store.address}/{manifest.UNIT}/{manifest.NAME}"
    standing = manifest.version(manifest.decode(data, name=name))
    told = version.summary_of(register.known.content(tree.SUMMARY), name=str(register.root))
    if standing not in (told.get("version"), told.get("previous"), told.get("replaces")):
        yield (
            f"{store.address} holds version {standing} of the dataset, and here lies {told.get('version')}: what was "
            "held out since is not known here. Run `radloop pull` and `radloop ingest` again"
        )


def _other_recipes(register: Register, parts: Sequence[TakenIn]) -> Iterator[str]:
    """Invariant 12, said of the unit: a detector is shown other gray values than it was trained on."""
    new = [image_id for part in parts for image_id in part.new]
    made = register.table.filter(pl.col("image_id").is_in(new))
    own = register.known.recipe
    other = made.filter(~pl.col("recipe").eq_missing(pl.lit(own, pl.String)))
    if other.height:
        theirs = " and ".join(sorted(one or "none (they came as pictures)" for one in other["recipe"].unique()))
        yield (
            f"{several(other.height, 'new picture')} made by another recipe than the dataset's: {theirs}, where the "
            f"dataset's pictures were made by {own or 'none that is known (they came as pictures)'}. A detector that "
            "was trained on those is shown other gray values"
        )


def _unnamed(named: Mapping[str, object], register: Register) -> Iterator[str]:
    strange = named.keys() - set(register.table["image_id"]) - set(register.own["image_id"])
    if strange:
        yield f"{several(len(strange), 'image')} of --patients are not among the pictures"

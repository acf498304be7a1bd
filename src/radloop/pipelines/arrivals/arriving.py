"""The pictures of a folder on their way in: PNG, JPEG or DICOM, each file by its kind, looked at by all processes."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import files, manifest, pixels, processes, tags
from radloop.catalog import incoming as unlabelled
from radloop.catalog import tombstones
from radloop.dataset import identity, incoming, patients, pictures
from radloop.dataset.incoming import Arrival, Looked, Refusal
from radloop.errors import DicomError, PacsError, SourceError, TransientPacsError
from radloop.pacs import FATAL, Instance, Pacs
from radloop.recipe import Recipe
from radloop.words import PictureNames, several

if TYPE_CHECKING:
    from radloop.dicom.intake import Taken
    from radloop.dicom.pseudonyms import Pseudonyms

_SHARD: Final = 16  # files: a second of DICOM, a quarter of a second of PNG
_FEW: Final = 48  # files: a process takes as long to start
_AHEAD: Final = 2  # shards for each process that are looked at before they are asked for
_DICOM_AT: Final = 128
_RADIOGRAPHS: Final = ("CR", "DX")  # the modalities that are taken from a PACS
_UNUSABLE: Final = "the file itself or its name cannot be used"  # which may name a person


class Found(NamedTuple):
    """One file below the folder."""

    path: str  # relative to the folder
    image_id: str | None  # None: the file tells it (DICOM)


@dataclass(frozen=True)
class Reader:
    """How a file becomes an arrival, in any process."""

    folder: Path
    house: Path  # OUT, by whose key DICOM gets its pseudonyms
    recipe: Recipe
    frontal_only: bool
    named: Mapping[
        str, tuple[str, tuple[str, ...]]
    ]  # of pictures, by image id: the patient's pseudonym, and what else it is known as
    names: PictureNames | None = "keep"  # of pictures; None: they must not look like a person's
    writing: bool = True  # into OUT/private


Shard = list[Arrival | Refusal | None]  # None: known, and not looked at again


class Coming(NamedTuple):
    """What is on its way in."""

    shards: Iterator[Shard]
    total: int  # of files, as far as that is known before
    notes: tuple[str, ...]


def find(folder: Path) -> tuple[list[Found], list[Refusal], int]:
    """The pictures and DICOM files below a folder, in order; those that cannot be used; how many other files there are.

    Raises SourceError where the folder cannot be listed.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder. Pass the folder that holds the pictures or DICOM files.")
    try:
        listed = pictures.find(folder)
    except SourceError as broken:  # whose sentence names what lies below
        raise SourceError(
            f"{folder}: a folder in it cannot be listed, or is a link to a folder of pictures, and no folder behind a "
            "link is read. Put the folder itself there, or name it."
        ) from broken
    bad = listed.filter(pl.col("problem").is_not_null())
    refused = [
        Refusal(f"{path}: {problem}", "file", _UNUSABLE) for path, problem in bad.select("path", "problem").rows()
    ]
    sound = listed.filter(pl.col("problem").is_null())
    found = [Found(path, image_id) for path, image_id in sound.select("path", "image_id").iter_rows()]
    others = 0
    try:
        for entry in files.walk_visible(folder):
            if os.path.splitext(entry.name)[1].lower() in pictures.SUFFIXES:
                continue
            path = os.path.relpath(entry.path, folder)
            if not _is_dicom(entry):
                others += 1
            elif entry.is_symlink():
                refused.append(Refusal(f"{path}: a link: put the file itself there", "file", _UNUSABLE))
            else:
                found.append(Found(path, None))
    except OSError as error:
        raise SourceError(f"{folder}: the files cannot be listed ({error.strerror}).") from error
    return sorted(found), refused, others


def _is_dicom(entry: os.DirEntry[str]) -> bool:
    if not os.path.isfile(entry.path):
        return False
    try:
        with open(entry.path, "rb") as file:
            head = file.read(_DICOM_AT + 4)
    except OSError:
        return False
    return head[_DICOM_AT:] == b"DICM" or entry.name.lower().endswith(".dcm")


def of_folder(reader: Reader, *, jobs: int) -> Coming:
    """What lies in the reader's folder. Raises SourceError where that is nothing, or the key cannot be used."""
    found, refused, others = find(reader.folder)
    if not found and not refused:
        raise SourceError(f"{reader.folder} holds no picture (PNG, JPEG) and no DICOM file.")
    if any(one.image_id is None for one in found):
        _require_library()
    if reader.names is None:
        _require_harmless(found, reader.folder)
    if reader.names == "hide" or any(one.image_id is None for one in found):
        _pseudonyms(reader)  # a key that cannot be used stops the run, and is no fault of the files
    notes = (f"{several(others, 'other file')} (no PNG, JPEG or DICOM) passed over",) if others else ()
    return Coming(chain([list(refused)], _read(reader, found, jobs=jobs)), len(found) + len(refused), notes)


def _require_library() -> None:
    """Raise SourceError where pydicom is missing: without it every DICOM file would be refused."""
    from radloop.dicom import radiograph

    radiograph.library()


def _require_harmless(found: Sequence[Found], folder: Path) -> None:
    """Raise SourceError where names of pictures look like a person's: as image ids they would be published."""
    ids = pl.Series([one.image_id for one in found if one.image_id], dtype=pl.String)
    for count, kind in identity.looks(ids):
        raise SourceError(
            f"{folder}: {count:,} of {len(ids):,} names of pictures look like {kind}, and an image id is published. "
            "Pass --names hide, which puts keyed pseudonyms in their place, or --names keep where they tell nobody."
        )


def _read(reader: Reader, found: Sequence[Found], *, jobs: int) -> Iterator[Shard]:
    """The files in their order, a shard at a time; no more are held than the processes need."""
    shards = [found[start : start + _SHARD] for start in range(0, len(found), _SHARD)]
    function = partial(read_shard, reader)
    if jobs <= 1 or len(found) <= _FEW:
        yield from map(function, shards)
        return
    with processes.pool(jobs) as pool:
        waiting = iter(shards)
        running = deque(pool.submit(function, shard) for shard in islice(waiting, _AHEAD * jobs))
        while running:
            done = running.popleft().result()
            running.extend(pool.submit(function, shard) for shard in islice(waiting, 1))
            yield done


def of_pacs(reader: Reader, pacs: Pacs, known: Collection[str], *, jobs: int) -> Coming:
    """All radiographs of a PACS; one that is known is not asked for again. Raises PacsError where the PACS fails."""
    _require_library()
    return Coming(_ask(reader, pacs, known, jobs=jobs), 0, ())


def _ask(reader: Reader, pacs: Pacs, known: Collection[str], *, jobs: int) -> Iterator[Shard]:
    pseudonyms = _pseudonyms(reader)
    radiographs = (
        instance
        for study in pacs.studies()
        for instance in pacs.instances(study.study_uid)
        if instance.modality in _RADIOGRAPHS
    )
    with ThreadPoolExecutor(jobs) as pool:
        while some := list(islice(radiographs, _SHARD * jobs)):
            new = [one for one in some if pseudonyms.image_id(one.sop_instance_uid) not in known]
            yield [*pool.map(partial(_retrieve, reader, pacs), new), *[None] * (len(some) - len(new))]


def _retrieve(reader: Reader, pacs: Pacs, instance: Instance) -> Arrival | Refusal:
    place = instance.sop_instance_uid
    try:
        arrival = _of_dicom(reader, Found(place, None), pacs.retrieve(instance), datetime.now(UTC))
        if arrival.image_id != _pseudonyms(reader).image_id(place):
            return Refusal(place, "another-object", "the PACS gave another object than it was asked for")
        return replace(arrival, looked=incoming.look(arrival.picture))
    except DicomError as refused:
        return Refusal(place, refused.code, str(refused))
    except PacsError as failed:
        if isinstance(failed, TransientPacsError) or failed.code in FATAL:
            raise
        return Refusal(place, f"pacs-{failed.code}", str(failed))
    except SourceError as damaged:
        return Refusal(place, "picture", str(damaged))


def read_shard(reader: Reader, found: Sequence[Found]) -> Shard:
    """Each file as it arrives, looked at; or why it is refused."""
    return [_read_one(reader, one) for one in found]


def _read_one(reader: Reader, found: Found) -> Arrival | Refusal:
    path = reader.folder / found.path
    try:
        status = path.stat()
        if status.st_size > pictures.MAX_BYTES:
            return Refusal(found.path, "too-large", f"{status.st_size} bytes are more than any radiograph has")
        data, written = path.read_bytes(), datetime.fromtimestamp(status.st_mtime, UTC)
        make: Callable[..., Arrival] = _of_dicom if found.image_id is None else _of_picture
        arrival = make(reader, found, data, written)
        return arrival if arrival.looked else replace(arrival, looked=incoming.look(arrival.picture))
    except DicomError as refused:
        return Refusal(found.path, refused.code, str(refused))
    except SourceError as damaged:
        return Refusal(found.path, "picture", str(damaged))
    except OSError as error:
        return Refusal(found.path, "unreadable", f"it cannot be read: {error.strerror}")


def _of_picture(reader: Reader, found: Found, data: bytes, written: datetime) -> Arrival:
    image_id, picture = found.image_id or "", tags.without_tags(data)
    if reader.names == "hide":
        image_id = _hidden(image_id, _pseudonyms(reader))
    known = _known(reader.house / manifest.UNIT).get(image_id)
    looked = known if known and known.md5 == hashlib.md5(picture).hexdigest() else None
    if looked is None:
        gray = pixels.decode(picture)
        _require_no_text(picture, gray, image_id, reader)
        looked = incoming.measure(picture, gray)
    patient, known_as = reader.named.get(image_id, (None, ()))
    return Arrival(image_id, picture, written, patient, known_as, place=found.path, looked=looked)


@cache
def _known(root: Path) -> dict[str, Looked]:
    """What was seen of the pictures that came in before: a file that is read again is not decoded again."""
    rows = unlabelled.read(root).select("image_id", *Looked._fields).iter_rows()
    return {image_id: Looked(*looked) for image_id, *looked in rows}


def _hidden(name: str, pseudonyms: "Pseudonyms") -> str:
    """The pseudonym of a picture's name, which the table that leads back knows from now on."""
    from radloop.dicom.pseudonyms import Origin

    image_id = pseudonyms.image_id(name)
    _require_remembered(pseudonyms.is_forgotten(image_id))
    pseudonyms.remember(
        Origin(image_id, "", "", sop_instance_uid=name, sop_class_uid="", patient_id="", issuer="", rows=0, columns=0)
    )
    return image_id


def _require_no_text(picture: bytes, gray: npt.NDArray[np.uint8], image_id: str, reader: Reader) -> None:
    """Raise DicomError where a person has to look at the picture first."""
    from radloop.dicom import burnt, quarantine
    from radloop.dicom.pseudonyms import FOLDER

    why = burnt.why(gray)
    if why:
        stones, prints = tombstones.read(reader.house), [pixels.fingerprint(gray)]
        _require_remembered(
            tombstones.forgotten(stones, [image_id]) or tombstones.forgotten(stones, prints, kind="pixels")
        )
    held = why and quarantine.admit(reader.house / FOLDER, image_id, picture, why, writing=reader.writing)
    if held:
        raise DicomError(held, code=quarantine.HELD)


def _require_remembered(is_forgotten: object) -> None:
    """Raise DicomError, before anything of it is kept, for what `radloop forget` has taken away."""
    if is_forgotten:
        raise DicomError(incoming.REASONS["forgotten"], code="forgotten")


def _of_dicom(reader: Reader, found: Found, data: bytes, written: datetime) -> Arrival:
    from radloop.dicom import intake

    pseudonyms = _pseudonyms(reader)
    taken = intake.take(data, reader.recipe, pseudonyms, frontal_only=reader.frontal_only)
    return of_taken(taken, pseudonyms, arrived_at=written, place=found.path)


def of_taken(taken: "Taken", pseudonyms: "Pseudonyms", *, arrived_at: datetime, place: str = "") -> Arrival:
    """The arrival of a picture that was made of DICOM. Raises DicomError where a person has to look at it first."""
    taken.require_released()
    origin = pseudonyms.back(taken.image_id)
    return Arrival(
        taken.image_id,
        taken.png,
        arrived_at,
        taken.patient,
        patients.hashes(origin.patient_id) if origin else (),
        width=taken.width,
        height=taken.height,
        spacing_mm=taken.spacing_mm,
        site=taken.site,
        view=taken.view or None,
        recipe=taken.recipe,
        place=place,
    )


def _pseudonyms(reader: Reader) -> "Pseudonyms":
    from radloop.dicom.pseudonyms import FOLDER, KEY

    return _opened(reader.house, reader.writing, (reader.house / FOLDER / KEY).exists())


@cache
def _opened(house: Path, writing: bool, has_key: bool) -> "Pseudonyms":
    from radloop.dicom.pseudonyms import Pseudonyms

    return Pseudonyms.open(house, writing=writing)

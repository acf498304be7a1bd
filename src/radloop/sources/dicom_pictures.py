"""DICOM files -> pictures under pseudonyms, in processes. A killed run is taken up: what it made is made once.

FOLDER/images/<image_id>.png     a picture by the recipe
FOLDER/files.jsonl               a line for each file: what became of it, without any identifier
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from radloop import files
from radloop.dicom import intake, radiograph
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.engines import Engine
from radloop.errors import DicomError, SourceError
from radloop.progress import Progress, silent
from radloop.recipe import Recipe

IMAGES: Final = "images"
RECORD: Final = "files.jsonl"

_ENDINGS: Final = (".dcm", ".dicom", ".dic", ".ima")
_INDEX: Final = "DICOMDIR"  # of a medium: it lists the files beside it
_MAGIC: Final = (128, b"DICM")
_MOST_BYTES: Final = 2**30
_SHARD: Final = 8  # files
_TABLE: Final = pl.Schema(
    {
        **dict.fromkeys(("image_id", "code", "reason", "patient", "study", "view", "site", "md5"), pl.String()),
        **dict.fromkeys(("width", "height"), pl.Int32()),
        **dict.fromkeys(("spacing_mm_row", "spacing_mm_column"), pl.Float64()),
        "study_date": pl.Date(),
        "bytes": pl.Int64(),
    }
)
_TWICE: Final = "another file has the same SOPInstanceUID and shows something else, or somebody else"


@dataclass(frozen=True)
class Made:
    """What became of one file. No identifier: pseudonyms alone."""

    file: str  # a keyed hash of its name, size and time, and of how it was to be made
    image_id: str | None = None
    code: str | None = None  # why there is no picture, and the sentence
    reason: str | None = None
    patient: str | None = None
    study: str | None = None
    width: int | None = None  # of the source
    height: int | None = None
    spacing_mm_row: float | None = None
    spacing_mm_column: float | None = None
    view: str | None = None
    site: str | None = None
    study_date: date | None = None  # shifted
    md5: str | None = None  # of the picture
    bytes: int | None = None

    @property
    def is_forgotten(self) -> bool:
        """Whether `radloop forget` took it away: no record of it is kept."""
        return self.code == "forgotten"

    @property
    def shown(self) -> tuple[object, ...]:
        """What two files of one image have in common."""
        return self.md5, self.patient, self.study, self.width, self.height


def find(folder: Path) -> list[str]:
    """The DICOM files in a folder and the folders in it, by their ending or their first bytes, relative and sorted.

    Raises SourceError where the folder cannot be listed.
    """
    try:
        return [os.path.relpath(entry.path, folder) for entry in files.walk_visible(folder) if _is_dicom(entry)]
    except OSError as refused:
        raise SourceError(f"{folder} cannot be read: {refused.strerror}.") from refused


def make(
    folder: Path,
    names: Sequence[str],
    into: Path,
    recipe: Recipe,
    pseudonyms: Pseudonyms,
    *,
    frontal_only: bool = False,
    engine: Engine,
    progress: Progress = silent,
) -> dict[str, Made]:
    """What became of each of the files `names` of `folder`, by name; the pictures lie in `into`/images.

    A file that has not changed since is not read again, but one that was refused: what was missing may be there now.
    Of two files with one UID the first counts if they show the same, else none. Pictures of no file are removed.
    """
    how = f"{recipe} {frontal_only}"
    keys = {name: _key(folder, name, how, pseudonyms) for name in names}
    images = into / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    known = {one.file: one for one in _recorded(into / RECORD) if _stands(images, one)}
    made = {name: known[key] for name, key in keys.items() if key in known}
    _remove_others(images, made.values())

    missing = [name for name in names if name not in made]
    shards = [[(name, keys[name]) for name in missing[at : at + _SHARD]] for at in range(0, len(missing), _SHARD)]
    take = partial(_take_some, folder, images, recipe, pseudonyms.folder.parent, frontal_only)
    progress("DICOM files", len(made), len(names))
    for some in engine.map(take, shards):
        _append(into / RECORD, some.values())
        made |= some
        progress("DICOM files", len(made), len(names))
    made = {name: made[name] for name in names}
    made |= _contradicting(made)
    _remove_others(images, made.values())
    files.write_atomic(into / RECORD, b"".join(_line(one) for one in made.values() if not one.is_forgotten))
    return made


def table(made: Iterable[Made]) -> pl.DataFrame:
    """A row for each file; of two of one image both have the same."""
    return pl.DataFrame([asdict(one) for one in made if not one.is_forgotten], schema=_TABLE)


def _is_dicom(entry: "os.DirEntry[str]") -> bool:
    if not entry.is_file() or entry.name.upper() == _INDEX:
        return False
    if entry.name.lower().endswith(_ENDINGS):
        return True
    at, magic = _MAGIC
    with open(entry.path, "rb", buffering=0) as file:
        return os.pread(file.fileno(), len(magic), at) == magic


def _key(folder: Path, name: str, how: str, pseudonyms: Pseudonyms) -> str:
    status = os.stat(folder / name)
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return pseudonyms.keyed("file", f"{text}\0{status.st_size}\0{status.st_mtime_ns}\0{how}")


def _take_some(
    folder: Path,
    images: Path,
    recipe: Recipe,
    out: Path,
    frontal_only: bool,
    some: Sequence[tuple[str, str]],
) -> dict[str, Made]:
    pseudonyms = Pseudonyms.open(out)  # in a process of its own
    return {name: _take(folder / name, key, images, recipe, pseudonyms, frontal_only) for name, key in some}


def _take(path: Path, key: str, images: Path, recipe: Recipe, pseudonyms: Pseudonyms, frontal_only: bool) -> Made:
    data = b""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DicomError(f"it has over {_MOST_BYTES:,} bytes: no radiograph has", code="too-large")
        data = path.read_bytes()
        taken = intake.take(data, recipe, pseudonyms, frontal_only=frontal_only)
        taken.require_released()
    except OSError as refused:
        return Made(key, code="unreadable", reason=f"it cannot be read: {refused.strerror}")
    except DicomError as refused:
        uid = radiograph.uid(data)
        return Made(key, pseudonyms.image_id(uid) if uid else None, refused.code, str(refused))
    origin = pseudonyms.back(taken.image_id)
    picture = images / f"{taken.image_id}.png"
    if not picture.exists():  # else of another file of this UID: `_contradicting` compares them
        files.write_atomic(picture, taken.png)
    row, column = taken.spacing_mm or (None, None)
    return Made(
        key,
        taken.image_id,
        patient=taken.patient,
        study=pseudonyms.keyed("study", origin.study_uid) if origin and origin.study_uid else None,
        width=taken.width,
        height=taken.height,
        spacing_mm_row=row,
        spacing_mm_column=column,
        view=taken.view,
        site=taken.site,
        study_date=taken.study_date,
        md5=hashlib.md5(taken.png).hexdigest(),
        bytes=len(taken.png),
    )


def _stands(images: Path, one: Made) -> bool:
    """Whether the picture of a record is there."""
    if one.image_id is None or one.code is not None:
        return False
    try:
        return os.stat(images / f"{one.image_id}.png").st_size == one.bytes
    except FileNotFoundError:
        return False


def _contradicting(made: Mapping[str, Made]) -> dict[str, Made]:
    """The files whose UID another has, too, and that do not show the same: refused."""
    alike = defaultdict(list)
    for name, one in made.items():
        if one.image_id and not one.code:
            alike[one.image_id].append(name)
    wrong = [names for names in alike.values() if len({made[name].shown for name in names}) > 1]
    return {name: Made(made[name].file, made[name].image_id, "uid-twice", _TWICE) for names in wrong for name in names}


def _remove_others(images: Path, made: Collection[Made]) -> None:
    kept = {f"{one.image_id}.png" for one in made if one.image_id and not one.code}
    for name in os.listdir(images):
        if name not in kept:
            (images / name).unlink()


def _recorded(path: Path) -> Iterator[Made]:
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            yield msgspec.json.decode(line, type=Made)
        except msgspec.DecodeError:  # the last line of a run that was killed
            continue


def _append(path: Path, made: Iterable[Made]) -> None:
    with path.open("ab") as record:
        record.write(b"".join(map(_line, made)))


def _line(one: Made) -> bytes:
    return msgspec.json.encode(one) + b"\n"

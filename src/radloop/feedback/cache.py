"""Reading a folder of feedback again costs what is new: the rows of all files that were read once are kept."""

import fcntl
import hashlib
import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, sealed
from radloop.errors import NewerFormatError
from radloop.feedback import documents, evidence, listing, reading
from radloop.feedback.conventions import OWN, Convention
from radloop.feedback.reading import Manner
from radloop.feedback.rows import Records, combine, shared
from radloop.progress import Progress, silent
from radloop.tables import DETECTIONS, FEEDBACK, REFUSED_FILES
from radloop.taxonomy import Taxonomy

_PASS: Final = 6  # another number where reading means something else: what an older pass has read is not used
_OF_A_BOX: Final = [(name, kind) for name, kind in DETECTIONS.items() if name not in FEEDBACK]
_ROWS: Final = pl.Schema(
    [
        *(("pass", pl.Int8()), ("classes", pl.Int16())),
        *FEEDBACK.items(),
        *_OF_A_BOX,
        *(("low", pl.Boolean()), ("mtime_ns", pl.Int64())),
    ]
)
_REQUIRED: Final = {"pass", "classes", "file", *DETECTIONS, "low", "mtime_ns"}
_NOTHING: Final = Records(FEEDBACK.to_frame(), DETECTIONS.to_frame(), REFUSED_FILES.to_frame())
_TIMED: Final = 500  # files of a part whose time is kept,
_LOOKED_AT: Final = 1_000  # and files in all whose time is compared: this sees 0.5 % replaced, all but surely
_LISTED: Final = 50_000  # names at one time
_WORTH_A_PART: Final = 50  # one fiftieth of what is known; reading fewer files again costs less than many small parts


def path(out: Path, folder: Path, classes: Taxonomy, convention: Convention = OWN) -> Path:
    """The folder under `out` that keeps the rows of `folder`, read as feedback on so many classes in a convention."""
    name = hashlib.md5(os.fsencode(folder.resolve())).hexdigest()[:8]
    names = "\n".join(classes.names)
    other = "" if convention.is_own else "-" + hashlib.md5(repr(convention).encode()).hexdigest()[:8]
    return out / "cache" / f"feedback-{name}-{len(classes)}-{hashlib.md5(names.encode()).hexdigest()[:8]}{other}"


def read(
    folder: Path,
    classes: Taxonomy,
    cache: Path | None,
    *,
    convention: Convention = OWN,
    readings: pl.DataFrame | None = None,
    now: datetime | None = None,
    columns: Collection[str] = FEEDBACK,
    jobs: int = 1,
    progress: Progress = silent,
) -> Records:
    """Every feedback in `folder`, as `reading.read` gives it; of what the folder `cache` knows nothing is opened.

    `columns` of FEEDBACK are kept.

    Feedback is never changed, so a file is known by its name; some are looked at, and where one is another than it was
    all are read again. Refused files always are: somebody may have mended them; and so are files of many lines, which
    grow. What is new is added to `cache` as it is read, unless another process is at that; None: there is none.

    Raises FeedbackError where the folder as a whole is not in the `convention` (`evidence.check`).
    """
    manner = Manner(classes, convention, now)
    if cache is None:
        names = listing.names(folder)
        found = combine(reading.parts(folder, names, manner, jobs=jobs, progress=progress), columns)
    else:
        found = combine(_parts(folder, manner, cache, columns, jobs, progress), columns)
    evidence.check(found, classes, convention, readings=readings, now=now, name=str(folder))
    return found


def _parts(
    folder: Path, manner: Manner, cache: Path, columns: Collection[str], jobs: int, progress: Progress
) -> Iterator[Records]:
    with _locked(cache) as ours:
        parts, new = _known_and_new(cache, folder, manner.classes, columns)
        worth_keeping = ours and len(new) * _WORTH_A_PART > sum(part.feedback.height for part in parts)
        while parts:
            yield parts.pop()
        for part in reading.parts(folder, new, manner, jobs=jobs, progress=progress):
            if worth_keeping and part.feedback.height and listing.is_document(part.feedback["file"][0]):
                _write(cache, part, folder, manner.classes)
            yield part


@contextmanager
def _locked(cache: Path) -> Iterator[bool]:
    """Whether this process alone writes to `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cache, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = True
        except OSError:  # held, or a file system without locks
            ours = False
        yield ours
    finally:
        os.close(descriptor)


def _known_and_new(
    cache: Path, folder: Path, classes: Taxonomy, columns: Collection[str]
) -> tuple[list[Records], list[str]]:
    """What the cache knows of the files that are there, and the names that it does not know."""
    places = sorted(cache.glob("*.parquet"))
    if not places:
        return [], listing.names(folder)
    with ThreadPoolExecutor(2) as pool:  # listing 200,000 names takes as long as reading what is known of them
        read = pool.map(partial(_part, len(classes), columns), places)
        listed, others = _listed(folder)
        kept = [part for part in read if part is not None]
    if not _looks_as_it_did(folder, [times for _, times in kept]):
        for place in places:
            place.unlink(missing_ok=True)
        return [], listing.names(folder)
    parts = [part for part, _ in kept]
    known = pl.concat([part.feedback.select("file") for part in parts] or [pl.DataFrame(schema=listed.schema)])
    new = listed.join(known, on="file", how="anti", maintain_order="left")["file"].to_list()
    if listed.height - len(new) < known.height:
        parts = [_still_there(part, listed) for part in parts]
    return parts, new + others


def _listed(folder: Path) -> tuple[pl.DataFrame, list[str]]:
    """The names of all files in `folder` as a table, and those that are not UTF-8."""
    chunks = [pl.Series("file", [], pl.Binary)]
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(os.fsencode(folder)) as entries:
        while some := [entry.name for entry in islice(entries, _LISTED)]:  # a million would be 100 MB of Python's
            chunks.append(pl.Series("file", some, pl.Binary))
    names = pl.concat(chunks)
    del chunks
    document = names.bin.ends_with(b".json")
    if any(listing.is_visible(os.fsdecode(name)) for name in names.filter(~document)):  # folders, or other endings
        names = pl.Series("file", [os.fsencode(name) for name in listing.names(folder)], pl.Binary)
    else:
        names = names.filter(document & ~names.bin.starts_with(b"."))
    try:
        return names.cast(pl.String).to_frame(), []
    except pl.exceptions.PolarsError:  # one is not UTF-8; looking at each takes twice the time
        decoded = [os.fsdecode(name) for name in names]
        text = {name: documents.shown(name) == name for name in decoded}
        listed = pl.DataFrame({"file": [name for name in decoded if text[name]]}, {"file": pl.String})
        return listed, [name for name in decoded if not text[name]]


def _still_there(part: Records, listed: pl.DataFrame) -> Records:
    feedback = part.feedback.join(listed, on="file", how="semi", maintain_order="left")
    detections, low = (
        boxes.join(feedback, on="feedback_id", how="semi", maintain_order="left")
        for boxes in (part.detections, part.low)
    )
    return Records(feedback, detections, part.refused, low=low)


def _part(classes: int, columns: Collection[str], place: Path) -> tuple[Records, pl.DataFrame] | None:
    """What `_write` put there, and file and mtime_ns of some; a part that is damaged or of other classes is removed."""
    try:
        rows = sealed.decode(place.read_bytes())
    except FileNotFoundError:  # another process has just removed it
        return None
    except NewerFormatError:  # it is only a cache
        rows = None
    if rows is None or not _fits(rows, classes):
        place.unlink(missing_ok=True)
        return None
    return _records(rows, columns), rows.select("file", "mtime_ns").drop_nulls()


def _fits(rows: pl.DataFrame, classes: int) -> bool:
    """Whether this pass has read them, as feedback on so many classes."""
    if not rows.schema.items() <= _ROWS.items() or not rows.schema.keys() >= _REQUIRED or rows.is_empty():
        return False
    return rows.select("pass", "classes").row(0) == (_PASS, classes)


def _looks_as_it_did(folder: Path, tables: list[pl.DataFrame]) -> bool:
    """Whether those files that are looked at are the ones that were read; one that is gone says nothing."""
    times = pl.concat([_ROWS.to_frame().select("file", "mtime_ns"), *tables])
    some = times.gather_every(-(-times.height // _LOOKED_AT) or 1)
    return all(_mtime(folder, file) in (None, mtime) for file, mtime in some.iter_rows())


def _records(rows: pl.DataFrame, columns: Collection[str]) -> Records:
    """The rows of files and those of boxes apart; gathered, for a slice would hold the empty fields of both."""
    files = rows.height - rows["file"].null_count()
    place = pl.int_range(rows.height, dtype=pl.UInt32, eager=True)
    feedback = rows.select(name for name in FEEDBACK if name in columns and name in rows.columns)[place[:files]]
    boxes = rows.select(*DETECTIONS.names(), "low")[place[files:]]
    detections, low = boxes.filter(pl.col("low").is_null()), boxes.filter("low")
    return shared(Records(feedback, detections.drop("low"), _NOTHING.refused, low=low.drop("low")))


def _write(cache: Path, part: Records, folder: Path, classes: Taxonomy) -> None:
    """Keep the rows of files and boxes in one table, under a name that says which files they are."""
    looked_at = part.feedback[:: -(-part.feedback.height // _TIMED)].select("file")
    times = looked_at.with_columns(mtime_ns=pl.Series([_mtime(folder, file) for file in looked_at["file"]]))
    feedback = part.feedback.join(times, on="file", how="left", maintain_order="left")
    low = part.low.with_columns(low=pl.lit(value=True))
    rows = pl.concat([feedback, part.detections, low], how="diagonal").with_columns(
        pl.lit(_PASS, pl.Int8).alias("pass"), classes=pl.lit(len(classes), pl.Int16)
    )
    name = hashlib.md5("\0".join(part.feedback["file"]).encode()).hexdigest()[:16]
    files.write_atomic(cache / f"{name}.parquet", sealed.encode(rows, compression="lz4"), mode=files.OWN_FILE)


def _mtime(folder: Path, name: str) -> int | None:
    try:
        return os.lstat(f"{folder}/{name}").st_mtime_ns
    except FileNotFoundError:
        return None

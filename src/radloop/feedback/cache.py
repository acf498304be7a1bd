"""Reading a folder of feedback again costs what is new: the rows of all files that were read once are kept."""

import hashlib
import os
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, processes, sealed
from radloop.errors import FeedbackError
from radloop.feedback import records
from radloop.feedback.records import Records
from radloop.progress import Progress, silent
from radloop.tables import DETECTIONS, FEEDBACK, REFUSED_FILES

_PASS: Final = 1  # another number where reading means something else: what an older pass has read is not used
_OF_A_BOX: Final = [(name, kind) for name, kind in DETECTIONS.items() if name not in FEEDBACK]
_ROWS: Final = pl.Schema([*FEEDBACK.items(), *_OF_A_BOX, ("mtime_ns", pl.Int64()), ("pass", pl.Int8())])
_NAMES: Final = pl.Schema({"file": pl.String})
_LOOKED_AT: Final = 2_000  # files whose time is compared: of 200,000 this sees 0.5 % replaced, all but surely
_WORTH_WRITING: Final = 1.02  # times what it holds; reading fewer files again costs less than writing all rows
_WORTH_PROCESSES: Final = 50_000  # files; below, starting them takes longer than what they save


def path(out: Path, folder: Path) -> Path:
    """Where the rows of `folder` are kept under `out`."""
    name = hashlib.md5(os.fsencode(folder.resolve())).hexdigest()[:8]
    return out / "cache" / f"feedback-{name}.parquet"


def read(folder: Path, cache: Path | None, *, jobs: int = 1, progress: Progress = silent) -> Records:
    """Every feedback in `folder`, as `records.read` gives it; of what the file `cache` knows nothing is opened.

    Feedback is never changed, so a file is known by its name; up to 2,000 are looked at, and where one is another than
    it was all are read again. Refused files always are: somebody may have mended them. `cache` is brought up to date;
    None: there is none.
    """
    known = _known(cache, folder)
    if known.feedback.is_empty():
        found = _read(folder, list(records.listing(folder)), jobs, progress)
        if cache is not None and found.feedback.height:
            _write(cache, found, folder)
        return found
    names = os.listdir(folder) if folder.is_dir() else []
    listed = pl.DataFrame({"file": [name for name in names if name.endswith(".json") and _is_text(name)]}, _NAMES)
    new = listed.join(known.feedback, on="file", how="anti", maintain_order="left")["file"].to_list()
    new += [name for name in names if name.endswith(".json") and not _is_text(name)]
    known = _still_there(known, listed)
    if not new:
        return known
    found = records.combine([known, _read(folder, new, jobs, progress)])
    if cache is not None and found.feedback.height > _WORTH_WRITING * known.feedback.height:
        _write(cache, found, folder)
    return found


def _is_text(name: str) -> bool:
    return name.isascii() or records.shown(name) == name


def _read(folder: Path, names: list[str], jobs: int, progress: Progress) -> Records:
    if jobs == 1 or len(names) < _WORTH_PROCESSES:
        return records.read(folder, names, progress=progress if names else silent)
    share = -(-len(names) // jobs)
    shares = [names[start : start + share] for start in range(0, len(names), share)]
    with processes.pool(len(shares)) as pool:
        try:
            return records.combine(list(pool.map(partial(records.read, folder), shares)))
        except BrokenProcessPool as broken:
            raise FeedbackError(
                f"{folder}: a process that read feedback died, perhaps for want of memory. Run it again with --jobs 1."
            ) from broken


def _known(cache: Path | None, folder: Path) -> Records:
    """What the cache knows, in the order of `records.combine`; nothing where the files are not those that it knew."""
    nothing = Records(FEEDBACK.to_frame(), DETECTIONS.to_frame(), REFUSED_FILES.to_frame())
    if cache is None:
        return nothing
    try:
        rows = sealed.decode(cache.read_bytes())
    except OSError:
        return nothing  # none yet
    if rows is None or not rows.schema.items() <= _ROWS.items() or rows["pass"].first() != _PASS:
        return nothing
    looked_at = rows.filter(pl.col("mtime_ns").is_not_null()).select("file", "mtime_ns")
    if any(_mtime(folder, file) not in (None, mtime) for file, mtime in looked_at.iter_rows()):
        return nothing
    absent = [pl.lit(None, kind).alias(name) for name, kind in _ROWS.items() if name not in rows.columns]
    of_file = pl.col("file").is_not_null()
    return Records(
        rows.filter(of_file).with_columns(absent).select(FEEDBACK.names()),
        rows.filter(~of_file).with_columns(absent).select(DETECTIONS.names()),
        nothing.refused,
    )


def _still_there(known: Records, listed: pl.DataFrame) -> Records:
    feedback = known.feedback.join(listed, on="file", how="semi", maintain_order="left")
    if feedback.height == known.feedback.height:
        return known
    return Records(
        feedback, known.detections.join(feedback, on="feedback_id", how="semi", maintain_order="left"), known.refused
    )


def _write(cache: Path, found: Records, folder: Path) -> None:
    """Keep the rows of files and boxes in one table; a column without a value is left out."""
    step = -(-found.feedback.height // _LOOKED_AT)
    looked_at = found.feedback[::step].select("file")
    times = looked_at.with_columns(mtime_ns=pl.Series([_mtime(folder, file) for file in looked_at["file"]]))
    filled = [column.name for column in found.feedback if column.null_count() < len(column)]
    feedback = found.feedback.select(filled).join(times, on="file", how="left", maintain_order="left")
    rows = pl.concat([feedback, found.detections], how="diagonal").with_columns(pl.lit(_PASS, pl.Int8).alias("pass"))
    files.write_atomic(cache, sealed.encode(rows, compression="lz4"))


def _mtime(folder: Path, name: str) -> int | None:
    try:
        return os.lstat(f"{folder}/{name}").st_mtime_ns
    except FileNotFoundError:
        return None

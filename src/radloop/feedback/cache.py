"""Reading a folder of feedback again costs what is new: the rows of all files that were read once are kept."""

import hashlib
import io
import os
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, processes
from radloop.errors import FeedbackError
from radloop.feedback import records
from radloop.feedback.records import Records
from radloop.progress import Progress, silent
from radloop.tables import DETECTIONS, FEEDBACK, REFUSED_FILES

_PASS: Final = 1  # another number where reading means something else: what an older pass has read is not used
_OF_A_BOX: Final = [(name, kind) for name, kind in DETECTIONS.items() if name not in FEEDBACK]
_ROWS: Final = pl.Schema([*FEEDBACK.items(), *_OF_A_BOX, ("inode", pl.UInt64()), ("pass", pl.Int8())])
_WORTH_PROCESSES: Final = 50_000  # files; below, starting them takes longer than what they save


def path(out: Path, folder: Path) -> Path:
    """Where the rows of `folder` are kept under `out`."""
    name = hashlib.md5(os.fsencode(folder.resolve())).hexdigest()[:8]
    return out / "cache" / f"feedback-{name}.parquet"


def read(folder: Path, cache: Path | None, *, jobs: int = 1, progress: Progress = silent) -> Records:
    """Every feedback in `folder`, as `records.read` gives it; of what the file `cache` knows nothing is opened.

    Feedback is never changed, so that a file is known by its name and inode. Refused files are read again each time:
    somebody may have mended them. `cache` is brought up to date; None: there is none.
    """
    inodes = records.listing(folder)
    known = _known(cache, inodes)
    read_before = set(known.feedback["file"])
    new = [name for name in inodes if name not in read_before]
    found = records.combine([known, *_read(folder, new, jobs, progress)])
    if cache is not None and found.feedback.height > known.feedback.height:
        _write(cache, found, inodes)
    return found


def _read(folder: Path, names: list[str], jobs: int, progress: Progress) -> list[Records]:
    if not names:
        return []
    if jobs == 1 or len(names) < _WORTH_PROCESSES:
        return [records.read(folder, names, progress=progress)]
    share = -(-len(names) // jobs)
    shares = [names[start : start + share] for start in range(0, len(names), share)]
    with processes.pool(len(shares)) as pool:
        try:
            return list(pool.map(partial(records.read, folder), shares))
        except BrokenProcessPool as broken:
            raise FeedbackError(
                f"{folder}: a process that read feedback died, perhaps for want of memory. Run it again with --jobs 1."
            ) from broken


def _known(cache: Path | None, inodes: dict[str, int]) -> Records:
    """What the cache knows of those files that are still there."""
    nothing = Records(FEEDBACK.to_frame(), DETECTIONS.to_frame(), REFUSED_FILES.to_frame())
    if cache is None:
        return nothing
    try:
        rows = pl.read_parquet(io.BytesIO(cache.read_bytes()))
    except (OSError, pl.exceptions.PolarsError):
        return nothing  # none yet, or not ours: it is only a cache
    if rows.schema != _ROWS or not (rows["pass"] == _PASS).all():
        return nothing
    is_feedback = pl.col("file").is_not_null()
    feedback, boxes = rows.filter(is_feedback), rows.filter(~is_feedback)
    there = [inodes.get(file) == inode for file, inode in feedback.select("file", "inode").iter_rows()]
    if not all(there):
        feedback = feedback.filter(pl.Series(there))
        boxes = boxes.join(feedback, on="feedback_id", how="semi", maintain_order="left")
    return Records(feedback.select(FEEDBACK.names()), boxes.select(DETECTIONS.names()), nothing.refused)


def _write(cache: Path, found: Records, inodes: dict[str, int]) -> None:
    inode = pl.Series("inode", [inodes[file] for file in found.feedback["file"]], dtype=pl.UInt64)
    rows = pl.concat([found.feedback.with_columns(inode), found.detections], how="diagonal")
    buffer = io.BytesIO()
    rows.with_columns(pl.lit(_PASS, pl.Int8).alias("pass")).select(_ROWS.names()).write_parquet(
        buffer, compression="lz4", statistics=False
    )
    files.write_atomic(cache, buffer.getvalue())

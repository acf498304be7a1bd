"""The file that keeps what looking at pictures found, so that only new and changed ones are looked at again.

Beside it, in parts, what a run has saved so far, or a killed one left; the end of a run makes it one file again. Of a
million pictures the thumbnails take most of it: they are read some at a time, and only where they are asked for.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from radloop import files, sealed
from radloop.dataset import portions
from radloop.formats import PICTURE_CACHE
from radloop.tables import PICTURES

PASS: Final = 3  # raise it when what is measured changes: what another pass has found is not used
INSPECTED: Final = pl.Schema(
    {
        **PICTURES,  # type: ignore[arg-type]  # bytes and md5 are the file's, with its tags
        "bare_bytes": pl.Int64,  # without its tags; null where it has none
        "bare_md5": pl.String,
        "bare_sha256": pl.String,
        "spread": pl.Int16,  # how many of 256 gray values it uses; null where they are many
        "mtime_ns": pl.Int64,
        "ctime_ns": pl.Int64,
        "inode": pl.UInt64,
        "thumbnail": pl.Binary,
        "pass": pl.Int16,
    }
)
_WITHOUT_SHA256: Final = pl.Schema({name: kind for name, kind in INSPECTED.items() if "sha256" not in name})
MEASURED: Final = pl.Schema({name: kind for name, kind in INSPECTED.items() if name != "thumbnail"})
FILE: Final = ("path", "bytes", "mtime_ns", "inode", "pass")  # by which a file is known again
_AT_ONCE: Final = 65_536  # pictures: 64 MB of thumbnails


def scan(cache: Path) -> Iterator[pl.LazyFrame]:
    """Its tables (INSPECTED, sha256 perhaps null); one not ours, or damaged, is passed over: it is only a cache."""
    for place in (cache, *_parts(cache)):
        with suppress(OSError):  # none yet
            if (table := sealed.scan(place, INSPECTED)) is not None:
                yield table
            elif (before := sealed.scan(place, _WITHOUT_SHA256)) is not None:  # of an earlier radloop
                yield before.match_to_schema(INSPECTED, missing_columns="insert")


def measured(cache: Path) -> pl.DataFrame:
    """All that it knows but the thumbnails (MEASURED)."""
    return pl.concat([MEASURED.to_frame(), *(table.select(MEASURED.names()).collect() for table in scan(cache))])


def with_thumbnails(cache: Path, known: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The `known` pictures (MEASURED), some at a time, with their thumbnails (INSPECTED), each once."""
    numbered = known.with_row_index("number")
    new = np.ones(known.height, bool)
    for table in scan(cache):
        for some in portions.slices(table.select(*FILE, "md5", "thumbnail"), _AT_ONCE):
            found = some.join(numbered, on=[*FILE, "md5"]).unique("number")
            found = found.filter(pl.Series(new[found["number"].to_numpy()], dtype=pl.Boolean))
            new[found["number"].to_numpy()] = False
            yield found.select(INSPECTED.names())


def add(cache: Path, table: pl.DataFrame) -> None:
    """Save a part (INSPECTED), beside what is there."""
    files.write_atomic(
        cache.with_suffix(f".{len(_parts(cache))}{cache.suffix}"),
        sealed.encode(_kept(table), number=PICTURE_CACHE.number),
    )


def put(cache: Path, known: pl.DataFrame, new: pl.DataFrame) -> None:
    """Keep of what is there the `known` pictures (MEASURED), and `new` ones (INSPECTED); parts become one file."""
    old, known, new = _parts(cache), _kept(known), _kept(new)
    with files.replaced(cache) as descriptor, open(descriptor, "r+b", closefd=False) as file:
        some = chain(with_thumbnails(cache, known), [new])
        sealed.write_parts(file, some, known.height + new.height, INSPECTED, number=PICTURE_CACHE.number)
    for part in old:
        part.unlink()


def has_parts(cache: Path) -> bool:
    """Whether a run was killed, or is not yet at its end."""
    return bool(_parts(cache))


def _parts(cache: Path) -> list[Path]:
    return list(cache.parent.glob(f"{cache.stem}.*{cache.suffix}"))


def _kept(table: pl.DataFrame) -> pl.DataFrame:
    """What follows from a file's bytes; one that could not be read may be readable the next time."""
    return table.filter(pl.col("md5").is_not_null())

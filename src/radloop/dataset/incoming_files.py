"""The unit of pictures without labels on disk. It is added to, never written anew; a kill leaves it as it was.

incoming.parquet is what readers go by, and is replaced in one step. A list of what is arriving is written before the
first picture and removed after the manifest: what it lists and the table does not have is taken away again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import files, manifest, sealed, sums, tree
from radloop.catalog import incoming
from radloop.dataset import plan
from radloop.dataset.incoming import Arrival
from radloop.tables import MANIFEST

ARRIVING: Final = incoming.ARRIVING


def recover(unit: Path) -> None:
    """Put in order what a killed `add` left: what it had committed is there, all else is not."""
    journal = unit / ARRIVING
    if not journal.exists():
        return
    table = sealed.decode((unit / tree.INCOMING).read_bytes()) if (unit / tree.INCOMING).exists() else None
    there = set() if table is None else set(table["image_id"])
    arriving = manifest.decode(journal.read_bytes(), name=str(journal))
    for key, image_id in arriving.select("key", "image_id").iter_rows():
        if image_id not in there:
            (unit / key).unlink(missing_ok=True)
            temporary = (unit / key).with_name(f".{Path(key).name}.tmp")
            temporary.unlink(missing_ok=True)
    if table is not None:
        _write_manifest(unit, arriving.filter(pl.col("image_id").is_in(list(there))), durable=True)
    journal.unlink()


def add(unit: Path, arrivals: Sequence[Arrival], table: pl.DataFrame, *, durable: bool = False) -> None:
    """Make the unit what `table` (INCOMING, all of it) says, with the pictures of the `arrivals` beside those there.

    With `durable` the pictures have reached the disk before the table names them, and the table before this returns.
    """
    recover(unit)  # of a call before that failed
    arriving = pl.DataFrame([_file(one) for one in arrivals], schema=MANIFEST)
    files.write_atomic(unit / ARRIVING, manifest.encode(arriving))
    for one in arrivals:
        files.write_atomic(unit / one.key, one.picture)
    if durable:
        files.flush_file_system(unit)
    files.write_atomic(unit / tree.INCOMING, incoming.encode(table), durable=durable)
    _write_manifest(unit, arriving, durable=durable)
    (unit / ARRIVING).unlink()


def _write_manifest(unit: Path, arriving: pl.DataFrame, *, durable: bool) -> None:
    before = manifest.read(unit)
    listed = MANIFEST.to_frame() if before is None else manifest.filled(before.filter(kind="image"), unit)
    data = (unit / tree.INCOMING).read_bytes()
    every = pl.concat([listed, arriving, plan.listed({tree.INCOMING: data})]).unique("key", keep="last")
    files.write_atomic(unit / manifest.NAME, manifest.encode(every), durable=durable)


def _file(arrival: Arrival) -> dict[str, Any]:
    return dict.fromkeys(MANIFEST.names()) | {
        "key": arrival.key,
        "kind": "image",
        "image_id": arrival.image_id,
        "bytes": len(arrival.picture),
        **sums.of(arrival.picture)._asdict(),
    }

"""What a pull would bring, by the store's manifest and what lies here already. Nothing is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from radloop import manifest
from radloop.errors import DatasetError
from radloop.storage import Store, publish
from radloop.storage.folder import Digests
from radloop.tables import Split


@dataclass(frozen=True)
class PullPreview:
    """What `pull` would bring."""

    version: str | None  # None where the store has no manifest
    files: int
    travelling_files: int  # whose bytes would travel: each distinct content once
    travelling_bytes: int


def pull(store: Store, root: Path, *, prefix: str = manifest.UNIT, splits: Sequence[Split] | None) -> PullPreview:
    """Compare what the store lists with what lies in the folder `root`. Raises what `publish.read_manifest` raises."""
    whole = publish.read_manifest(store, prefix=prefix)
    table = publish.listed(store, prefix=prefix) if whole is None else whole
    if splits is not None:
        table = table.filter(pl.col("split").is_null() | pl.col("split").is_in(splits))
    travelling = table.filter(~pl.col("md5").is_in(_there(root, table)).fill_null(value=False))
    distinct = pl.concat([travelling.drop_nulls("md5").unique("md5"), travelling.filter(pl.col("md5").is_null())])
    return PullPreview(
        version=None if whole is None else manifest.version(whole),
        files=table.height,
        travelling_files=distinct.height,
        travelling_bytes=int(distinct["bytes"].sum()),
    )


def _there(root: Path, wanted: pl.DataFrame) -> list[str]:
    """The MD5s of what `root` holds of `wanted`: its files are read, for its manifest may be older than they."""
    try:
        old = manifest.read(root)
    except DatasetError:  # damaged: it says nothing
        old = None
    if old is None:
        return []
    keys = old.join(wanted, on="md5", how="semi")["key"]
    return list(set(Digests().of(path for key in keys if (path := root / key).is_file()).values()))

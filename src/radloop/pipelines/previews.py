"""What `etl`, `pull` and `demo` would do, from a look at the source and the store. Nothing is written."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from radloop import manifest, options, storage
from radloop.catalog.classes import wishes
from radloop.engines import HERE, Engine
from radloop.errors import DatasetError, StoreError
from radloop.pipelines import offline
from radloop.pipelines.offline import Extracted, Transformed
from radloop.progress import Progress, silent
from radloop.sources import folder, raw
from radloop.storage import Store, publish
from radloop.storage.folder import Digests


@dataclass(frozen=True)
class EtlPreview:
    """What `etl` would do."""

    extracted: Extracted
    transformed: Transformed | None  # None where the source has to be downloaded or drawn first
    store: str
    held: str | None  # the version that the store holds
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PullPreview:
    """What `pull` would bring."""

    version: str | None  # None where the store has no manifest
    files: int
    travelling_files: int  # whose bytes would travel: each distinct content once
    travelling_bytes: int
    notes: tuple[str, ...]


def etl(chosen: options.Etl, *, engine: Engine = HERE, progress: Progress = silent) -> EtlPreview:
    """Look at the source and the store; a folder's dataset is built as far as it can be without writing."""
    address = chosen.store_address
    with closing(storage.open_store(address)) as store:
        store.preflight()
        held, notes = _held(store)
    extracted = offline.extract(
        chosen.source,
        chosen.out,
        annotations=chosen.annotations,
        boxes=chosen.boxes,
        dry_run=True,
        progress=progress,
    )
    if chosen.source == "kaggle" or chosen.source.startswith("synthetic:"):
        notes += (f"the dataset cannot be foreseen before {chosen.source} is extracted",)
        return EtlPreview(extracted, None, address, held, notes)
    found = folder.find(Path(chosen.source), annotations=chosen.annotations, boxes=chosen.boxes)
    with TemporaryDirectory() as elsewhere:
        raw.write(found, Path(elsewhere))
        transformed = offline.transform(
            Path(elsewhere),
            labels=chosen.labels,
            min_readers=chosen.min_readers,
            no_finding=chosen.no_finding,
            seed=chosen.seed,
            sizes=chosen.sizes,
            previous=chosen.previous,
            add=chosen.add,
            wishes=wishes(chosen.classes, chosen.map, keep=chosen.keep_classes, drop=chosen.drop_classes),
            engine=engine,
            dry_run=True,
            progress=progress,
        )
    return EtlPreview(extracted, transformed, address, held, notes)


def pull(chosen: options.Pull) -> PullPreview:
    """Compare what the store lists with what lies in OUT/organized."""
    with closing(storage.open_store(chosen.store_address)) as store:
        prefix = publish.resolve_prefix(store)
        whole = publish.read_manifest(store, prefix=prefix)
        table = publish.listed(store, prefix=prefix) if whole is None else whole
    if chosen.splits is not None:
        table = table.filter(pl.col("split").is_null() | pl.col("split").is_in(chosen.splits))
    travelling = table.filter(~pl.col("md5").is_in(_there(chosen.out / manifest.UNIT, table)).fill_null(value=False))
    distinct = pl.concat([travelling.unique("md5"), travelling.filter(pl.col("md5").is_null())]).unique("key")
    return PullPreview(
        version=None if whole is None else manifest.version(whole),
        files=table.height,
        travelling_files=distinct.height,
        travelling_bytes=int(distinct["bytes"].sum()),
        notes=() if whole is not None else ("unverified: the store has no manifest, so its listing was taken",),
    )


def demo(chosen: options.Demo, *, progress: Progress = silent) -> EtlPreview:
    """The first step of the demonstration."""
    step = options.Etl(source=f"synthetic:{chosen.images}", out=chosen.out, sizes=chosen.sizes, jobs=chosen.jobs)
    return etl(step, progress=progress)


def _held(store: Store) -> tuple[str | None, tuple[str, ...]]:
    """The version in the store, and what is to be said where it cannot be told."""
    try:
        table = publish.read_manifest(store)
    except (DatasetError, StoreError) as trouble:
        return None, (str(trouble),)
    return None if table is None else manifest.version(table), ()


def _there(root: Path, wanted: pl.DataFrame) -> list[str]:
    """The MD5s of what `root` holds already of `wanted`."""
    try:
        old = manifest.read(root)
    except DatasetError:  # damaged: it says nothing
        old = None
    if old is None:
        return []
    listed = old.join(wanted.select("md5").unique(), on="md5", how="semi")["key"]
    return list(set(Digests().of(path for key in listed if (path := root / key).is_file()).values()))

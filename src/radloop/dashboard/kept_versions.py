"""The versions that a store on this machine keeps, read as datasets: without pictures, to be set beside each other."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import streamlit as st

from radloop import manifest, tree
from radloop.catalog import history, version
from radloop.catalog.history import History
from radloop.dashboard import annotations_csv, loading
from radloop.dashboard.loading import Dataset
from radloop.errors import DatasetError
from radloop.options import Dashboard


def unit(inputs: Dashboard) -> Path | None:
    """The dataset in the store, where the store is a folder of this machine that holds one."""
    root = Path(inputs.store_address) / manifest.UNIT
    return root if (root / history.NAME).is_file() else None


def published(inputs: Dashboard) -> pl.DataFrame:
    """HISTORY by the store where it is on this machine, else by the copy beside the dataset. Raises DatasetError."""
    root = unit(inputs)
    folder = inputs.dataset_folder
    child = folder / manifest.UNIT
    return history.read(root or (child if child.is_dir() else folder))


def kept(inputs: Dashboard) -> Mapping[str, datetime]:
    """The ids of the versions that can be read here, the newest first, and when each was published last."""
    root = unit(inputs)
    if root is None:
        return {}
    told = _history(root)
    return {one.version: one.published_at for one in reversed(told.entries) if one.version in told.kept}


def read(inputs: Dashboard, version_id: str) -> Dataset:
    """A kept version. Raises DatasetError where its objects are not those that the history names."""
    root = unit(inputs)
    known = {} if root is None else _history(root).kept
    if root is None or version_id not in known:
        raise DatasetError(f"the store does not keep version {version_id}. `radloop versions` lists those it keeps.")
    try:
        stamps = tuple(loading.stamp(root / key) for key in known[version_id].keys(version_id))
    except OSError as absent:
        raise DatasetError(f"version {version_id} is named in the store's history, and is not there.") from absent
    return _read(version_id, stamps)


def _history(root: Path) -> History:
    path = root / history.NAME
    return history.decode(path.read_bytes(), name=str(path))


@st.cache_resource(show_spinner="Reading the version …", max_entries=4)
def _read(version_id: str, key: tuple[loading.Stamp, ...]) -> Dataset:
    name = f"version {version_id}"
    (listed, _), (documents, written) = (_sound(stamp, name) for stamp in key)
    files = manifest.decode(listed, name=name)
    if manifest.version(files) != version_id:
        raise DatasetError(f"{name} is damaged: its manifest is of another version.")
    content = history.unpacked(documents, files, name=name)
    summary = version.summary_of(content.get(tree.SUMMARY), name=name)
    classes = version.taxonomy_of(content.get(tree.SUMMARY), name=name)
    rows = version.decode(content.get(tree.ANNOTATIONS, b""), classes, name=f"{name}: {tree.ANNOTATIONS}")
    return Dataset(
        key=key,
        root=None,
        taxonomy=classes,
        rows=rows,
        refused=annotations_csv.REFUSED.to_frame(),
        manifest=files,
        summary=summary,
        wanted=None,
        written=datetime.fromtimestamp(written / 1e9, UTC),
    )


def _sound(stamp: loading.Stamp, name: str) -> tuple[bytes, int]:
    """The bytes of an object that is named by its MD5, and when it was written."""
    path = Path(stamp[0])
    data = path.read_bytes()
    if hashlib.md5(data).hexdigest() not in path.name:
        raise DatasetError(f"{name} is damaged: {path.name} is not what its name says.")
    return data, stamp[1]

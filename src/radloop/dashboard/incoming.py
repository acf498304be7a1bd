"""Pictures that came in and wait beside the dataset, as the pages take them."""

from pathlib import Path

import polars as pl

from radloop import manifest, tree
from radloop.catalog import incoming
from radloop.errors import DatasetError
from radloop.tables import INCOMING


def files(root: Path) -> list[Path]:
    """What is read beside the dataset in `root`: another content is another dataset for the pages."""
    return [root / manifest.INCOMING / name for name in (manifest.NAME, tree.INCOMING)]


def read(root: Path, notes: list[str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """INCOMING, and by image_id the key of its picture; where it cannot be used, nothing and a sentence in `notes`."""
    try:
        table, listed = incoming.read(root), manifest.read(root / manifest.INCOMING)
    except DatasetError as damaged:
        notes.append(str(damaged))
        return INCOMING.to_frame(), {}
    if listed is None:
        return table, {}
    rows = listed.filter(kind="image").select("image_id", pl.format(f"{manifest.INCOMING}/{{}}", "key").alias("place"))
    return table, dict(rows.iter_rows())

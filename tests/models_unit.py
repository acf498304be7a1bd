"""A models unit on disk, as `radloop compare` and `radloop promote` write it."""

import json
from pathlib import Path

import polars as pl

from radloop import manifest, sums
from radloop.catalog import models
from radloop.tables import MANIFEST


def comparison(name: str, *, passed: bool = True, **changes: object) -> dict[str, object]:
    told = {
        "schema_version": 1,
        "comparison": name,
        "at": "2026-11-30T12:00:00+00:00",
        "split": "staging",
        "dataset": "d1",
        "champion": {"model": "old-1"},
        "challenger": {"model": "new-2"},
        "gates": [{"gate": "map", "passed": passed, "says": "mAP falls by up to 0.05"}],
        "passed": passed,
    }
    return told | changes


def unit(folder: Path, *told: dict[str, object], aliases: bytes | None = None, **others: bytes) -> Path:
    """The unit with these comparisons."""
    documents = {f"comparisons/{one['comparison']}.json": json.dumps(one).encode() for one in told} | others
    documents |= {} if aliases is None else {models.ALIASES: aliases}
    rows = []
    for key, data in documents.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
        rows.append((key, "document", None, None, None, len(data), *sums.of(data)))
    (folder / manifest.NAME).write_bytes(manifest.encode(pl.DataFrame(rows, schema=MANIFEST, orient="row")))
    return folder

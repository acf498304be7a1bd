"""An incoming unit beside a dataset, as `radloop ingest` leaves it, written directly from arrays."""

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from radloop import files, manifest, pixels, similarity, sums, tree
from radloop.catalog import incoming
from radloop.tables import INCOMING, MANIFEST

ARRIVED = datetime(2026, 10, 5, 8, tzinfo=UTC)


def png(gray: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(gray).save(buffer, "PNG")
    return buffer.getvalue()


def row(image_id: str, data: bytes, **changes) -> dict:
    """One row of incoming.parquet; alone in its group, and free to train."""
    gray = pixels.decode(data)
    small = similarity.thumbnail(gray)
    return {
        "image_id": image_id,
        "group": image_id,
        "patient": None,
        "md5": hashlib.md5(data).hexdigest(),
        "pixels_md5": pixels.fingerprint(gray),
        "phash": similarity.phash(small),
        "thumbnail": small.tobytes(),
        "width": gray.shape[1],
        "height": gray.shape[0],
        "recipe": None,
        "arrived_at": ARRIVED,
        "site": None,
        "view": None,
        "spacing_mm_row": None,
        "spacing_mm_column": None,
        "audit": False,
        "held_out": None,
        **changes,
    }


def add(root: Path, pictures: dict[str, bytes], **changes: dict) -> pl.DataFrame:
    """Put pictures into the unit beside the dataset in `root`; `changes` of single rows by image_id."""
    unit = root / manifest.INCOMING
    (unit / "images").mkdir(parents=True, exist_ok=True)
    rows = [row(image_id, data, **changes.get(image_id, {})) for image_id, data in pictures.items()]
    for image_id, data in pictures.items():
        (unit / "images" / f"{image_id}.png").write_bytes(data)
    table = pl.concat([incoming.read(root), pl.DataFrame(rows, schema=INCOMING, orient="row")])
    return write(root, table)


def write(root: Path, table: pl.DataFrame) -> pl.DataFrame:
    """Make `table` the unit's, with a manifest of it and of the pictures."""
    unit = root / manifest.INCOMING
    data = incoming.encode(table)
    files.write_atomic(unit / tree.INCOMING, data)
    listed = [(tree.INCOMING, "table", None, None, None, len(data), *sums.of(data))]
    for image_id, md5 in table.select("image_id", "md5").iter_rows():
        path = unit / "images" / f"{image_id}.png"
        listed.append((f"images/{image_id}.png", "image", image_id, None, "incoming", path.stat().st_size, md5, None))
    files.write_atomic(unit / manifest.NAME, manifest.encode(pl.DataFrame(listed, schema=MANIFEST, orient="row")))
    return incoming.read(root)

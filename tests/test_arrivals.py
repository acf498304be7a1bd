"""Incoming images are counted once each, by how far they have got."""

from pathlib import Path

import numpy as np
import polars as pl

import incoming_unit
from radloop.catalog import incoming
from radloop.feedback import arrivals
from radloop.tables import ANNOTATIONS


def test_every_image_that_came_in_is_counted_once(tmp_path: Path):
    data = incoming_unit.png(np.arange(4096, dtype=np.uint8).reshape(64, 64))
    changes = {"a": {"audit": True}, "b": {"audit": True}, "c": {"held_out": "test"}}
    incoming_unit.add(tmp_path, dict.fromkeys("abcdefg", data), **changes)
    trained = {"image_id": "d", "split": "training", "group": "d", "md5": "0", "phash": "0"}
    dataset = pl.DataFrame([trained], schema=ANNOTATIONS)
    counts = arrivals.counted(dataset, incoming.read(tmp_path), pl.Series(["e", "d"]), pl.Series(["a", "e", "f", "c"]))
    assert counts == {
        "images": 7,
        "in_training": 1,
        "audit": 2,
        "audit_reviewed": 1,
        "held_out": 1,
        "waiting": 3,
        "waiting_reviewed": 2,
        "trains_now": 1,
    }
    kinds = ("in_training", "audit", "held_out", "waiting")
    assert sum(counts[kind] for kind in kinds) == counts["images"]

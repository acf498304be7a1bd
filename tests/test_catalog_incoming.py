from datetime import UTC, datetime

import polars as pl
import pytest

from radloop import manifest, tree
from radloop.catalog import incoming
from radloop.errors import DatasetError
from radloop.tables import INCOMING, MANIFEST

ROW = dict.fromkeys(INCOMING.names()) | {
    "group": "g",
    "md5": "0" * 32,
    "phash": "0" * 16,
    "arrived_at": datetime(2026, 11, 30, tzinfo=UTC),
    "audit": False,
}


def table(*rows):
    return pl.DataFrame([ROW | row for row in rows], schema=INCOMING)


def test_an_incoming_image_is_held_out_or_an_audit_or_incoming():
    rows = table(
        {"image_id": "a"}, {"image_id": "b", "audit": True}, {"image_id": "c", "audit": True, "held_out": "test"}
    )
    assert incoming.images(rows).select("image_id", "split").rows() == [
        ("a", "incoming"),
        ("b", "audit"),
        ("c", "test"),
    ]


def test_a_dataset_without_the_unit_has_no_incoming_images(tmp_path):
    assert incoming.read(tmp_path).is_empty()


def test_a_table_that_its_manifest_does_not_list_is_refused(tmp_path):
    unit = tmp_path / manifest.INCOMING
    unit.mkdir()
    data = incoming.encode(table({"image_id": "a"}))
    (unit / tree.INCOMING).write_bytes(data)
    (unit / manifest.NAME).write_bytes(manifest.encode(MANIFEST.to_frame()))
    with pytest.raises(DatasetError, match=r"incoming.parquet is not what its manifest lists"):
        incoming.read(tmp_path)
    assert incoming.decode(data, name="it")["image_id"].to_list() == ["a"]


def test_other_bytes_are_no_table():
    with pytest.raises(DatasetError, match="is not radloop's"):
        incoming.decode(b"PAR1", name="it")

"""A tombstone is known to whoever holds the image, and tells nobody else anything."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop import manifest, tree
from radloop.catalog import tombstones
from radloop.errors import DatasetError

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
IDS = st.lists(st.text("abc123_", min_size=1, max_size=6), min_size=1, max_size=8, unique=True)


def stones(*ids: str, salt: str = "salt") -> pl.DataFrame:
    images = pl.DataFrame({"image_id": ids, "pixels_md5": [f"pixels of {one}" for one in ids]})
    return tombstones.made(images, salt=salt, now=NOW, reason="asked for")


@given(IDS, IDS)
def test_exactly_what_was_forgotten_is_known_by_id_and_by_pixels(gone, others):
    made, every = stones(*gone), {*gone, *others}
    assert tombstones.forgotten(made, every) == {*gone}
    assert tombstones.forgotten(made, (f"pixels of {one}" for one in every), kind="pixels") == {
        f"pixels of {one}" for one in gone
    }


@given(IDS)
def test_bytes_are_the_same_in_any_order_and_hold_no_id(ids):
    data = tombstones.encode(stones(*ids))
    assert data == tombstones.encode(stones(*reversed(ids)))
    told = tombstones.decode(data, name="it")
    assert told.equals(tombstones.decode(tombstones.encode(told), name="it"))
    assert not {*told["image"], *told["pixels"]} & {*ids}


def test_one_without_a_picture_is_known_by_its_id_alone():
    image = pl.DataFrame({"image_id": ["a"], "pixels_md5": [None]}, schema={"image_id": str, "pixels_md5": str})
    made = tombstones.made(image, salt="s", now=NOW, reason="")
    assert tombstones.forgotten(made, ["a", None]) == {"a"}
    assert tombstones.forgotten(made, [None], kind="pixels") == frozenset()


def test_what_remains_is_neither_of_the_id_nor_of_the_pixels():
    pictures = pl.DataFrame(
        {"image_id": ["a", "b", "c", "d"], "pixels_md5": ["x", "pixels of a", "y", None]},
        schema={"image_id": str, "pixels_md5": str},
    )
    made = tombstones.union(stones("a", salt="1"), stones("z", salt="2"))
    assert tombstones.remain(pictures, made)["image_id"].to_list() == ["c", "d"]
    assert tombstones.remain(pictures.drop("pixels_md5"), made)["image_id"].to_list() == ["b", "c", "d"]


def test_folder_knows_its_own_and_its_datasets(tmp_path):
    assert tombstones.read(tmp_path).is_empty()
    (tmp_path / manifest.UNIT).mkdir()
    (tmp_path / tree.TOMBSTONES).write_bytes(tombstones.encode(stones("a", "b")))
    (tmp_path / manifest.UNIT / tree.TOMBSTONES).write_bytes(tombstones.encode(stones("b", "c")))
    assert tombstones.forgotten(tombstones.read(tmp_path), ["a", "b", "c", "d"]) == {"a", "b", "c"}
    assert tombstones.read(tmp_path).height == 3


@pytest.mark.parametrize("data", [b"", b"PAR1", tombstones.encode(stones("a"))[:-1]], ids=["empty", "short", "cut"])
def test_damaged_ones_stop_the_run_instead_of_letting_the_forgotten_in(data):
    with pytest.raises(DatasetError, match="may come in again"):
        tombstones.decode(data, name="it")

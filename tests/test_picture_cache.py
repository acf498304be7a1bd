"""What looking at pictures found is kept: once each, thumbnails apart, and nothing of a damaged file."""

import polars as pl
import pytest

from radloop import sealed
from radloop.dataset import picture_cache
from radloop.dataset.picture_cache import INSPECTED, MEASURED, PASS


def rows(*numbers, **changes):
    named = [
        {
            "image_id": f"p{number}",
            "path": f"p{number}.png",
            "bytes": number,
            "mtime_ns": 5,
            "ctime_ns": 6,
            "inode": 2**63 + number,
            "md5": f"md5 {number}",
            "thumbnail": bytes([number] * 1024),
            "pass": PASS,
            **changes,
        }
        for number in numbers
    ]
    return pl.DataFrame(named, schema=INSPECTED)


def thumbnails(cache, known):
    tables = pl.concat([INSPECTED.to_frame(), *picture_cache.with_thumbnails(cache, known)])
    return {name: set(small) for name, small in tables.select("image_id", "thumbnail").iter_rows()}


@pytest.mark.parametrize("at_once", [1, 3, 65_536])
def test_cache_and_parts_become_one_file_with_each_known_picture_once(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(picture_cache, "_AT_ONCE", at_once)
    cache = tmp_path / "cache" / "pictures.parquet"
    picture_cache.put(cache, MEASURED.to_frame(), rows(0, 1, 2, 3))
    picture_cache.add(cache, rows(3, 4, 5))
    picture_cache.add(cache, pl.concat([rows(6), rows(9, md5=None)]))
    assert picture_cache.has_parts(cache)
    known = rows(1, 3, 4, 6, ctime_ns=7).select(MEASURED.names())
    assert thumbnails(cache, known) == {"p1": {1}, "p3": {3}, "p4": {4}, "p6": {6}}

    picture_cache.put(cache, known, pl.concat([rows(7), rows(8, md5=None)]))

    assert [path.name for path in cache.parent.iterdir()] == ["pictures.parquet"]
    assert picture_cache.measured(cache).sort("path").equals(pl.concat([known, rows(7).drop("thumbnail")]))
    assert thumbnails(cache, known) == {"p1": {1}, "p3": {3}, "p4": {4}, "p6": {6}}


def test_thumbnail_of_a_file_that_is_another_now_is_not_given(tmp_path):
    cache = tmp_path / "pictures.parquet"
    picture_cache.put(cache, MEASURED.to_frame(), rows(1))
    for change in ({"md5": "other"}, {"inode": 3}, {"bytes": 9}, {"mtime_ns": 9}, {"pass": PASS - 1}):
        assert thumbnails(cache, rows(1, **change).drop("thumbnail")) == {}


@pytest.mark.parametrize("place", [0, 100, -1])
def test_nothing_is_known_of_a_damaged_or_missing_file_and_the_others_stay(tmp_path, place):
    cache = tmp_path / "pictures.parquet"
    assert picture_cache.measured(cache).equals(MEASURED.to_frame())
    picture_cache.put(cache, MEASURED.to_frame(), rows(1))
    picture_cache.add(cache, rows(2))
    data = bytearray(cache.read_bytes())
    data[place] ^= 1
    cache.write_bytes(data)
    assert picture_cache.measured(cache)["image_id"].to_list() == ["p2"]
    assert thumbnails(cache, rows(1, 2).drop("thumbnail")) == {"p2": {2}}


def test_table_of_other_columns_is_none_of_ours(tmp_path):
    cache = tmp_path / "pictures.parquet"
    picture_cache.add(cache, rows(1))
    (part,) = tmp_path.iterdir()
    part.write_bytes(sealed.encode(rows(1).drop("phash")))
    assert picture_cache.measured(cache).is_empty()
    assert list(picture_cache.scan(cache)) == []

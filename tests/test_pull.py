"""Pulling from an object store, request by request."""

import sys
from pathlib import Path

import pytest

from memory_store import KilledError, MemoryStore
from radloop.storage import layout, publish, pull
from radloop.storage.change import Row
from tiny_unit import NEW, OLD, contents, write_unit


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_unit(tmp_path / "old", OLD)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_unit(tmp_path / "new", NEW)


def test_each_content_is_asked_for_once(new: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    store.trace.clear()
    pulled = pull.pull(store, tmp_path / "organized")
    assert pulled.received_files == len(store.trace) == len(set(NEW.values()))


def test_pull_killed_at_every_request_leaves_the_old_folder_and_goes_on_where_it_was(
    old: Path, new: Path, tmp_path: Path
) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    for moment in range(0, len(set(NEW.values())), 3):
        root = write_unit(tmp_path / f"{moment}/organized", OLD)
        store.requests_left = moment
        store.trace.clear()
        try:
            pull.pull(store, root)
        except KilledError:
            assert contents(root) == contents(old)
        store.requests_left = sys.maxsize
        pull.pull(store, root)
        assert contents(root) == contents(new)
        asked = [what for what in store.trace if what.startswith("GET")]
        assert len(asked) <= len(set(asked)) + 1


def test_fetch_brings_each_content_once_and_reuses_the_cache(new: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    table = layout.read_manifest(store)
    assert table is not None
    rows = [Row(*row) for row in table.select(Row._fields).iter_rows() if row[1] == "image"]
    store.trace.clear()
    first = pull.fetch(store, rows, tmp_path / "cache")
    assert len(store.trace) == len({row.md5 for row in rows})
    assert {key: path.read_bytes() for key, path in first.items()} == {row.key: NEW[row.key] for row in rows}
    damaged = first[rows[0].key]
    damaged.write_bytes(b"damaged")
    store.trace.clear()
    assert pull.fetch(store, rows, tmp_path / "cache") == first
    assert len(store.trace) == 1

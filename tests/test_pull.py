"""Pulling from an object store, request by request."""

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from memory_store import KilledError, MemoryStore
from radloop.errors import StoreError
from radloop.progress import Progress, silent
from radloop.storage import layout, publish, pull
from radloop.storage.change import Row
from tiny_unit import NEW, OLD, contents, write_unit


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


def test_publish_that_begins_during_a_pull_is_named(new: Path, tmp_path: Path) -> None:
    class Overtaken(MemoryStore):
        def fetch(
            self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent
        ) -> dict[str, Path]:
            self.objects |= {"organized/publishing": b"", "organized/data.yaml": b"of the next version"}
            return super().fetch(prefix, keys, into, progress=progress)

    store = Overtaken()
    publish.publish(new, store)
    with pytest.raises(StoreError, match="publish in progress"):
        pull.pull(store, tmp_path / "organized")
    assert not (tmp_path / "organized").exists()


def test_part_that_a_kill_left_damaged_is_brought_again(new: Path, tmp_path: Path) -> None:
    """rclone leaves the files that are there alone."""

    class Sparing(MemoryStore):
        def fetch(
            self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent
        ) -> dict[str, Path]:
            keys = list(keys)
            there = {key: into / key for key in keys if (into / key).exists()}
            return there | super().fetch(prefix, [key for key in keys if key not in there], into, progress=progress)

    store = Sparing()
    publish.publish(new, store)
    part = tmp_path / ".organized.pull/incoming/data.yaml"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"trai")
    pull.pull(store, tmp_path / "organized")
    assert contents(tmp_path / "organized") == contents(new)


def test_pull_begins_from_the_old_folder_where_a_switch_was_cut_off(old: Path, new: Path, tmp_path: Path) -> None:
    """Where a file system cannot swap two names, a kill leaves the old folder aside."""
    store, root = MemoryStore(), tmp_path / "organized"
    publish.publish(old, store)
    pull.pull(store, root)
    (root / "notes.txt").write_bytes(b"mine")
    root.rename(tmp_path / ".organized.old")
    publish.publish(new, store)
    pull.pull(store, root)
    assert contents(root) == contents(new) | {"notes.txt": b"mine"}
    assert not (tmp_path / ".organized.old").exists()


def test_store_that_keeps_neither_manifest_nor_md5s_is_pulled_by_its_listing(tmp_path: Path) -> None:
    store = MemoryStore(keeps_md5=False)
    store.objects = {f"organized/{key}": data for key, data in OLD.items()}
    store.objects["organized/../outside.txt"] = b"a key that would leave the folder"
    pulled = pull.pull(store, tmp_path / "organized")
    assert (pulled.files, pulled.version) == (len(OLD), None)
    assert contents(tmp_path) == {f"organized/{key}": data for key, data in OLD.items()}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"train: a\ndownload: https://example.org/a.zip\n", id="an address"),
        pytest.param(b"download: |\n  print('run')\nnames: [a]\n", id="a program"),
        pytest.param(b"\x01download: bash a.sh\n", id="behind what is not printable"),
        pytest.param(b"{download: [1]}", id="in another form"),
    ],
)
@pytest.mark.parametrize("key", ["data.yaml", "data-canary.yaml", "deep/other.yml"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_yaml_that_a_trainer_would_run_is_not_pulled(tmp_path: Path, text: bytes, key: str, dry_run: bool) -> None:
    store = MemoryStore()
    publish.publish(write_unit(tmp_path / "evil", OLD | {key: text}), store)
    root = write_unit(tmp_path / "organized", OLD)
    before = contents(root)
    with pytest.raises(StoreError, match=f"{key} has a `download` key"):
        pull.pull(store, root, dry_run=dry_run)
    assert contents(root) == before


@pytest.mark.parametrize("text", [b"download:\n", b"download: None\n", b"names: [download]\n", b"[unclosed"])
def test_yaml_that_a_trainer_would_not_run_is_pulled(tmp_path: Path, text: bytes) -> None:
    store = MemoryStore()
    publish.publish(write_unit(tmp_path / "new", OLD | {"data.yaml": text}), store)
    pull.pull(store, tmp_path / "organized")
    assert (tmp_path / "organized/data.yaml").read_bytes() == text

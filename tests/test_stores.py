"""What every store must do: one class of tests, run by each store.

A new store is one line in STORES. `Objects` is all that an object store needs for it; where a test can look into the
store and change it beside radloop, a class such as `OnDisk` does so.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl
import pytest

from memory_store import MemoryStore
from radloop import manifest
from radloop.errors import DatasetError, StoreError
from radloop.storage import layout, publish, pull, verify
from radloop.storage.change import Row, Stored
from radloop.storage.folder import FolderStore
from radloop.storage.rclone import RcloneStore
from tiny_unit import NEW, OLD, contents, picture, version, write_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radloop.storage import Store
    from radloop.storage.objects import ObjectStore
    from swift_server import Swift

pytest_plugins = ("swift_server",)

SOURCE = Path(__file__).parent.parent / "src"


class Place(Protocol):
    """A store, and how a test looks into it and changes it as others could."""

    store: Store

    def held(self) -> dict[str, str | None]:
        """The MD5 of every object by key."""

    def put(self, key: str, data: bytes) -> None: ...

    def remove(self, key: str) -> None: ...


class Objects:
    """An object store, looked into and changed by its own requests."""

    def __init__(self, store: ObjectStore) -> None:
        self.store: Store = store
        self._objects = store

    def held(self) -> dict[str, str | None]:
        return {key: stored.md5 for key, stored in self.store.list().items()}

    def put(self, key: str, data: bytes) -> None:
        self._objects.put(key, data)

    def remove(self, key: str) -> None:
        self._objects.delete("", [key])


class OnDisk:
    """A store in a folder of this machine."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self._folder = folder

    def held(self) -> dict[str, str | None]:
        files = contents(self._folder)
        return {key: hashlib.md5(data).hexdigest() for key, data in files.items() if key != ".radloop.lock"}

    def put(self, key: str, data: bytes) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # or the file that it is a link to would change, too
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        (self._folder / key).unlink()


class InSwift:
    """A container of a real OpenStack Swift."""

    def __init__(self, swift: Swift, container: str) -> None:
        self.store: Store = RcloneStore(f"chi_tacc:{container}")
        self._swift = swift
        self._container = container

    def held(self) -> dict[str, str | None]:
        return {**self._swift.objects(self._container)}

    def put(self, key: str, data: bytes) -> None:
        self._swift.request("PUT", self._container)
        self._swift.request("PUT", f"{self._container}/{key}", data)

    def remove(self, key: str) -> None:
        self._swift.request("DELETE", f"{self._container}/{key}")


def in_memory(request: pytest.FixtureRequest) -> Objects:
    return Objects(MemoryStore())


def in_a_folder(request: pytest.FixtureRequest) -> OnDisk:
    folder = request.getfixturevalue("tmp_path") / "store"
    return OnDisk(FolderStore(folder), folder)


def on_a_disk_remote(request: pytest.FixtureRequest) -> OnDisk:
    tmp_path, monkeypatch = request.getfixturevalue("tmp_path"), request.getfixturevalue("monkeypatch")
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "rclone.conf").write_text(f"[disk]\ntype = alias\nremote = {disk}\n")
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    return OnDisk(RcloneStore("disk:store"), disk / "store")


def in_swift(request: pytest.FixtureRequest) -> InSwift:
    return InSwift(request.getfixturevalue("swift"), request.getfixturevalue("container"))


STORES = [
    pytest.param(in_memory, id="memory"),
    pytest.param(in_a_folder, id="folder"),
    pytest.param(on_a_disk_remote, id="disk"),
    pytest.param(in_swift, id="swift", marks=[pytest.mark.swift, pytest.mark.slow]),
]


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    place = request.param(request)
    yield place
    place.store.close()


@pytest.fixture(autouse=True, scope="module")
def rclone_on_path() -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def as_published(root: Path, prefix: str = "organized") -> dict[str, str]:
    """What an empty store holds once the unit in `root` is published to it."""
    return {f"{prefix}/{key}": hashlib.md5(data).hexdigest() for key, data in contents(root).items()}


def problems(store: Store) -> list[tuple[str, str]]:
    return [(problem.rule, problem.key) for problem in verify.verify(store)]


LABEL = "training/labels/i001_R1.txt"


class TestStores:
    """The contract of `storage.Store`."""

    # reading

    def test_empty_store_holds_nothing_and_says_so(self, place: Place, tmp_path: Path) -> None:
        store = place.store
        store.preflight()
        assert (store.list(), store.list("organized"), store.top()) == ({}, {}, set())
        assert store.get("organized/data.yaml") is None
        assert layout.resolve_prefix(store) == "organized"
        assert layout.read_manifest(store) is None
        store.rehearse()
        assert (store.list(), store.top()) == ({}, set())
        with pytest.raises(StoreError, match=f"^{re.escape(store.address)} holds nothing under organized"):
            pull.pull(store, tmp_path / "pulled")
        with pytest.raises(StoreError, match=rf"^{re.escape(store.address)}/organized holds no manifest\.parquet"):
            verify.verify(store)
        assert not (tmp_path / "pulled").exists()

    def test_store_reads_what_lies_there(self, place: Place, tmp_path: Path) -> None:
        store = place.store
        place.put("organized/data.yaml", b"names")
        place.put("organized/training/labels/a.txt", b"")
        place.put("organized-not/data.yaml", b"another unit's")
        assert store.get("organized/data.yaml") == b"names"
        assert store.get("organized/none") is None
        assert store.top() == {"organized", "organized-not"}
        assert store.list("organized") == {
            "data.yaml": Stored(5, hashlib.md5(b"names").hexdigest()),
            "training/labels/a.txt": Stored(0, hashlib.md5(b"").hexdigest()),
        }
        within = {f"organized/{key}" for key in store.list("organized")}
        assert set(store.list()) == within | {"organized-not/data.yaml"}
        fetched = store.fetch("organized", ["data.yaml", "none"], tmp_path / "into")
        assert {key: path.read_bytes() for key, path in fetched.items()} == {"data.yaml": b"names"}

    def test_closed_store_can_be_used_again(self, place: Place) -> None:
        place.put("organized/data.yaml", b"names")
        assert place.store.get("organized/data.yaml") == b"names"
        place.store.close()
        assert place.store.get("organized/data.yaml") == b"names"

    def test_dataset_at_the_root_of_a_store_is_found(self, place: Place) -> None:
        place.put("organized/retrain/retrain.csv", b"")
        assert layout.resolve_prefix(place.store) == "organized"
        place.put("data.yaml", b"")
        assert layout.resolve_prefix(place.store) == ""

    def test_splits_alone_at_the_root_are_a_dataset(self, place: Place) -> None:
        place.put("training/labels/a.txt", b"")
        assert layout.resolve_prefix(place.store) == ""
        place.put("organized/data.yaml", b"")
        assert layout.resolve_prefix(place.store) == "organized"

    # publishing

    def test_published_unit_is_the_files_and_the_manifest_and_nothing_else(self, place: Place, new: Path) -> None:
        done = publish.publish(new, place.store)
        assert place.held() == as_published(new)
        assert problems(place.store) == []
        assert (done.previous_version, done.removed, done.unchanged, done.notes) == (None, 0, 0, ())
        assert done.sent_files + done.copied == len(NEW)
        assert done.address == f"{place.store.address}/organized"
        table = layout.read_manifest(place.store)
        assert table is not None
        assert done.version == manifest.version(table)
        assert done.version == manifest.version(manifest.decode((new / manifest.NAME).read_bytes(), name="new"))

    def test_names_of_any_letters_arrive(self, place: Place, tmp_path: Path) -> None:
        odd = {"training/images/a name with ünicode & % #.png": picture("u"), "training/labels/; x.txt": b""}
        root = write_unit(tmp_path / "organized", version(2) | odd)
        publish.publish(root, place.store)
        assert place.held() == as_published(root)
        pull.pull(place.store, tmp_path / "pulled")
        assert contents(tmp_path / "pulled") == contents(root)

    def test_second_run_with_nothing_to_do_does_nothing(self, place: Place, new: Path) -> None:
        publish.publish(new, place.store)
        done = publish.publish(new, place.store)
        assert (done.sent_files, done.sent_bytes, done.copied, done.removed) == (0, 0, 0, 0)
        assert (done.unchanged, done.previous_version) == (len(NEW), done.version)
        assert place.held() == as_published(new)

    def test_new_version_takes_the_place_of_the_old_and_comes_back(self, place: Place, old: Path, new: Path) -> None:
        first = publish.publish(old, place.store)
        done = publish.publish(new, place.store)
        assert place.held() == as_published(new)
        assert done.previous_version == first.version
        assert done.removed == len(OLD.keys() - NEW.keys())
        assert done.unchanged == sum(NEW.get(key) == data for key, data in OLD.items())
        publish.publish(old, place.store)
        assert place.held() == as_published(old)

    def test_dry_run_tells_what_the_run_then_does(self, place: Place, old: Path, new: Path) -> None:
        publish.publish(old, place.store)
        before = place.held()
        foreseen = publish.publish(new, place.store, dry_run=True)
        assert place.held() == before
        assert publish.publish(new, place.store) == replace(foreseen, done=True)

    def test_dry_run_of_a_pull_tells_what_the_pull_then_brings(self, place: Place, old: Path, tmp_path: Path) -> None:
        publish.publish(old, place.store)
        root = tmp_path / "back" / "organized"
        for received in (True, False):  # the second time all of it is here
            foreseen = pull.pull(place.store, root, dry_run=True)
            assert root.exists() is not received
            assert bool(foreseen.received_files) is received
            assert pull.pull(place.store, root) == replace(foreseen, done=True)

    def test_key_that_is_gone_already_is_not_counted_as_removed(self, place: Place, old: Path, new: Path) -> None:
        publish.publish(old, place.store)
        gone = sorted(OLD.keys() - NEW.keys())
        place.remove(f"organized/{gone[0]}")
        assert publish.publish(new, place.store).removed == len(gone) - 1
        assert place.held() == as_published(new)

    def test_keep_old_removes_nothing(self, place: Place, old: Path, new: Path) -> None:
        publish.publish(old, place.store)
        done = publish.publish(new, place.store, keep_old=True)
        assert done.removed == 0
        assert place.held() == as_published(old) | as_published(new)

    def test_object_that_no_manifest_lists_is_left_alone_and_counted(self, place: Place, old: Path, new: Path) -> None:
        place.put("organized/training/images/mine.png", b"?")
        place.put("organized/notes/mine.txt", b"mine")
        publish.publish(old, place.store)
        done = publish.publish(new, place.store)
        mine = {"training/images/mine.png": b"?", "notes/mine.txt": b"mine"}
        kept = {f"organized/{key}": hashlib.md5(data).hexdigest() for key, data in mine.items()}
        assert place.held() == as_published(new) | kept
        assert done.notes == ("2 objects that no manifest lists were left alone",)
        assert done.removed == len(OLD.keys() - NEW.keys())
        assert problems(place.store) == [("unlisted", key) for key in sorted(mine)]

    def test_purged_keys_go_although_no_manifest_lists_them(self, place: Place, new: Path) -> None:
        publish.publish(new, place.store)
        for name in ("gone.png", "mine.png"):
            place.put(f"organized/training/images/{name}", b"?")
        purged = frozenset({"training/images/gone.png", "absent.png", "data.yaml"})
        done = publish.publish(new, place.store, purged=purged)
        mine = {"organized/training/images/mine.png": hashlib.md5(b"?").hexdigest()}
        assert place.held() == as_published(new) | mine
        assert done.removed == 1

    def test_dataset_and_retraining_data_never_touch_each_other(
        self, place: Place, old: Path, new: Path, tmp_path: Path
    ) -> None:
        retrain = write_unit(tmp_path / "retrain", {"retrain.csv": b"image_id\n", "images/a.png": picture("a")})
        publish.publish(old, place.store)
        publish.publish(retrain, place.store, prefix="organized/retrain")
        beside = as_published(retrain, "organized/retrain")
        assert place.held() == as_published(old) | beside
        done = publish.publish(new, place.store)
        assert place.held() == as_published(new) | beside
        assert done.notes == ()
        smaller = write_unit(tmp_path / "smaller", {"report.json": b"{}"})
        publish.publish(smaller, place.store, prefix="organized/retrain")
        assert place.held() == as_published(new) | as_published(smaller, "organized/retrain")

    def test_damaged_manifest_in_the_store_is_replaced_and_nothing_removed_for_it(
        self, place: Place, old: Path, new: Path
    ) -> None:
        publish.publish(old, place.store)
        place.put("organized/manifest.parquet", b"PAR1 no more")
        assert problems(place.store) == [("manifest", "manifest.parquet")]
        done = publish.publish(new, place.store)
        assert done.removed == 0
        assert done.previous_version is None
        assert "is not a manifest" in done.notes[0]
        assert {rule for rule, _ in problems(place.store)} == {"unlisted"}

    def test_publish_that_was_cut_off_is_taken_over(self, place: Place, old: Path, new: Path, tmp_path: Path) -> None:
        """As one to an object store leaves it: a journal, the marker, and of two changed keys the first."""
        publish.publish(old, place.store)
        extra = write_unit(tmp_path / "extra", {"extra.txt": b"of a third version"})
        for key in ("training/labels/i000_R1.txt", "training/images/i003_R1.png"):
            place.put(f"organized/{key}", NEW[key])
        place.put("organized/extra.txt", b"of a third version")
        place.put("organized/publishing.parquet", (extra / manifest.NAME).read_bytes())
        place.put("organized/publishing", b"")
        done = publish.publish(new, place.store)
        assert done.notes == ("an earlier publish did not end; this one took over from it",)
        assert place.held() == as_published(new)
        assert publish.publish(new, place.store).notes == ()

    def test_marker_alone_is_taken_away_by_the_next_publish(self, place: Place, new: Path) -> None:
        publish.publish(new, place.store)
        place.put("organized/publishing", b"")
        done = publish.publish(new, place.store)
        assert (done.sent_files, done.copied, done.removed) == (0, 0, 0)
        assert place.held() == as_published(new)

    def test_file_that_was_changed_after_the_manifest_is_never_published(
        self, place: Place, old: Path, new: Path
    ) -> None:
        publish.publish(old, place.store)
        before = place.held()
        (new / "training/labels/i000_R1.txt").write_bytes(b"9 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n")  # as many bytes
        with pytest.raises(DatasetError, match=r"i000_R1.txt is not what the manifest says.*radloop transform"):
            publish.publish(new, place.store)
        assert place.held() == before
        (new / "training/labels/i000_R1.txt").unlink()
        with pytest.raises(DatasetError, match=r"i000_R1\.txt is in the manifest and not on disk"):
            publish.publish(new, place.store)
        assert place.held() == before

    def test_missing_manifest_and_missing_file_say_what_to_do(self, place: Place, tmp_path: Path, new: Path) -> None:
        with pytest.raises(DatasetError, match=r"holds no manifest\.parquet.*radloop transform"):
            publish.publish(tmp_path / "nothing", place.store)
        (new / "data.yaml").unlink()
        with pytest.raises(DatasetError, match=r"data\.yaml is in the manifest and not on disk"):
            publish.publish(new, place.store)
        assert place.held() == {}

    # verifying

    def test_verify_finds_what_is_missing_changed_and_unlisted(self, place: Place, new: Path) -> None:
        publish.publish(new, place.store)
        assert problems(place.store) == []
        place.remove("organized/data.yaml")
        place.put(f"organized/{LABEL}", b"13 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n")
        place.put("organized/training/labels/i002_R1.txt", NEW["training/labels/i002_R1.txt"][::-1])
        place.put("organized/classes.txt", b"longer than it was")
        place.put("organized/stray", b"")
        place.put("organized/retrain/retrain.csv", b"another unit's")
        place.put("organized/publishing", b"")
        assert problems(place.store) == [
            ("publishing", "publishing"),
            ("changed", "classes.txt"),
            ("missing", "data.yaml"),
            ("changed", LABEL),
            ("changed", "training/labels/i002_R1.txt"),
            ("unlisted", "stray"),
        ]

    def test_verify_holds_the_manifest_against_the_summary(self, place: Place, tmp_path: Path) -> None:
        files = {"data.yaml": b"one", "summary.json": json.dumps({"version": "0" * 16}).encode()}
        for key, data in contents(write_unit(tmp_path / "a", files)).items():
            place.put(f"organized/{key}", data)
        assert problems(place.store) == [("manifest", "manifest.parquet")]

    def test_object_that_was_changed_or_lost_is_found_and_repaired_and_then_pulled(
        self, place: Place, new: Path, tmp_path: Path
    ) -> None:
        publish.publish(new, place.store)
        image = "training/images/i001_R1.png"
        for key, data in ((LABEL, NEW[LABEL][::-1]), (image, NEW[image][::-1])):
            place.put(f"organized/{key}", data)
            assert problems(place.store) == [("changed", key)]
            repaired = publish.publish(new, place.store)
            assert (repaired.sent_files + repaired.copied, repaired.unchanged) == (1, len(NEW) - 1)
            assert problems(place.store) == []
            place.remove(f"organized/{key}")
            assert problems(place.store) == [("missing", key)]
            repaired = publish.publish(new, place.store)
            assert (repaired.sent_files + repaired.copied, repaired.unchanged) == (1, len(NEW) - 1)
        assert place.held() == as_published(new)
        pull.pull(place.store, tmp_path / "pulled")
        assert contents(tmp_path / "pulled") == contents(new)

    # pulling

    def test_pulled_folder_is_byte_for_byte_what_was_published(self, place: Place, new: Path, tmp_path: Path) -> None:
        done = publish.publish(new, place.store)
        pulled = pull.pull(place.store, tmp_path / "data/organized")
        assert contents(tmp_path / "data/organized") == contents(new)
        assert os.listdir(tmp_path / "data") == ["organized"]
        assert pulled.version == done.version
        assert pulled.files == len(NEW)
        assert pulled.received_files == len(set(NEW.values()))
        assert pulled.received_bytes == sum(map(len, set(NEW.values())))
        same = [tmp_path / "data/organized/training/images" / f"i001_R{reader}.png" for reader in (1, 2, 3)]
        assert len({path.stat().st_ino for path in same}) == 1

    def test_second_pull_brings_only_what_changed_and_keeps_what_no_manifest_lists(
        self, place: Place, old: Path, new: Path, tmp_path: Path
    ) -> None:
        root = tmp_path / "organized"
        publish.publish(old, place.store)
        pull.pull(place.store, root)
        (root / "retrain").mkdir()
        (root / "retrain/retrain.csv").write_bytes(b"mine")
        publish.publish(new, place.store)
        pulled = pull.pull(place.store, root)
        assert pulled.received_files == len({NEW[key] for key in NEW} - set(OLD.values()))
        assert contents(root) == contents(new) | {"retrain/retrain.csv": b"mine"}

    def test_pull_refuses_while_a_publish_is_in_progress(self, place: Place, new: Path, tmp_path: Path) -> None:
        publish.publish(new, place.store)
        place.put("organized/publishing", b"")
        with pytest.raises(StoreError, match="publish in progress"):
            pull.pull(place.store, tmp_path / "organized")
        assert not (tmp_path / "organized").exists()

    def test_pull_of_wrong_bytes_is_an_error_and_leaves_no_dataset(
        self, place: Place, new: Path, tmp_path: Path
    ) -> None:
        publish.publish(new, place.store)
        place.put("organized/data.yaml", b"TRAIN: training/images\n")
        with pytest.raises(StoreError, match=r"not what the manifest says, first organized/data.yaml"):
            pull.pull(place.store, tmp_path / "organized")
        assert not (tmp_path / "organized").exists()
        publish.publish(new, place.store)
        pull.pull(place.store, tmp_path / "organized")
        assert contents(tmp_path / "organized") == contents(new)

    def test_folder_with_a_damaged_manifest_is_pulled_into_and_keeps_what_it_has(
        self, place: Place, old: Path, new: Path, tmp_path: Path
    ) -> None:
        publish.publish(new, place.store)
        root = write_unit(tmp_path / "organized", OLD)
        (root / manifest.NAME).write_bytes(b"PAR1 no more")
        pull.pull(place.store, root)
        left = {key: data for key, data in OLD.items() if key not in NEW}
        assert contents(root) == contents(new) | left

    def test_damaged_file_of_the_folder_is_brought_again(self, place: Place, new: Path, tmp_path: Path) -> None:
        publish.publish(new, place.store)
        root = write_unit(tmp_path / "organized", NEW)
        (root / "data.yaml").write_bytes(NEW["data.yaml"][::-1])
        assert pull.pull(place.store, root).received_files == 1
        assert contents(root) == contents(new)

    def test_pull_of_some_splits_lists_what_it_brought_and_cannot_be_published(
        self, place: Place, tmp_path: Path
    ) -> None:
        done = publish.publish(
            write_unit(tmp_path / "whole", with_its_version(version(2) | version(1, split="test"))), place.store
        )
        pulled = pull.pull(place.store, tmp_path / "part", splits=["test"])
        listed = manifest.read(tmp_path / "part")
        assert listed is not None
        assert set(listed["split"].drop_nulls().to_list()) == {"test"}
        assert set(contents(tmp_path / "part")) == {*listed["key"].to_list(), manifest.NAME}
        assert {"data.yaml", "summary.json"} <= set(contents(tmp_path / "part"))
        assert (pulled.files, pulled.version) == (len(listed), done.version)
        assert pulled.notes == ("only test: this folder cannot be published again",)
        with pytest.raises(DatasetError, match="is a part of version"):
            publish.publish(tmp_path / "part", place.store)

    @pytest.mark.parametrize("prefix", ["", "organized"], ids=["root", "organized"])
    def test_store_of_an_older_pipeline_is_listed_and_said_to_be_unverified(
        self, place: Place, tmp_path: Path, prefix: str
    ) -> None:
        files = version(2, readers=1) | version(1, readers=1, split="test")
        for key, data in files.items():
            place.put(layout.key_in(prefix, key), data)
        assert layout.resolve_prefix(place.store) == prefix
        pulled = pull.pull(place.store, tmp_path / "organized", prefix=prefix, splits=["test"])
        assert pulled.version is None
        assert "unverified" in pulled.notes[0]
        assert not (tmp_path / "organized" / manifest.NAME).exists()
        expected = {key: data for key, data in files.items() if not key.startswith("training/")}
        assert contents(tmp_path / "organized") == expected

    def test_fetched_files_hold_what_the_manifest_says_and_stay(
        self, place: Place, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        publish.publish(new, place.store)
        table = layout.read_manifest(place.store)
        assert table is not None
        rows = [Row(*row) for row in table.select(Row._fields).iter_rows()]
        for _ in range(2):
            fetched = pull.fetch(place.store, rows, Path("cache"))
            assert {key: path.read_bytes() for key, path in fetched.items()} == NEW
        assert not Path("cache/incoming").exists()


def with_its_version(files: dict[str, bytes]) -> dict[str, bytes]:
    """`files` and the summary.json that tells their version."""
    table = pl.DataFrame({"key": list(files), "md5": [hashlib.md5(data).hexdigest() for data in files.values()]})
    kinds = pl.when(pl.col("key").str.ends_with(".txt")).then(pl.lit("label")).otherwise(pl.lit("image"))
    versioned = table.filter(pl.col("key") != "classes.txt").with_columns(kind=kinds)
    return files | {"summary.json": json.dumps({"version": manifest.version(versioned)}).encode()}


def test_nobody_asks_which_kind_a_store_is() -> None:
    asked = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass", "type", "hasattr"):
                words = " ".join(map(ast.unparse, node.args))
            elif isinstance(node, ast.MatchClass):
                words = ast.unparse(node.cls)
            else:
                continue
            if re.search(r"\b\w*Store\b|\bstore\b", words):
                asked.append(f"{path.name}:{node.lineno}")
    assert asked == []

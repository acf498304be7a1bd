import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop import manifest
from radloop.errors import BusyError, DatasetError, StoreError
from radloop.files import locked
from radloop.progress import Progress, silent
from radloop.storage import Outcome, Stored, publish
from radloop.storage.folder import FolderStore
from tiny_unit import contents, picture, version, write_unit


class KilledError(BaseException):
    """Stands for kill -9: nothing of radloop runs after it."""


class MemoryStore:
    """An object store that can be killed at any request, can lag, and can keep no MD5s."""

    def __init__(self, *, can_copy: bool = True, keeps_md5: bool = True) -> None:
        self.address = "memory:"
        self.objects: dict[str, bytes] = {}
        self.can_copy = can_copy
        self.keeps_md5 = keeps_md5
        self.requests_left = sys.maxsize
        self.lag: dict[str, Stored | None] = {}  # what the next listing still shows of these keys
        self.refused: set[str] = set()
        self.uploaded: list[str] = []
        self.trace: list[str] = []

    def _request(self, what: str) -> None:
        self.trace.append(what)
        if self.requests_left == 0:
            raise KilledError
        self.requests_left -= 1

    def preflight(self) -> None: ...

    def close(self) -> None: ...

    def list(self, prefix: str = "", *, progress: Progress = silent) -> dict[str, Stored]:
        shown = {
            key: Stored(len(data), hashlib.md5(data).hexdigest() if self.keeps_md5 else None)
            for key, data in self.objects.items()
        }
        for key, stale in self.lag.items():
            if stale is None:
                shown.pop(key, None)
            else:
                shown[key] = stale
        self.lag = {}
        cut = len(prefix) + 1 if prefix else 0
        return {key[cut:]: stored for key, stored in shown.items() if not prefix or key.startswith(f"{prefix}/")}

    def top(self) -> set[str]:
        return {key.split("/")[0] for key in self.objects}

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def fetch(self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        paths = {}
        for key in keys:
            self._request(f"GET {key}")
            if f"{prefix}/{key}" in self.objects:
                paths[key] = into / key
                paths[key].parent.mkdir(parents=True, exist_ok=True)
                paths[key].write_bytes(self.objects[f"{prefix}/{key}"])
        return paths

    def put(self, key: str, data: bytes) -> None:
        self._request(f"PUT {key}")
        self.objects[key] = data

    def upload(self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent) -> Outcome:
        error = None
        for key in keys:
            self._request(f"PUT {prefix}/{key}")
            if key in self.refused:
                self.refused.remove(key)
                error = "503 Service Unavailable"
            else:
                self.objects[f"{prefix}/{key}"] = (root / key).read_bytes()
                self.uploaded.append(key)
        return Outcome(error)

    def copy(self, prefix: str, sources: Mapping[str, str], *, progress: Progress = silent) -> Outcome:
        assert self.can_copy
        gone = set()
        for target, source in sources.items():
            self._request(f"COPY {prefix}/{target}")
            if f"{prefix}/{source}" in self.objects:
                self.objects[f"{prefix}/{target}"] = self.objects[f"{prefix}/{source}"]
            else:
                gone.add(target)
        return Outcome("object not found" if gone else None, frozenset(gone))

    def delete(self, prefix: str, keys: Iterable[str]) -> None:
        for key in keys:
            self._request(f"DELETE {prefix}/{key}")
            self.objects.pop(f"{prefix}/{key}", None)


def in_store(files: Mapping[str, bytes], root: Path) -> dict[str, bytes]:
    """What an object store must hold after `files`, written to `root`, were published to it when it was empty."""
    held = {f"organized/{key}": data for key, data in files.items()}
    return held | {"organized/manifest.parquet": (root / manifest.NAME).read_bytes()}


OLD = version(3) | {"test/images/moved_R1.png": picture("moved"), "test/labels/moved_R1.txt": b""}
NEW = version(4, changed="1 0.2 0.2 0.1 0.1\n") | {
    "training/images/moved_R1.png": picture("moved"),
    "training/labels/moved_R1.txt": b"",
    "training/images/i000_R1.png": picture("another"),
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_unit(tmp_path / "old", OLD)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_unit(tmp_path / "new", NEW)


def test_published_objects_are_the_files_and_the_manifest_and_nothing_else(new: Path) -> None:
    store = MemoryStore()
    done = publish.publish(new, store)
    assert store.objects == in_store(NEW, new)
    assert done.version == manifest.version(manifest.decode((new / manifest.NAME).read_bytes(), name="new"))
    assert done.previous_version is None


def test_each_distinct_picture_is_sent_once(new: Path) -> None:
    store = MemoryStore()
    done = publish.publish(new, store)
    sent = [NEW[key] for key in store.uploaded if key.endswith(".png")]
    assert len(sent) == len(set(sent)) == 6
    assert done.sent_files == len(store.uploaded)
    assert done.copied == sum(key.endswith(".png") for key in NEW) - 6


def test_picture_that_the_store_has_under_another_name_is_not_sent(old: Path, new: Path) -> None:
    store = MemoryStore()
    publish.publish(old, store)
    store.uploaded.clear()
    publish.publish(new, store)
    assert "training/images/moved_R1.png" not in store.uploaded
    assert store.objects == in_store(NEW, new)


def test_store_that_cannot_copy_is_sent_every_file(new: Path) -> None:
    store = MemoryStore(can_copy=False)
    assert publish.publish(new, store).sent_files == len(NEW)
    assert store.objects == in_store(NEW, new)


def test_new_keys_come_before_the_marker_and_the_manifest_after_everything_changed(old: Path, new: Path) -> None:
    store = MemoryStore()
    publish.publish(old, store)
    store.trace.clear()
    publish.publish(new, store)
    trace = store.trace
    marker, listed = trace.index("PUT organized/publishing"), trace.index("PUT organized/manifest.parquet")
    for key in NEW:
        for written in (f"PUT organized/{key}", f"COPY organized/{key}"):
            if written in trace:
                assert trace.index(written) < marker if key not in OLD else marker < trace.index(written) < listed
    removed = [trace.index(f"DELETE organized/{key}") for key in OLD.keys() - NEW.keys()]
    assert min(removed) > listed
    assert trace[-1] == "DELETE organized/publishing"


def test_second_run_with_nothing_to_do_writes_nothing(new: Path) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    store.requests_left = 0
    done = publish.publish(new, store)
    assert (done.sent_files, done.copied, done.removed, done.unchanged) == (0, 0, 0, len(NEW))


def test_dry_run_tells_what_the_run_then_does(old: Path, new: Path) -> None:
    store = MemoryStore()
    publish.publish(old, store)
    before = dict(store.objects)
    foreseen = publish.publish(new, store, dry_run=True)
    assert store.objects == before
    assert publish.publish(new, store) == foreseen


@pytest.mark.parametrize("can_copy", [True, False], ids=["copies", "uploads"])
@pytest.mark.parametrize("keep_old", [False, True], ids=["replace", "keep-old"])
def test_kill_at_every_request_and_a_second_run_end_in_the_same_bytes(
    old: Path, new: Path, can_copy: bool, keep_old: bool
) -> None:
    def start() -> MemoryStore:
        store = MemoryStore(can_copy=can_copy)
        store.objects["organized/notes.txt"] = b"a stranger's"
        store.objects["organized/retrain/retrain.csv"] = b"another unit's"
        publish.publish(old, store)
        store.trace.clear()
        return store

    undisturbed = start()
    publish.publish(new, undisturbed, keep_old=keep_old)
    for moment in range(len(undisturbed.trace)):
        store = start()
        store.requests_left = moment
        with pytest.raises(KilledError):
            publish.publish(new, store, keep_old=keep_old)
        if "organized/publishing" not in store.objects:  # readers are not told to wait, so all they can read is right
            listed = manifest.decode(store.objects["organized/manifest.parquet"], name="held")
            for key, md5 in listed.select("key", "md5").iter_rows():
                assert hashlib.md5(store.objects[f"organized/{key}"]).hexdigest() == md5
        store.requests_left = sys.maxsize
        publish.publish(new, store, keep_old=keep_old)
        assert store.objects == undisturbed.objects


def test_another_version_after_a_kill_at_every_request_leaves_nothing_of_the_first(old: Path, new: Path) -> None:
    store = MemoryStore()
    publish.publish(old, store)
    expected = dict(store.objects)
    store.trace.clear()
    publish.publish(new, store)
    for moment in range(len(store.trace)):
        store = MemoryStore()
        publish.publish(old, store)
        store.requests_left = moment
        with pytest.raises(KilledError):
            publish.publish(new, store)
        store.requests_left = sys.maxsize
        publish.publish(old, store)
        assert store.objects == expected


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_versions_killed_anywhere_end_in_the_last_one(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    keys = [
        "training/images/a_R1.png",
        "test/images/a_R1.png",
        "test/images/b_R2.png",
        "test/labels/b_R2.txt",
        "d.yaml",
    ]
    blobs = st.sampled_from([picture("a", 64), picture("b", 64), b"", b"text"])
    versions = data.draw(st.lists(st.dictionaries(st.sampled_from(keys), blobs, min_size=1), min_size=1, max_size=4))
    store = MemoryStore(can_copy=data.draw(st.booleans()), keeps_md5=data.draw(st.booleans()))
    store.objects["organized/stranger"] = b"?"
    roots = [write_unit(tmp_path_factory.mktemp("v"), files) for files in versions]
    for root in roots:
        store.requests_left = data.draw(st.integers(0, 20))
        with pytest.raises(KilledError) if store.requests_left < 2 else _maybe_killed():
            publish.publish(root, store)
            raise KilledError
    store.requests_left = sys.maxsize
    publish.publish(roots[-1], store)
    assert store.objects == in_store(versions[-1], roots[-1]) | {"organized/stranger": b"?"}


class _maybe_killed:  # noqa: N801 - reads as a statement
    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, *_: object) -> bool:
        return kind is KilledError


def test_object_that_no_manifest_lists_is_left_alone_and_counted(old: Path, new: Path) -> None:
    store = MemoryStore()
    store.objects["organized/training/images/mine.png"] = b"?"
    publish.publish(old, store)
    done = publish.publish(new, store)
    assert store.objects["organized/training/images/mine.png"] == b"?"
    assert done.notes == ("1 objects that no manifest lists were left alone",)


def test_dataset_and_retraining_data_never_touch_each_other(old: Path, new: Path, tmp_path: Path) -> None:
    retrain = write_unit(tmp_path / "retrain", {"retrain.csv": b"image_id\n", "images/a.png": picture("a")})
    store = MemoryStore()
    publish.publish(old, store)
    publish.publish(retrain, store, prefix="organized/retrain")
    beside = {key: data for key, data in store.objects.items() if key.startswith("organized/retrain/")}
    publish.publish(new, store)
    assert store.objects == in_store(NEW, new) | beside
    empty = write_unit(tmp_path / "empty", {"report.json": b"{}"})
    publish.publish(empty, store, prefix="organized/retrain")
    assert {k: v for k, v in store.objects.items() if not k.startswith("organized/retrain/")} == in_store(NEW, new)


def test_keep_old_removes_nothing(old: Path, new: Path) -> None:
    store = MemoryStore()
    publish.publish(old, store)
    done = publish.publish(new, store, keep_old=True)
    assert done.removed == 0
    assert OLD.keys() <= {key.removeprefix("organized/") for key in store.objects}


def test_lost_upload_is_sent_again(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    store = MemoryStore()
    store.refused = {"data.yaml", "training/images/i001_R1.png"}
    publish.publish(new, store)
    assert store.objects == in_store(NEW, new)
    assert len(store.uploaded) == len(set(store.uploaded))


def test_listing_that_lags_is_waited_for_and_nothing_sent_twice(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    store = MemoryStore()
    upload = store.upload

    def slow_upload(*args: object, **more: object) -> Outcome:
        outcome = upload(*args, **more)  # type: ignore[arg-type]
        store.lag = {"organized/data.yaml": None, "organized/classes.txt": Stored(1, "0" * 32)}
        return outcome

    monkeypatch.setattr(store, "upload", slow_upload)
    publish.publish(new, store)
    assert len(store.uploaded) == len(set(store.uploaded))


def test_object_that_never_shows_is_an_error_that_names_it(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    store = MemoryStore()
    store.refused = _Always({"data.yaml"})
    with pytest.raises(StoreError, match=r"1 of \d+ objects did not arrive, first data.yaml: 503.*same command again"):
        publish.publish(new, store, settle_seconds=0)
    assert "organized/publishing" not in store.objects
    assert "organized/manifest.parquet" not in store.objects


class _Always(set[str]):
    def remove(self, element: str) -> None:
        """It stays refused."""


def test_file_that_was_changed_after_the_manifest_is_never_published(old: Path, new: Path) -> None:
    store = MemoryStore()
    publish.publish(old, store)
    before = dict(store.objects)
    (new / "training/labels/i000_R1.txt").write_bytes(b"9 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n")  # as many bytes
    with pytest.raises(DatasetError, match=r"i000_R1.txt is not what the manifest says.*radloop transform"):
        publish.publish(new, store)
    assert store.objects == before


def test_missing_manifest_and_missing_file_say_what_to_do(tmp_path: Path, new: Path) -> None:
    with pytest.raises(DatasetError, match="radloop transform"):
        publish.publish(tmp_path, MemoryStore())
    (new / "data.yaml").unlink()
    with pytest.raises(DatasetError, match=r"data\.yaml is in the manifest and not on disk"):
        publish.publish(new, MemoryStore())


def test_store_without_md5s_is_believed_its_manifest_and_said_to_be_unverified(tmp_path: Path) -> None:
    store = MemoryStore(keeps_md5=False)
    root = write_unit(tmp_path / "a", {"data.yaml": b"one", "classes.txt": b"0"})
    publish.publish(root, store)
    done = publish.publish(write_unit(tmp_path / "b", {"data.yaml": b"two", "classes.txt": b"0"}), store)
    assert store.objects["organized/data.yaml"] == b"two"
    assert "1 objects are unverified" in done.notes[0]
    assert {problem.rule for problem in publish.verify(store)} == {"unverified"}


def test_damaged_manifest_in_the_store_is_replaced_and_nothing_removed_for_it(old: Path, new: Path) -> None:
    store = MemoryStore()
    publish.publish(old, store)
    store.objects["organized/manifest.parquet"] = b"PAR1 no more"
    done = publish.publish(new, store)
    assert done.removed == 0
    assert "is not a manifest" in done.notes[0]
    assert {problem.rule for problem in publish.verify(store)} == {"unlisted"}


def test_part_that_a_killed_rclone_left_is_removed_and_nothing_else_of_that_name(new: Path) -> None:
    store = MemoryStore()
    for key in ("data.yaml.0123abcd.partial", "publishing.parquet.0123abcd.partial", "mine.0123abcd.partial"):
        store.objects[f"organized/{key}"] = b"a part"
    publish.publish(new, store, keep_old=True)
    assert [(problem.rule, problem.key) for problem in publish.verify(store)] == [("unlisted", "mine.0123abcd.partial")]


def test_two_publishers_of_one_remote_are_noticed_and_one_more_run_completes_either(
    old: Path, new: Path, tmp_path: Path
) -> None:
    third = write_unit(tmp_path / "third", version(7, changed="3 0.2 0.2 0.1 0.1\n"))
    store = MemoryStore()
    publish.publish(old, store)

    class Held(MemoryStore):
        """Another publish runs from its begin to its end before the request number `moment`."""

        moment = 0

        def _request(self, what: str) -> None:
            if what.startswith(("PUT", "DELETE")):
                self.moment -= 1
                if self.moment == 0:
                    publish.publish(third, self)
            super()._request(what)

    noticed = 0
    for moment in range(2, 60, 3):
        held, said = Held(), ""
        held.objects, held.moment = dict(store.objects), moment
        try:
            publish.publish(new, held)
        except StoreError as error:
            said = str(error)
        assert "another load was at work" in said or publish.verify(held) == []
        noticed += said != ""
        publish.publish(new, held)
        assert publish.verify(held) == []
    assert noticed


def test_verify_finds_what_is_missing_changed_and_unlisted(new: Path) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    assert publish.verify(store) == []
    del store.objects["organized/data.yaml"]
    store.objects["organized/training/labels/i001_R1.txt"] = b"13 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n"
    store.objects["organized/classes.txt"] = b"longer than it was"
    store.objects["organized/stray"] = b""
    store.objects["organized/publishing"] = b""
    assert [(problem.rule, problem.key) for problem in publish.verify(store)] == [
        ("publishing", "publishing"),
        ("changed", "classes.txt"),
        ("missing", "data.yaml"),
        ("changed", "training/labels/i001_R1.txt"),
        ("unlisted", "stray"),
    ]


def test_verify_holds_the_manifest_against_the_summary(tmp_path: Path) -> None:
    root = write_unit(tmp_path / "a", {"data.yaml": b"one", "summary.json": json.dumps({"version": "0" * 16}).encode()})
    store = MemoryStore()
    for key in ("data.yaml", "summary.json", manifest.NAME):
        store.objects[f"organized/{key}"] = (root / key).read_bytes()
    assert [problem.rule for problem in publish.verify(store)] == ["manifest"]


def test_verify_without_a_manifest_is_an_error() -> None:
    with pytest.raises(StoreError, match=r"holds no manifest.parquet"):
        publish.verify(MemoryStore())


def test_pulled_folder_is_byte_for_byte_what_was_published(new: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    store.trace.clear()
    pulled = publish.pull(store, tmp_path / "data/organized")
    assert contents(tmp_path / "data/organized") == contents(new)
    assert os.listdir(tmp_path / "data") == ["organized"]
    assert pulled.received_files == len(store.trace) == len(set(NEW.values()))
    assert pulled.files == len(NEW)
    same = [tmp_path / "data/organized/training/images" / f"i001_R{reader}.png" for reader in (1, 2, 3)]
    assert len({path.stat().st_ino for path in same}) == 1


def test_second_pull_brings_only_what_changed_and_keeps_what_no_manifest_lists(
    old: Path, new: Path, tmp_path: Path
) -> None:
    store, root = MemoryStore(), tmp_path / "organized"
    publish.publish(old, store)
    publish.pull(store, root)
    (root / "retrain").mkdir()
    (root / "retrain/retrain.csv").write_bytes(b"mine")
    publish.publish(new, store)
    pulled = publish.pull(store, root)
    assert pulled.received_files == len({NEW[key] for key in NEW} - set(OLD.values()))
    assert contents(root) == contents(new) | {"retrain/retrain.csv": b"mine"}


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
            publish.pull(store, root)
        except KilledError:
            assert contents(root) == contents(old)
        store.requests_left = sys.maxsize
        publish.pull(store, root)
        assert contents(root) == contents(new)
        asked = [what for what in store.trace if what.startswith("GET")]
        assert len(asked) <= len(set(asked)) + 1


def test_pull_waits_for_a_publish_in_progress(new: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    store.objects["organized/publishing"] = b""
    with pytest.raises(StoreError, match="publish in progress"):
        publish.pull(store, tmp_path / "organized")
    assert not (tmp_path / "organized").exists()


def test_pull_of_wrong_bytes_is_an_error_and_leaves_no_dataset(new: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    store.objects["organized/data.yaml"] = b"TRAIN: training/images\n"
    with pytest.raises(StoreError, match=r"not what the manifest says, first organized/data.yaml"):
        publish.pull(store, tmp_path / "organized")
    assert not (tmp_path / "organized").exists()


def test_pull_of_some_splits_lists_what_it_brought_and_cannot_be_published(tmp_path: Path) -> None:
    files = version(2) | version(1, split="test")
    whole = pl.DataFrame({"key": list(files), "md5": [hashlib.md5(data).hexdigest() for data in files.values()]})
    kinds = pl.when(pl.col("key").str.ends_with(".txt")).then(pl.lit("label")).otherwise(pl.lit("image"))
    versioned = whole.filter(pl.col("key") != "classes.txt").with_columns(kind=kinds)
    files["summary.json"] = json.dumps({"version": manifest.version(versioned)}).encode()
    store = MemoryStore()
    publish.publish(write_unit(tmp_path / "whole", files), store)
    pulled = publish.pull(store, tmp_path / "part", splits=["test"])
    listed = manifest.read(tmp_path / "part")
    assert listed is not None
    assert set(listed["split"].drop_nulls().to_list()) == {"test"}
    assert set(contents(tmp_path / "part")) == {*listed["key"].to_list(), manifest.NAME}
    assert {"data.yaml", "summary.json"} <= set(contents(tmp_path / "part"))
    assert pulled.files == len(listed)
    with pytest.raises(DatasetError, match="is a part of version"):
        publish.publish(tmp_path / "part", store)


def test_store_of_an_older_pipeline_is_listed_and_said_to_be_unverified(tmp_path: Path) -> None:
    store = MemoryStore()
    files = version(2) | version(1, split="test")
    store.objects = dict(files)
    assert publish.resolve_prefix(store) == ""
    store.objects = {f"organized/{key}": data for key, data in files.items()}
    assert publish.resolve_prefix(store) == "organized"
    pulled = publish.pull(store, tmp_path / "organized", splits=["test"])
    assert pulled.version is None
    assert "unverified" in pulled.notes[0]
    assert not (tmp_path / "organized" / manifest.NAME).exists()
    assert set(contents(tmp_path / "organized")) == {key for key in files if not key.startswith("training/")}


def test_dataset_at_the_root_of_a_store_is_found(new: Path) -> None:
    store = MemoryStore()
    store.objects = {"organized/retrain/retrain.csv": b"", "data.yaml": b""}
    assert publish.resolve_prefix(store) == ""
    assert publish.resolve_prefix(MemoryStore()) == "organized"


def test_fetch_brings_each_content_once_and_reuses_the_cache(new: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    publish.publish(new, store)
    table = publish.read_manifest(store)
    assert table is not None
    rows = [publish.Row(*row) for row in table.select(publish.Row._fields).iter_rows() if row[1] == "image"]
    store.trace.clear()
    first = publish.fetch(store, rows, tmp_path / "cache")
    assert len(store.trace) == len({row.md5 for row in rows})
    assert {key: path.read_bytes() for key, path in first.items()} == {row.key: NEW[row.key] for row in rows}
    damaged = first[rows[0].key]
    damaged.write_bytes(b"damaged")
    store.trace.clear()
    assert publish.fetch(store, rows, tmp_path / "cache") == first
    assert len(store.trace) == 1


# The same in a folder: links, and one rename.


def test_folder_holds_the_files_as_links(new: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    done = publish.publish(new, store)
    assert contents(tmp_path / "store/organized") == contents(new)
    assert done.sent_bytes == 0
    for key in NEW:
        assert (tmp_path / "store/organized" / key).samefile(new / key)
    assert publish.verify(store) == []


def test_folder_keeps_retraining_data_and_what_no_manifest_lists(old: Path, new: Path, tmp_path: Path) -> None:
    store, unit = FolderStore(tmp_path / "store"), tmp_path / "store/organized"
    publish.publish(old, store)
    (unit / "notes").mkdir()
    (unit / "notes/mine.txt").write_text("mine")
    publish.publish(write_unit(tmp_path / "r", {"retrain.csv": b"image_id\n"}), store, prefix="organized/retrain")
    kept = {key: data for key, data in contents(unit).items() if key.startswith(("retrain/", "notes/"))}
    done = publish.publish(new, store)
    assert contents(unit) == contents(new) | kept
    assert done.removed == len(OLD.keys() - NEW.keys())
    publish.publish(write_unit(tmp_path / "r2", {"report.json": b"{}"}), store, prefix="organized/retrain")
    assert {key for key in contents(unit) if key.startswith("retrain/")} == {
        "retrain/report.json",
        "retrain/manifest.parquet",
    }
    assert set(os.listdir(tmp_path / "store")) == {"organized", ".radloop.lock"}


def test_folder_on_another_file_system_gets_each_picture_once(
    new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def within_the_store(source: os.PathLike[str], target: os.PathLike[str], **more: bool) -> None:
        if str(source).startswith(str(new)):
            raise OSError(18, "Invalid cross-device link")
        link(source, target, **more)

    monkeypatch.setattr(os, "link", within_the_store)
    done = publish.publish(new, FolderStore(tmp_path / "store"))
    assert contents(tmp_path / "store/organized") == contents(new)
    distinct = {(new / key).stat().st_ino: len(data) for key, data in NEW.items()}
    assert done.sent_bytes == sum(distinct.values())


def test_label_changed_in_the_folder_store_is_found_and_repaired(new: Path, tmp_path: Path) -> None:
    store, key = FolderStore(tmp_path / "store"), "training/labels/i001_R1.txt"
    publish.publish(new, store)
    changed = tmp_path / "store/organized" / key
    changed.unlink()
    changed.write_bytes(b"0 0.5 0.5 0.9 0.9\n")
    assert [(problem.rule, problem.key) for problem in publish.verify(store)] == [("changed", key)]
    done = publish.publish(new, store)
    assert (done.unchanged, done.copied) == (len(NEW) - 1, 1)
    assert publish.verify(store) == []


def test_dataset_is_never_published_onto_itself(tmp_path: Path) -> None:
    root = write_unit(tmp_path / "organized", OLD)
    with pytest.raises(StoreError, match="onto itself"):
        publish.publish(root, FolderStore(tmp_path))
    assert set(contents(root)) == {*OLD, manifest.NAME}


def test_two_publishers_of_one_folder_exclude_each_other(new: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "store"), pytest.raises(BusyError):
        publish.publish(new, FolderStore(tmp_path / "store"))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        pytest.param(28, "disk is full", id="full"),
        pytest.param(30, "read-only", id="read-only"),
        pytest.param(36, "too long", id="name"),
    ],
)
def test_folder_that_refuses_keeps_the_old_dataset_and_says_why(
    old: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    store = FolderStore(tmp_path / "store")
    publish.publish(old, store)
    link, calls = os.link, iter(range(1000))

    def refuses(source: os.PathLike[str], target: os.PathLike[str], **more: bool) -> None:
        if next(calls) == 10:
            raise OSError(number, os.strerror(number), str(target))
        link(source, target, **more)

    monkeypatch.setattr(os, "link", refuses)
    with pytest.raises(StoreError, match=sentence):
        publish.publish(new, store)
    assert contents(tmp_path / "store/organized") == contents(old)
    assert set(os.listdir(tmp_path / "store")) == {"organized", ".radloop.lock"}


@settings(max_examples=25, deadline=None)
@given(
    versions=st.lists(
        st.dictionaries(
            st.sampled_from(["training/images/a_R1.png", "test/images/a_R1.png", "test/labels/b_R2.txt", "d.yaml"]),
            st.sampled_from([picture("a", 64), picture("b", 64), b"", b"text"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_folder_after_any_versions_is_the_last_one(
    versions: list[dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("versions")
    store = FolderStore(base / "store")
    for number, files in enumerate(versions):
        root = write_unit(base / str(number), files)
        publish.publish(root, store)
        assert contents(base / "store/organized") == contents(root)
        publish.pull(store, base / "pulled")
        assert contents(base / "pulled") == contents(root)

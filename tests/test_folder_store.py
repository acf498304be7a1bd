"""A folder as a store: links, one rename, and what a file system refuses."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop import manifest
from radloop.errors import BusyError, StoreError
from radloop.files import locked
from radloop.storage import digests, publish, pull, verify
from radloop.storage.digests import Digests
from radloop.storage.folder import FolderStore, walk
from tiny_unit import NEW, OLD, contents, picture, write_unit


def test_walk_lists_links_but_does_not_follow_them(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c.txt").write_text("c")
    (tmp_path / "elsewhere").symlink_to("/")
    assert sorted(key for key, _ in walk(tmp_path)) == ["a/b/c.txt", "elsewhere"]


def test_each_file_is_hashed_once_and_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    read: list[Path] = []
    monkeypatch.setattr(digests, "_md5", lambda path: read.append(path) or f"md5 of {path.read_text()[:3]}")
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("one" * 30_000)
    os.link(first, second)
    known = Digests()
    assert set(known.of([first, second]).values()) == {"md5 of one"}
    assert len(read) == 1
    known.of([first, second])
    assert len(read) == 1
    first.write_text("two!")
    assert known.of([second]) == {second: "md5 of two"}


def test_what_is_no_regular_file_has_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Digests().of([tmp_path / "pipe"]) == {tmp_path / "pipe": ""}


def test_folder_store_reads_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "organized").mkdir()
    (tmp_path / "organized/data.yaml").write_bytes(b"names")
    store = FolderStore(tmp_path)
    assert store.get("organized/data.yaml") == b"names"
    assert store.get("organized/none") is None
    assert store.get("organized/data.yaml/none") is None
    assert store.top() == {"organized"}
    assert list(store.list("organized")) == ["data.yaml"]
    assert store.list("nowhere") == {}
    assert store.fetch("organized", ["data.yaml", "none"], tmp_path) == {"data.yaml": tmp_path / "organized/data.yaml"}


def test_folder_store_is_refused_where_a_file_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="is not a folder"):
        FolderStore(tmp_path / "file/store").preflight()
    FolderStore(tmp_path / "not/yet").preflight()
    assert not (tmp_path / "not").exists()


def test_read_only_folder_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match="no permission to write"):
        FolderStore(tmp_path).preflight()
    with pytest.raises(StoreError, match="no permission to write"):
        FolderStore(tmp_path).rehearse()


def test_folder_holds_the_files_as_links(new: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    done = publish.publish(new, store)
    assert contents(tmp_path / "store/organized") == contents(new)
    assert done.sent_bytes == 0
    for key in NEW:
        assert (tmp_path / "store/organized" / key).samefile(new / key)
    assert verify.verify(store) == []


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


@pytest.mark.parametrize("prefix", ["organized", "organized/retrain"])
def test_switch_that_was_cut_off_is_undone_before_the_next(old: Path, new: Path, tmp_path: Path, prefix: str) -> None:
    """Where a file system cannot swap two names, a kill leaves the old unit aside."""
    store, unit = FolderStore(tmp_path / "store"), tmp_path / "store" / prefix
    publish.publish(old, store, prefix=prefix)
    aside = unit.rename(unit.with_name(f".{unit.name}.old"))
    done = publish.publish(new, store, prefix=prefix)
    assert not aside.exists()
    assert done.removed == len(OLD.keys() - NEW.keys())
    assert contents(unit) == contents(new)


def test_retraining_data_whose_switch_was_cut_off_come_along_with_the_next_dataset(
    old: Path, new: Path, tmp_path: Path
) -> None:
    store, unit = FolderStore(tmp_path / "store"), tmp_path / "store/organized"
    retrain = write_unit(tmp_path / "r", {"retrain.csv": b"image_id\n"})
    publish.publish(old, store)
    publish.publish(retrain, store, prefix="organized/retrain")
    (unit / "retrain").rename(unit / ".retrain.old")
    publish.publish(new, store)
    kept = {f"retrain/{key}": data for key, data in contents(retrain).items()}
    assert contents(unit) == contents(new) | kept


def test_what_a_killed_publish_built_is_removed_by_the_next_also_with_nothing_to_do(new: Path, tmp_path: Path) -> None:
    store, built = FolderStore(tmp_path / "store"), tmp_path / "store/.publishing-organized"
    publish.publish(new, store)
    (built / "training").mkdir(parents=True)
    publish.publish(new, store, dry_run=True)
    assert built.exists()
    publish.publish(new, store)
    assert not built.exists()


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
        pytest.param(28, r"disk is full.*has \S+ GB free, up to \S+ GB are needed", id="full"),
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
        pull.pull(store, base / "pulled")
        assert contents(base / "pulled") == contents(root)

"""The order of writes to an object store, killed, lagging and shared with another publisher at any moment."""

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_store import KilledError, MemoryStore
from radloop import manifest
from radloop.errors import DatasetError, StoreError
from radloop.progress import Progress, silent
from radloop.storage import publish, verify
from radloop.storage.change import Outcome, Stored
from radloop.storage.quickest import Arrived, ignored
from tiny_unit import NEW, OLD, picture, version, write_unit


def in_store(files: Mapping[str, bytes], root: Path) -> dict[str, bytes]:
    """What an object store must hold after `files`, written to `root`, were published to it when it was empty."""
    held = {f"organized/{key}": data for key, data in files.items()}
    return held | {"organized/manifest.parquet": (root / manifest.NAME).read_bytes()}


@pytest.fixture
def third(tmp_path: Path) -> Path:
    return write_unit(tmp_path / "third", version(7, changed="3 0.2 0.2 0.1 0.1\n"))


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


def test_pictures_that_change_places_are_sent_and_never_copied_from_each_other(tmp_path: Path) -> None:
    one, two = "training/images/a_R1.png", "training/images/b_R1.png"
    store = MemoryStore()
    publish.publish(write_unit(tmp_path / "1", {one: picture("a"), two: picture("b")}), store)
    store.trace.clear()
    swapped = write_unit(tmp_path / "2", {one: picture("b"), two: picture("a")})
    done = publish.publish(swapped, store)
    assert (done.sent_files, done.copied) == (2, 0)
    assert not [what for what in store.trace if what.startswith("COPY")]


def test_picture_that_is_new_and_also_takes_the_place_of_another_is_sent_once(tmp_path: Path) -> None:
    one, two = "training/images/a_R1.png", "training/images/b_R1.png"
    store = MemoryStore()
    publish.publish(write_unit(tmp_path / "1", {one: picture("a")}), store)
    both = write_unit(tmp_path / "2", {one: picture("b"), two: picture("b")})
    foreseen = publish.publish(both, store, dry_run=True)
    done = publish.publish(both, store)
    assert (done.sent_files, done.copied) == (1, 1)
    assert replace(foreseen, done=True) == done


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


def test_lost_upload_is_sent_again(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    store = MemoryStore()
    store.refused = {"data.yaml", "training/images/i001_R1.png"}
    publish.publish(new, store)
    assert store.objects == in_store(NEW, new)
    assert len(store.uploaded) == len(set(store.uploaded))


def test_picture_whose_upload_was_lost_is_still_sent_once(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    store = MemoryStore()
    store.refused = {"training/images/i001_R1.png"}
    publish.publish(new, store)
    sent = [NEW[key] for key in store.uploaded if key.endswith(".png")]
    assert len(sent) == len(set(sent))
    assert store.objects == in_store(NEW, new)


def test_picture_whose_source_is_gone_though_the_listing_shows_it_is_sent(
    new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Haunted(MemoryStore):
        def list(self, prefix: str = "", *, progress: Progress = silent) -> dict[str, Stored]:
            data = NEW["training/images/i001_R1.png"]
            ghost = Stored(len(data), hashlib.md5(data).hexdigest())
            return {"training/images/ghost.png": ghost} | super().list(prefix)

    monkeypatch.setattr(time, "sleep", lambda _: None)
    store = Haunted()
    publish.publish(new, store)
    assert store.objects == in_store(NEW, new)


def test_new_file_that_was_changed_after_the_manifest_is_named_once_it_does_not_arrive(new: Path) -> None:
    """A new file is hashed by the store, not before: the listing shows that it is another one."""
    store = MemoryStore()
    store.settle_seconds = 0
    (new / "data.yaml").write_bytes(NEW["data.yaml"][::-1])
    with pytest.raises(DatasetError, match=r"data\.yaml is not what the manifest says"):
        publish.publish(new, store)
    assert "organized/manifest.parquet" not in store.objects


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
    store.settle_seconds = 0
    with pytest.raises(StoreError, match=r"1 of \d+ objects did not arrive, first data.yaml: 503.*same command again"):
        publish.publish(new, store)
    assert "organized/publishing" not in store.objects
    assert "organized/manifest.parquet" not in store.objects


class _Always(set[str]):
    def remove(self, element: str) -> None:
        """It stays refused."""


def test_store_without_md5s_is_believed_its_manifest_and_said_to_be_unverified(tmp_path: Path) -> None:
    store = MemoryStore(keeps_md5=False)
    root = write_unit(tmp_path / "a", {"data.yaml": b"one", "classes.txt": b"0"})
    publish.publish(root, store)
    done = publish.publish(write_unit(tmp_path / "b", {"data.yaml": b"two", "classes.txt": b"0"}), store)
    assert store.objects["organized/data.yaml"] == b"two"
    assert "1 objects are unverified" in done.notes[0]
    assert {problem.rule for problem in verify.verify(store)} == {"unverified"}


def test_store_without_md5s_is_repaired_where_a_size_differs(old: Path) -> None:
    store = MemoryStore(keeps_md5=False)
    publish.publish(old, store)
    store.objects["organized/data.yaml"] = b"cut"
    assert [problem.key for problem in verify.verify(store) if problem.rule == "changed"] == ["data.yaml"]
    assert publish.publish(old, store).sent_files == 1
    assert store.objects == in_store(OLD, old)


@pytest.mark.parametrize("keeps_md5", [True, False], ids=["md5s", "no-md5s"])
def test_version_that_was_cut_off_leaves_nothing_behind_also_without_md5s(tmp_path: Path, keeps_md5: bool) -> None:
    """While the marker stands the old manifest is no promise: the other version's bytes may be there, as many."""
    one, two = {"data.yaml": b"one", "classes.txt": b"0"}, {"data.yaml": b"two", "classes.txt": b"0"}
    first, second = write_unit(tmp_path / "1", one), write_unit(tmp_path / "2", two)
    store = MemoryStore(keeps_md5=keeps_md5)
    publish.publish(first, store)
    store.requests_left = 3  # the journal, the marker and data.yaml
    with pytest.raises(KilledError):
        publish.publish(second, store)
    assert store.objects["organized/data.yaml"] == b"two"
    store.requests_left = sys.maxsize
    publish.publish(first, store)
    assert store.objects == in_store(one, first)


def test_part_that_a_killed_rclone_left_is_removed_and_nothing_else_of_that_name(new: Path) -> None:
    store = MemoryStore()
    for key in ("data.yaml.0123abcd.partial", "publishing.parquet.0123abcd.partial", "mine.0123abcd.partial"):
        store.objects[f"organized/{key}"] = b"a part"
    publish.publish(new, store, keep_old=True)
    assert [(problem.rule, problem.key) for problem in verify.verify(store)] == [("unlisted", "mine.0123abcd.partial")]


@pytest.mark.slow
def test_two_publishers_of_one_remote_are_noticed_and_one_more_run_completes_either(
    old: Path, new: Path, third: Path
) -> None:
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
        held.objects, held.moment, held.settle_seconds = dict(store.objects), moment, 0.2
        try:
            publish.publish(new, held)
        except StoreError as error:
            said = str(error)
        assert "another load was at work" in said or verify.verify(held) == []
        noticed += said != ""
        publish.publish(new, held)
        assert verify.verify(held) == []
    assert noticed


class Shared(MemoryStore):
    """Another publisher is at work just after the request `moment`."""

    moment = ""

    def __init__(self, objects: Mapping[str, bytes], other: Callable[["Shared"], object]) -> None:
        super().__init__()
        self.objects = dict(objects)
        self.settle_seconds = 0.2
        self._other = other

    def _strike(self, what: str) -> None:
        if what == self.moment:
            self.moment = ""
            self._other(self)

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data)
        self._strike(f"PUT {key}")

    def upload(
        self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent, arrived: Arrived = ignored
    ) -> Outcome:
        outcome = super().upload(root, prefix, keys, progress=progress, arrived=arrived)
        if "organized/publishing" in self.objects:
            self._strike("changed keys")
        return outcome

    def delete(self, prefix: str, keys: Iterable[str]) -> None:
        keys = list(keys)
        super().delete(prefix, keys)
        if keys and "publishing.parquet" not in keys and "publishing" not in keys:
            self._strike("removal")


def test_manifest_of_another_load_is_not_overwritten(old: Path, new: Path, third: Path) -> None:
    store = shared(old, "changed keys", lambda store: publish.publish(third, store))
    with pytest.raises(StoreError, match="another load was at work there"):
        publish.publish(new, store)
    assert store.objects["organized/manifest.parquet"] == (third / manifest.NAME).read_bytes()
    assert_waits_and_is_completed(store, new)


def test_nothing_that_another_load_has_just_listed_is_removed(old: Path, new: Path) -> None:
    """The other load brings the old version back, whose keys this one was about to remove."""
    store = shared(old, "PUT organized/manifest.parquet", lambda store: publish.publish(old, store))
    with pytest.raises(StoreError, match="another load was at work there"):
        publish.publish(new, store)
    assert {problem.rule for problem in verify.verify(store)} == {"publishing"}
    assert_waits_and_is_completed(store, new)


def test_marker_and_journal_of_another_load_are_left_standing(old: Path, new: Path, third: Path) -> None:
    """The other load is killed in the middle, after its marker; its journal still owes what it wrote."""

    def cut_off(store: Shared) -> None:
        store.requests_left = 25  # the journal, 18 new keys, the marker and some changed keys
        with pytest.raises(KilledError):
            publish.publish(third, store)
        store.requests_left = sys.maxsize

    store = shared(old, "removal", cut_off)
    with pytest.raises(StoreError, match="another load was at work there"):
        publish.publish(new, store)
    assert {"organized/publishing", "organized/publishing.parquet"} <= store.objects.keys()
    assert_waits_and_is_completed(store, new)


def test_load_that_another_one_overtook_at_its_end_does_not_end_well(old: Path, new: Path, third: Path) -> None:
    store = shared(old, "removal", lambda store: publish.publish(third, store))
    with pytest.raises(StoreError, match="another load was at work there"):
        publish.publish(new, store)
    assert_waits_and_is_completed(store, new)


def shared(old: Path, moment: str, other: Callable[[Shared], object]) -> Shared:
    """A store that holds `old`; `other` happens in it once, at `moment` of the next publish."""
    first = MemoryStore()
    publish.publish(old, first)
    store = Shared(first.objects, other)
    store.moment = moment
    return store


def assert_waits_and_is_completed(store: MemoryStore, new: Path) -> None:
    """Readers are turned away until one more load has run, which leaves nothing of the other."""
    assert "organized/publishing" in store.objects
    publish.publish(new, store)
    assert store.objects == in_store(NEW, new)

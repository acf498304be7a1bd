"""Every published version is kept whole, whatever is killed, and goes when it is pruned."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory_store import KilledError, MemoryStore
from radloop import manifest
from radloop.catalog import history
from radloop.errors import DatasetError, UsageError
from radloop.files import walk_visible
from radloop.storage import Store, keeping, layout, publish, versions
from radloop.storage.folder import FolderStore
from radloop.storage.keeping import Keep, Standing
from radloop.storage.pull import pull_parts
from tiny_unit import contents, picture, version, write_unit

START = datetime(2026, 1, 1, tzinfo=UTC)
UNIT = "organized"


def rounds(readers: int = 3) -> list[dict[str, bytes]]:
    """Five versions of one dataset: pictures come, go, come back, change, and change places."""
    first = version(3, readers=readers)
    two = version(4, readers=readers, changed="1 0.2 0.2 0.1 0.1\n")
    swapped = two | {
        "training/images/i000_R1.png": picture("i001"),
        "training/images/i001_R1.png": picture("i000"),
        "test/images/late_R1.png": picture("late"),
        "test/labels/late_R1.txt": b"",
    }
    smaller = version(2, readers=readers) | {"training/images/i000_R1.png": picture("another")}
    return [first, two, swapped, smaller, version(3, readers=readers, changed="2 0.3 0.3 0.1 0.1\n")]


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """They as folders."""
    folder = tmp_path_factory.mktemp("rounds")
    return [write_unit(folder / str(number), files) for number, files in enumerate(rounds())]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same with one reader."""
    folder = tmp_path_factory.mktemp("small")
    return [write_unit(folder / str(number), files) for number, files in enumerate(rounds(1))]


def load(store: Store, root: Path, *, keep: int = 10, day: int = 0) -> publish.Published:
    when = Keep(START + timedelta(days=day), keep)
    return publish.publish(root, store, versions=when, allow_shrink=True)


def id_of(root: Path) -> str:
    listed = manifest.read(root)
    assert listed is not None
    return manifest.version(listed)


def standing(store: MemoryStore) -> Standing:
    return publish._look(store, UNIT).standing(store, UNIT)


def require_whole(store: MemoryStore, *, by_place: bool) -> set[str]:
    """The kept versions, of which every picture is there; by_place: where a reader looks for it."""
    current = standing(store)
    here = set(current.table.filter(kind="image")["key"]) if by_place else set(current.listing)
    there = {hashlib.md5(store.objects[f"{UNIT}/{key}"]).hexdigest() for key in here}
    there |= {
        hashlib.md5(data).hexdigest() for key, data in store.objects.items() if key.startswith(f"{UNIT}/versions/pic")
    }
    kept = current.history.kept
    for one, named in kept.items():
        keys = named.keys(one)
        listed = manifest.decode(store.objects[f"{UNIT}/{keys[0]}"], name=one)
        assert manifest.version(listed) == one
        history.unpacked(store.objects[f"{UNIT}/{keys[1]}"], listed, name=one)
        assert set(listed.filter(kind="image")["md5"]) <= there
    return set(kept)


def pulled(store: Store, root: Path, into: Path) -> Mapping[str, bytes]:
    pull_parts(store, into / UNIT, version=id_of(root))
    return contents(into / UNIT)


@pytest.fixture(params=["memory", "no copies", "no MD5s", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    made: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore,
        "no copies": lambda: MemoryStore(can_copy=False),
        "no MD5s": lambda: MemoryStore(keeps_md5=False),
        "folder": lambda: FolderStore(tmp_path / "store"),
    }
    return made[request.param]()


def test_each_of_five_versions_comes_back_byte_for_byte(store: Store, five: list[Path], tmp_path: Path) -> None:
    for day, root in enumerate(five):
        load(store, root, day=day)
    for number, root in enumerate(five):
        assert pulled(store, root, tmp_path / str(number)) == contents(root)
    assert not list(versions.verify(store, UNIT))


def test_trainer_finds_only_the_current_version_in_the_tree(five: list[Path]) -> None:
    store, plain = MemoryStore(), MemoryStore()
    for root in five:
        load(store, root)
        publish.publish(root, plain, allow_shrink=True)
    tree = {key: data for key, data in store.objects.items() if not key.startswith(f"{UNIT}/versions/")}
    assert tree == plain.objects


def test_unchanged_picture_neither_travels_nor_is_copied(five: list[Path]) -> None:
    store = MemoryStore()
    for root in five[:2]:
        load(store, root)
    store.trace.clear()
    store.uploaded.clear()
    done = load(store, five[2])
    assert [key for key in store.uploaded if key.endswith(".png")] == ["test/images/late_R1.png"]
    assert done.kept == 3


def test_pictures_that_change_places_are_put_aside_until_both_are_in_theirs(small: list[Path]) -> None:
    store = held(small, 2)
    store.trace.clear()
    load(store, small[2])
    aside = [f"{UNIT}/versions/pictures/{hashlib.md5(picture(name)).hexdigest()}.png" for name in ("i000", "i001")]
    assert all(
        store.trace.index(f"COPY {key}")
        < store.trace.index(f"PUT {UNIT}/publishing")
        < store.trace.index(f"DELETE {key}")
        for key in aside
    )
    assert not [key for key in store.uploaded[-8:] if key.endswith(("i000_R1.png", "i001_R1.png"))]


def test_picture_that_goes_is_copied_once_by_the_store_itself(five: list[Path]) -> None:
    store = MemoryStore()
    for root in five[:3]:
        load(store, root)
    store.trace.clear()
    store.uploaded.clear()
    load(store, five[3])
    gone = {hashlib.md5(picture(name)).hexdigest() for name in ("late", "i002", "i003")}
    copies = [what for what in store.trace if what.startswith(f"COPY {UNIT}/versions/")]
    assert sorted(copies) == sorted(f"COPY {UNIT}/versions/pictures/{md5}.png" for md5 in gone)
    assert [key for key in store.uploaded if "versions/" in key] == []


def test_picture_that_comes_back_is_copied_from_where_it_was_kept(five: list[Path]) -> None:
    store = MemoryStore()
    for root in five[:4]:
        load(store, root)
    store.uploaded.clear()
    load(store, five[4])
    assert [key for key in store.uploaded if key.endswith(".png")] == []
    kept = {key for key in store.objects if key.startswith(f"{UNIT}/versions/pictures/")}
    here = {hashlib.md5(data).hexdigest() for key, data in store.objects.items() if "/images/" in key}
    assert not {history.md5_in(key) for key in kept} & here


def test_second_publish_of_one_version_writes_nothing(five: list[Path]) -> None:
    store = MemoryStore()
    load(store, five[0])
    store.requests_left = 0
    load(store, five[0], day=3)


def test_same_version_with_other_documents_is_kept_as_it_is_now(five: list[Path], tmp_path: Path) -> None:
    store = MemoryStore()
    load(store, five[0])
    again = write_unit(tmp_path / "again", rounds()[0] | {"classes.txt": b"0 Another\n"})
    load(store, again)
    load(store, five[1])
    assert pulled(store, again, tmp_path / "back") == contents(again)
    assert len(standing(store).history.entries) == 2


def test_no_more_than_the_wished_number_is_kept(five: list[Path], tmp_path: Path) -> None:
    store = MemoryStore()
    for root in five:
        load(store, root, keep=2)
    assert require_whole(store, by_place=True) == {id_of(five[3]), id_of(five[4])}
    assert len(standing(store).history.entries) == 5
    with pytest.raises(UsageError, match="kept are") as wrong:
        pulled(store, five[0], tmp_path)
    assert id_of(five[3]) in str(wrong.value)
    lists = {md5 for root in five[3:] for md5 in manifest.read(root).filter(kind="image")["md5"]}  # type: ignore[union-attr]
    pictures = [history.md5_in(key) for key in store.objects if key.startswith(f"{UNIT}/versions/pictures/")]
    assert set(pictures) <= lists
    load(store, five[4], keep=0)
    assert [key for key in store.objects if "/versions/" in key] == [f"{UNIT}/versions/history.json"]


def held(roots: list[Path], number: int, **given: bool) -> MemoryStore:
    store = MemoryStore(**given)
    for root in roots[:number]:
        load(store, root)
    return store


def copy_of(store: MemoryStore) -> MemoryStore:
    copied = MemoryStore(can_copy=store.can_copy)
    copied.objects = dict(store.objects)
    return copied


def states(before: MemoryStore, root: Path) -> Iterator[MemoryStore]:
    """What a load leaves that is killed at each of its requests; the last is what it leaves undisturbed."""
    whole = copy_of(before)
    load(whole, root)
    for moment in range(len(whole.trace)):
        killed = copy_of(before)
        killed.requests_left = moment
        with pytest.raises(KilledError):
            load(killed, root)
        killed.requests_left = sys.maxsize
        yield killed
    yield whole


@pytest.mark.parametrize(("number", "copies"), [(1, True), (3, True), (3, False)])
def test_kill_at_every_request_leaves_every_kept_version_whole(small: list[Path], number: int, copies: bool) -> None:
    *killed, whole = states(held(small, number, can_copy=copies), small[number])
    before = {id_of(root) for root in small[:number]}
    for store in killed:
        assert require_whole(store, by_place=False) >= before
        if f"{UNIT}/{layout.MARKER}" not in store.objects:
            require_whole(store, by_place=True)
        load(store, small[number])
        assert store.objects == whole.objects


@pytest.mark.parametrize("keep", [10, 2])
def test_another_version_after_a_kill_at_every_request_loses_nothing(small: list[Path], keep: int) -> None:
    *killed, done = states(held(small, 3), small[3])
    undisturbed = {False: held(small, 3), True: done}
    for store in undisturbed.values():
        load(store, small[4], keep=keep)
    for store in killed:
        reached = standing(store).version == id_of(small[3])
        load(store, small[4], keep=keep)
        order = [*small[: 4 if reached else 3], small[4]]
        assert require_whole(store, by_place=True) == {id_of(root) for root in order[-keep:]}
        assert store.objects == undisturbed[reached].objects


@example(steps=[(0, 14, 1), (2, 19, 2), (0, 4, 1)])
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(1, 4)), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_whatever_is_published_and_killed_no_kept_version_lacks_a_picture(
    small: list[Path], steps: list[tuple[int, int, int]]
) -> None:
    store = MemoryStore()
    for number, moment, keep in steps:
        store.requests_left = moment
        with suppress(KilledError):
            load(store, small[number], keep=keep)
        store.requests_left = sys.maxsize
        require_whole(store, by_place=False)
    load(store, small[0])
    assert id_of(small[0]) in require_whole(store, by_place=True)


def test_picture_that_the_store_has_lost_takes_its_version_out_of_the_history(five: list[Path]) -> None:
    store = held(five, 3)
    for key in [key for key in store.objects if key.endswith("late_R1.png")]:
        del store.objects[key]
    done = load(store, five[3])
    assert any("not kept" in note and id_of(five[2]) in note for note in done.notes)
    assert id_of(five[2]) not in require_whole(store, by_place=True)


def test_store_from_before_there_was_a_history_says_what_is_not_kept(five: list[Path]) -> None:
    store = MemoryStore()
    publish.publish(five[0], store)
    assert not [key for key in store.objects if "versions/" in key]
    done = load(store, five[1])
    assert any(id_of(five[0]) in note for note in done.notes)
    assert require_whole(store, by_place=True) == {id_of(five[1])}


def test_changed_label_is_found_before_it_is_kept(tmp_path: Path) -> None:
    root = write_unit(tmp_path / "dataset", rounds()[0])
    (root / "training/labels/i000_R1.txt").write_bytes(b"0 0.5 0.5 0.1 0.2\n")
    with pytest.raises(DatasetError, match=r"i000_R1\.txt"):
        load(MemoryStore(), root)


@pytest.mark.parametrize("what", ["manifest-", "documents-", "pictures/"])
def test_damage_to_a_kept_version_is_told(five: list[Path], what: str) -> None:
    store = held(five, 4)
    key = next(key for key in store.objects if f"/{what}" in key)
    store.objects[key] = store.objects[key][:-1] + b"?"
    assert {found for found, _ in versions.verify(store, UNIT)} == {key.removeprefix(f"{UNIT}/")}


def test_pruning_never_takes_the_current_version(five: list[Path]) -> None:
    store = held(five, 4)
    told = keeping.pruned(standing(store), 1).history
    assert set(told.kept) == {id_of(five[3])}


def test_what_a_killed_rclone_left_goes_with_the_next_publish(five: list[Path]) -> None:
    store = held(five, 2)
    *_, named = standing(store).history.kept.items()
    cut_off = [f"{key}.0a1b2c3d.partial" for key in (history.NAME, *named[1].keys(named[0]))]
    cut_off.append(f"{history.PICTURES}{'0' * 32}.png.0a1b2c3d.partial")
    store.objects |= {f"{UNIT}/{key}": b"half" for key in cut_off}
    store.objects[f"{UNIT}/{layout.JOURNAL}"] = manifest.encode(standing(store).table)  # a publish was cut off
    store.objects[f"{UNIT}/versions/notes.txt"] = b"a stranger's"
    load(store, five[1])
    assert not [key for key in store.objects if key.endswith(".partial")]
    assert f"{UNIT}/versions/notes.txt" in store.objects
    assert len(require_whole(store, by_place=True)) == 2


def test_store_that_is_read_as_a_source_shows_only_its_current_version(five: list[Path], tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    for root in five[:4]:
        load(store, root)
    seen = {
        Path(entry.path).relative_to(tmp_path / "store" / UNIT) for entry in walk_visible(tmp_path / "store" / UNIT)
    }
    assert (tmp_path / "store" / UNIT / history.PICTURES).is_dir()
    assert {path.as_posix() for path in seen} == {*rounds()[3], manifest.NAME}

"""The incoming unit on disk: added to, never half there, whatever is killed when."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from memory_store import KilledError
from radloop import files, manifest, tree
from radloop.catalog import incoming as unlabelled
from radloop.dataset import incoming_files
from radloop.dataset.incoming import Arrival
from radloop.tables import INCOMING, MANIFEST

NOON = datetime(2026, 11, 30, tzinfo=UTC)
FIRST = [Arrival("a", b"\x89PNG a", NOON), Arrival("b", b"\xff\xd8 b", NOON)]
SECOND = [Arrival("c", b"\x89PNG c", NOON)]


def table(*arrivals):
    rows = [
        dict.fromkeys(INCOMING.names())
        | {"image_id": one.image_id, "md5": one.md5, "group": one.image_id, "arrived_at": NOON, "audit": False}
        for one in arrivals
    ]
    return pl.DataFrame(rows, schema=INCOMING)


def content(unit):
    return {path.relative_to(unit).as_posix(): path.read_bytes() for path in unit.rglob("*") if path.is_file()}


@pytest.fixture
def unit(tmp_path) -> Path:
    made = tmp_path / "organized" / manifest.INCOMING
    incoming_files.add(made, FIRST, table(*FIRST))
    return made


def test_pictures_keep_their_kind_and_stand_in_table_and_manifest(unit):
    assert set(content(unit)) == {"images/a.png", "images/b.jpg", tree.INCOMING, manifest.NAME}
    listed = manifest.read(unit)
    assert listed.select("key", "kind", "image_id").rows() == [
        ("images/a.png", "image", "a"),
        ("images/b.jpg", "image", "b"),
        (tree.INCOMING, "table", None),
    ]
    assert unlabelled.read(unit.parent)["image_id"].to_list() == ["a", "b"]


def test_what_was_there_stays_the_same_file(unit):
    before = (unit / "images/a.png").stat()
    incoming_files.add(unit, SECOND, table(*FIRST, *SECOND))
    assert (unit / "images/a.png").stat() == before
    assert unlabelled.read(unit.parent)["image_id"].to_list() == ["a", "b", "c"]


@pytest.mark.parametrize("first", [True, False], ids=["the first pictures", "later pictures"])
def test_kill_at_any_write_leaves_the_old_unit_or_the_new_one_and_a_second_run_ends_in_the_same_bytes(
    tmp_path, monkeypatch, first
):
    def begin(name):
        made = tmp_path / name / "organized" / manifest.INCOMING
        if not first:
            incoming_files.add(made, FIRST, table(*FIRST))
        return made

    before = [] if first else ["a", "b"]
    undisturbed = begin("undisturbed")
    incoming_files.add(undisturbed, SECOND, table(*([] if first else FIRST), *SECOND))

    write, replace, unlink = files.write_all, files.os.replace, Path.unlink
    left = 0

    def counted(call):
        def struck(*given, **named):
            nonlocal left
            if left == 0:
                raise KilledError
            left -= 1
            return call(*given, **named)

        return struck

    for at in range(40):
        unit = begin(f"killed at {at}")
        left = at
        with monkeypatch.context() as patch:
            patch.setattr(files, "write_all", counted(write))
            patch.setattr(files.os, "replace", counted(replace))
            patch.setattr(Path, "unlink", counted(unlink))
            try:
                incoming_files.add(unit, SECOND, table(*([] if first else FIRST), *SECOND))
                done = True
            except KilledError:
                done = False
        assert unlabelled.read(unit.parent)["image_id"].to_list() in (before, [*before, "c"])
        incoming_files.recover(unit)
        found = unlabelled.read(unit.parent)["image_id"].to_list()
        if found == before:
            listed = set() if first else {*content(begin("before"))}
            assert {name for name in content(unit) if not name.startswith(".")} == listed
            incoming_files.add(unit, SECOND, table(*([] if first else FIRST), *SECOND))
        assert {k: v for k, v in content(unit).items() if "tmp" not in k} == content(undisturbed)
        if done:
            return
    pytest.fail("it was never done")


def test_call_that_failed_leaves_nothing_of_it_behind_the_next(unit, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_all", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            incoming_files.add(unit, SECOND, table(*FIRST, *SECOND))
    (unit / incoming_files.ARRIVING).write_bytes(
        manifest.encode(pl.DataFrame([incoming_files._file(SECOND[0])], schema=MANIFEST))
    )
    (unit / "images/c.png").write_bytes(b"a part")
    third = [Arrival("d", b"\x89PNG d", NOON)]
    incoming_files.add(unit, third, table(*FIRST, *third))
    assert sorted(path.name for path in (unit / "images").iterdir()) == ["a.png", "b.jpg", "d.png"]

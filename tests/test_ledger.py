"""What was done of a PACS is known after a kill, all of a step or nothing of it."""

import sqlite3
import stat

import pytest

from radloop.dicom.quarantine import HELD
from radloop.errors import DatasetError
from radloop.pacs import ledger
from radloop.pacs.ledger import Done, Ledger, Planned

FIRST = Planned("1.2", "yolo 1", 1, ("1.2.3", "1.2.4"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "watch" / "pacs.db"


def test_what_was_written_is_there_for_the_next_run(path):
    with Ledger(path) as ledger:
        ledger.record([Done("1.2", "1.2.3", "image", "a1"), Done("1.2", "1.2.4", "multi-frame")])
        ledger.count("1.2", 2)
        ledger.plan(FIRST)
    with Ledger(path) as ledger:
        assert ledger.known("1.2") == {"1.2.3", "1.2.4"}
        assert ledger.known("1.3") == set()
        assert ledger.counts() == {"1.2": 2}
        assert ledger.reports("1.2", "yolo 1") == [(FIRST, False)]
        ledger.end(FIRST, "stored")
        assert ledger.reports("1.2", "yolo 1") == [(FIRST, True)]
        assert ledger.reports("1.2", "yolo 2") == []


def test_object_that_a_pacs_lists_in_two_studies_is_known_in_both(path):
    with Ledger(path) as ledger:
        for study in ("1.2", "1.3"):
            ledger.record([Done(study, "1.2.3", "image", "a1")])
        assert ledger.known("1.2") == ledger.known("1.3") == {"1.2.3"}


def test_a_step_that_is_cut_off_has_not_begun(path):
    def step(ledger):
        with ledger.together():
            ledger.record([Done("1.2", "1.2.3", "image")])
            ledger.count("1.2", 1)
            raise KeyboardInterrupt

    with Ledger(path) as ledger:
        with pytest.raises(KeyboardInterrupt):
            step(ledger)
        assert ledger.known("1.2") == set()
        assert ledger.counts() == {}


def test_an_image_that_waited_for_a_person_is_asked_for_again_and_so_is_its_study(path):
    with Ledger(path) as ledger:
        ledger.record([Done("1.2", "1.2.3", HELD, "a1"), Done("1.2", "1.2.4", HELD, "a2")])
        ledger.record([Done("1.5", "1.5.1", "image", "a3")])
        for study_uid in ("1.2", "1.5"):
            ledger.count(study_uid, 2)
        assert ledger.held() == {"a1", "a2"}
        ledger.look_again({"a1"})
        assert ledger.held() == {"a2"}
        assert ledger.known("1.2") == {"1.2.4"}
        assert ledger.counts() == {"1.5": 2}


def test_the_same_report_is_not_planned_twice(path):
    with Ledger(path) as ledger:
        ledger.plan(FIRST)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            ledger.plan(FIRST)


def test_nobody_else_can_read_it(path):
    with Ledger(path) as ledger:
        ledger.count("1.2", 1)
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_who_only_looks_sees_what_a_watcher_at_work_has_just_written(path):
    with Ledger(path) as at_work:
        at_work.count("1.2", 3)
        at_work.record([Done("1.2", "1.2.1", "image", "a" * 32)])
        assert ledger.counts_of(path) == {"1.2": 3}
        assert ledger.count_of(path, ["a" * 32]) == 1
    assert ledger.counts_of(path) == {"1.2": 3}


def test_forgotten_image_is_in_no_byte_of_it_and_its_study_is_still_counted(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(path) as opened:
        opened.record([Done("1.1", "1.1.1", "image", "a" * 32), Done("1.1", "1.1.2", "image", "b" * 32)])
        opened.plan(Planned("1.1", "model", 1, ("1.1.1", "1.1.2")))
        opened.count("1.1", 2)
    assert ledger.count_of(path, ["a" * 32]) == 1
    with Ledger(path) as opened:
        assert opened.forget(["a" * 32]) == 1
        assert opened.forget(["a" * 32]) == 0
        assert (opened.known("1.1"), opened.counts()) == ({"1.1.2"}, {"1.1": 2})
        assert opened.reports("1.1", "model")[0][0].images == ("1.1.2",)
    data = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert b"a" * 32 not in data
    assert b"1.1.1" not in data.replace(b"1.1.2", b"")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"SQLite" + data[6:][::-1], id="another file"),
        pytest.param(lambda data: data[:5000], id="cut off"),
        pytest.param(lambda data: data.replace(b"study_uid TEXT", b"stady_uid TEXT"), id="other columns"),
        pytest.param(lambda data: data[:4096] + b"\xff" * 4096 + data[8192:], id="a page of ones"),
        pytest.param(lambda data: data.replace(b'["1.2.3', b'["1.2\xff3'), id="text that is not UTF-8"),
        pytest.param(lambda data: data.replace(b'["1.2.3', b'{"1.2.3'), id="images that are no list"),
    ],
)
def test_damaged_database_is_told_in_one_sentence_with_the_way_out(path, damage):
    with Ledger(path) as made:
        made.record([Done("1.2", "1.2.3", "image", "a1")])
        made.count("1.2", 1)
        made.plan(FIRST)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"pacs\.db is damaged \(.+\)\. Move it away .+asked of the PACS again"):
        _ask(path)


def _ask(path):
    with Ledger(path) as asked:
        asked.counts()
        asked.known("1.2")
        asked.held()
        asked.reports("1.2", "yolo 1")


def test_a_database_that_another_holds_is_not_called_damaged(path):
    with Ledger(path) as first, Ledger(path) as second, first.together():
        second._database.execute("PRAGMA busy_timeout=1")
        with pytest.raises(DatasetError, match="cannot be read or written"):
            second.count("1.2", 1)


def test_an_error_of_the_caller_stays_its_own_and_undoes_the_step(path):
    def step(made):
        with made.together():
            made.count("1.2", 1)
            raise ValueError

    with Ledger(path) as made:
        with pytest.raises(ValueError):  # noqa: PT011
            step(made)
        assert made.counts() == {}

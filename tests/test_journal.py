"""The log of a run: whole lines of JSON, without secrets."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from radloop.errors import StoreError
from radloop.simulation import journal as journal_module
from radloop.simulation.journal import Journal, running, wait


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_of_many_threads_stay_whole(tmp_path):
    path = tmp_path / "logs" / "online.log"
    with Journal(path, "r1") as journal, ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: journal.write("request", number=number, text="x" * 500), range(400)))
    written = lines(path)
    assert sorted(line["number"] for line in written) == list(range(400))
    assert {line["run_id"] for line in written} == {"r1"}


def test_a_second_run_appends(tmp_path):
    for run in ("r1", "r2"):
        with Journal(tmp_path / "log", run) as journal:
            journal.write("start")
    assert [(line["run_id"], line["event"]) for line in lines(tmp_path / "log")] == [("r1", "start"), ("r2", "start")]


def test_line_that_a_full_disk_cut_is_not_glued_to_the_next(tmp_path):
    (tmp_path / "log").write_bytes(b'{"event": "request", "fi')
    with Journal(tmp_path / "log", "r2") as journal:
        journal.write("start")
    cut, whole = (tmp_path / "log").read_text().splitlines()
    assert cut == '{"event": "request", "fi'
    assert json.loads(whole)["run_id"] == "r2"


def test_credentials_in_an_address_are_left_out(tmp_path):
    with Journal(tmp_path / "log", "r1") as journal:
        journal.write("error", message="http://user:secret@triton:8000/v2 did not answer")
    text = (tmp_path / "log").read_text()
    assert "secret" not in text
    assert "http://triton:8000/v2" in text


def test_error_that_ends_the_run_is_its_last_line(tmp_path):
    def fail() -> None:
        with Journal(tmp_path / "log", "r1"):
            raise StoreError("the disk is full")

    with pytest.raises(StoreError):
        fail()
    assert lines(tmp_path / "log")[-1]["event"] == "failed"
    assert lines(tmp_path / "log")[-1]["message"] == "the disk is full"


def test_run_plays_from_its_start_to_its_end(tmp_path):
    log = tmp_path / "log"
    assert running(log) == ()
    with Journal(log, "r1") as journal:
        assert running(log) == ()
        journal.write("start")
        journal.write("request", text='"event": "end"')
        assert running(log) == ("r1",)
        with Journal(log, "r2") as other:
            other.write("start")
            assert running(log) == ("r1", "r2")
            journal.write("end")
            assert running(log) == ("r2",)
            other.write("end")
    assert running(log) == ()


def test_run_that_failed_or_was_killed_does_not_play(tmp_path):
    log = tmp_path / "log"

    def fail() -> None:
        with Journal(log, "r1") as journal:
            journal.write("start")
            raise StoreError("the disk is full")

    with pytest.raises(StoreError):
        fail()
    script = "import sys, pathlib; from radloop.simulation.journal import Journal\n"
    script += "Journal(pathlib.Path(sys.argv[1]), 'r2').write('start'); print('begun', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert running(log) == ("r2",)
        process.kill()
    assert running(log) == ()


def test_where_nothing_can_be_locked_a_log_written_to_just_now_belongs_to_a_run(tmp_path, monkeypatch):
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(journal_module.fcntl, "flock", refuse)
    log = tmp_path / "log"
    with Journal(log, "r1") as journal:
        journal.write("start")
    assert running(log) == ("r1",)
    os.utime(log, (1, 1))
    assert running(log) == ()


def test_waiting_ends_with_the_run_or_when_the_time_is_over(tmp_path):
    log, told = tmp_path / "log", []
    with Journal(log, "r1") as journal:
        journal.write("start")
        assert wait(log, 0) == ("r1",)
        begin = time.monotonic()
        assert wait(log, 0.3, progress=lambda *said: told.append(said)) == ("r1",)
        assert 0.3 <= time.monotonic() - begin < 3
        assert told[0] == ("waiting for run r1 of the simulator to end", 0, 0, "seconds")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait, log, 60)
            time.sleep(0.2)
            assert not waiting.done()
            journal.write("end")
            assert waiting.result() == ()
    assert wait(log, 60) == ()


def test_run_that_compose_announced_plays_until_it_should_have_started(tmp_path):
    log = tmp_path / "log"
    with Journal(log, "of compose") as journal:
        journal.write("announced")
    assert running(log) == ("of compose",)
    with Journal(log, "r1") as journal:
        journal.write("start")
        assert running(log) == ("r1",)
        journal.write("end")
    assert running(log) == ()
    long_ago = {"time": "2026-01-01T00:00:00+00:00", "event": "announced", "run_id": "of compose"}
    with log.open("a") as lines:
        lines.write(json.dumps(long_ago) + '\n{"event": "announced"}\nnull "start"\n')
    assert running(log) == ()

"""The log of a run: whole lines of JSON, without secrets."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from radloop.errors import StoreError
from radloop.simulation.journal import Journal


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

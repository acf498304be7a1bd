"""The audit log: a chain of lines that several processes add to, and every way in which it may be changed."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from radloop.catalog import audit_lines, audit_log
from radloop.catalog.audit_log import AuditLog
from radloop.errors import AuditError


def log(out: Path, **told) -> AuditLog:
    return AuditLog(out / "audit", "radloop test", **told)


def written(out: Path, deeds: int = 4, **told) -> Path:
    """A log of so many deeds; returns its folder."""
    for number in range(deeds):
        with log(out, **told).deed("load", "organized", old=str(number), new=str(number + 1)):
            pass
    return out / "audit"


def codes(folder: Path) -> set[str]:
    return {fault.code for fault in audit_lines.verify(folder).faults}


def test_end_is_sound_where_it_is_as_written_or_as_a_kill_leaves_it(tmp_path):
    assert audit_lines.is_end_sound(tmp_path / "audit") is None
    folder = written(tmp_path)
    assert audit_lines.is_end_sound(folder)
    (path,), head = audit_lines.paths(folder), (folder / audit_lines.HEAD).read_bytes()
    whole = path.read_bytes().splitlines(keepends=True)

    path.write_bytes(b"".join(whole[:-1]))
    assert audit_lines.is_end_sound(folder) is False  # cut
    path.write_bytes(b"".join(whole[:-1]) + whole[-1].replace(b"radloop test", b"radloop tess"))
    assert audit_lines.is_end_sound(folder) is False  # changed
    path.write_bytes(b"".join(whole) + b"{")
    assert audit_lines.is_end_sound(folder) is False  # torn, of which `verify` tells, too
    path.write_bytes(b"".join(whole))
    with log(tmp_path).deed("load", "organized", old="x", new="y"):
        (folder / audit_lines.HEAD).write_bytes(head)  # killed between the line and the head
        assert audit_lines.is_end_sound(folder)
    path.unlink()
    assert audit_lines.is_end_sound(folder) is False  # gone


def test_deed_is_a_line_before_it_and_one_after(tmp_path):
    with log(tmp_path).deed("review", "0123", new="ab", who="ann", client="10.0.0.7") as deed:
        deed.new = "cd"
    told = audit_lines.verify(tmp_path / "audit")
    assert told.faults == ()
    assert [(line.seq, line.what, line.state, line.of, line.new) for line in told.lines] == [
        (1, "log-begins", "done", None, None),
        (2, "review", "begun", None, "ab"),
        (3, "review", "done", 2, "cd"),
    ]
    assert told.lines[1].who == "ann"
    assert told.lines[1].came.client == "10.0.0.7"
    first, second = (tmp_path / "audit" / "000001.jsonl").read_bytes().splitlines()[:2]
    assert json.loads(second)["previous"] == hashlib.sha256(first).hexdigest()


def test_deed_that_fails_is_told_not_done(tmp_path):
    with pytest.raises(ValueError, match="no"), log(tmp_path).deed("load", "organized"):
        raise ValueError("no")
    assert [line.state for line in audit_lines.verify(tmp_path / "audit").lines] == ["done", "begun", "not-done"]


def test_log_that_cannot_be_written_stops_the_deed_before_it_is_done(tmp_path):
    (tmp_path / "audit").write_text("a file where the folder belongs")
    done = []
    with pytest.raises(AuditError, match="nothing was changed"), log(tmp_path).deed("load", "organized"):
        done.append(1)
    assert done == []


def test_full_disk_leaves_no_part_of_a_line(tmp_path, monkeypatch):
    folder = written(tmp_path)
    before = (folder / "000001.jsonl").read_bytes()

    def full(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit_log.files, "write_all", full)
    with pytest.raises(AuditError, match="No space left"):
        log(tmp_path).record("prune", "x")
    assert (folder / "000001.jsonl").read_bytes() == before
    assert codes(folder) == set()


def test_file_that_is_full_is_followed_by_the_next_and_the_chain_goes_on(tmp_path):
    folder = written(tmp_path, largest_file=500)
    assert len(audit_lines.paths(folder)) > 2
    assert codes(folder) == set()
    audit_lines.paths(folder)[1].unlink()
    assert codes(folder) == {"file-missing", "lines-missing"}


def test_torn_last_line_is_told_of_and_followed(tmp_path):
    folder = written(tmp_path)
    with (folder / "000001.jsonl").open("ab") as file:
        file.write(b'{"seq":10,"ti')
    assert codes(folder) == {"torn-line"}
    log(tmp_path).record("prune", "x")
    told = audit_lines.verify(folder)
    assert (told.faults, [line.what for line in told.lines[-2:]]) == ((), ["torn-line", "prune"])


def test_long_rest_of_a_loss_of_power_takes_no_line_with_it(tmp_path):
    folder = written(tmp_path)
    path = folder / "000001.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + bytes(200_000))
    assert audit_lines.is_end_sound(folder) is False
    log(tmp_path).record("prune", "x")
    assert path.read_bytes().startswith(before)
    assert codes(folder) == set()
    torn = audit_lines.verify(folder).lines[-2]
    assert (torn.what, torn.new["bytes"]) == ("torn-line", 200_000)


def test_several_threads_and_processes_write_one_chain(tmp_path):
    program = (
        "import sys; from pathlib import Path; from radloop.catalog.audit_log import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1], 'audit'), command='radloop test')\n"
        "for _ in range(20): log.record('backup', 'x')\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: log(tmp_path).record("prune", "y"), range(20)))
    assert [other.wait() for other in others] == [0, 0]
    told = audit_lines.verify(tmp_path / "audit")
    assert told.faults == ()
    assert [line.seq for line in told.lines] == list(range(1, 62))


def test_kill_in_a_deed_leaves_it_open_and_the_next_run_settles_it(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from radloop.catalog.audit_log import AuditLog\n"
        "with AuditLog(Path(sys.argv[1], 'audit'), command='radloop test').deed('load', 'organized', new='v2'):\n"
        "    print('begun', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert log(tmp_path).settle(lambda line: True) == 0  # it is still at work
        other.send_signal(signal.SIGKILL)
    assert [line.new for line in audit_lines.open_deeds(tmp_path / "audit")] == ["v2"]
    assert log(tmp_path).settle(lambda line: None) == 0
    assert log(tmp_path).settle(lambda line: line.new == "v2") == 1
    last = audit_lines.verify(tmp_path / "audit").lines[-1]
    assert (last.state, last.of, last.later) == ("done", 2, True)


def flip(lines: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(lines))
    line = bytearray(lines[at])
    line[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def delete(lines: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(lines))
    return [*lines[:at], *lines[at + 1 :]]


def swap(lines: list[bytes], rng: random.Random) -> list[bytes]:
    one, other = rng.sample(range(len(lines)), 2)
    lines = list(lines)
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def replay(lines: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(lines) + 1)
    return [*lines[:at], rng.choice(lines), *lines[at:]]


def cut(lines: list[bytes], rng: random.Random) -> list[bytes]:
    return lines[: rng.randrange(len(lines))]


@pytest.mark.parametrize("how", [flip, delete, swap, replay, cut])
def test_no_manipulation_of_the_log_is_missed(tmp_path, how):
    folder = written(tmp_path, 6)
    path = folder / "000001.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    for seed in range(100):
        changed = how(whole, random.Random(seed))
        path.write_bytes(b"".join(changed))
        assert changed == whole or audit_lines.verify(folder).faults, f"{how.__name__} by seed {seed}"


def test_flips_of_the_head_are_found(tmp_path):
    folder = written(tmp_path, 2)
    path = folder / audit_log.HEAD
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert audit_lines.verify(folder).faults

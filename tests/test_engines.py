"""Where shards run makes no difference to what comes of them."""

import math
import os
import socket
import subprocess
import sys
from functools import partial

import pytest

from radloop import __version__, engines
from radloop.engines import HERE, Local
from radloop.errors import EngineError, UsageError


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_shard_is_done_once(jobs):
    assert sorted(Local(jobs).map(math.isqrt, range(0, 100, 10))) == [0, 3, 4, 5, 6, 7, 7, 8, 8, 9]


def test_no_shards_no_results():
    assert list(Local(2).map(math.isqrt, [])) == []


@pytest.mark.parametrize("shards", [[1], [1, 2, 3]], ids=["one shard", "one job"])
def test_what_needs_no_process_stays_in_this_one(shards):
    engine = Local(2) if len(shards) == 1 else HERE
    assert set(engine.map(lambda shard: os.getpid(), shards)) == {os.getpid()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_shard_raises_is_raised_here(jobs):
    with pytest.raises(ValueError, match="math domain error"):
        list(Local(jobs).map(math.sqrt, [4.0, -1.0, 9.0]))


def test_process_that_dies_is_one_sentence():
    with pytest.raises(EngineError, match=r"died, perhaps for want of memory.*fewer --jobs"):
        list(Local(2).map(os._exit, [1, 1]))


def test_shards_are_begun_as_their_results_are_taken():
    begun = []
    results = HERE.map(begun.append, [1, 2, 3])
    next(results)
    results.close()
    assert begun == [1]


def test_local_needs_no_check():
    HERE.require(lambda: "is never asked")


def test_check_of_files_tells_missing_and_other_files(tmp_path):
    file = tmp_path / "p.png"
    file.write_bytes(b"12345")
    check = engines.same_files([file])
    assert check() is None
    file.write_bytes(b"123")
    assert "sees another file" in check()
    file.unlink()
    assert "cannot see" in check()


def test_node_with_another_radloop_is_told_and_not_asked_further():
    assert "not 0.0.0. Install the same" in engines._check("0.0.0", lambda: "is never asked")
    assert engines._check(__version__, lambda: None) is None


def test_shared_folder_is_written_to_and_left_as_it_was(tmp_path):
    with engines.shared_folder(tmp_path) as check:
        assert check() is None
        elsewhere = partial(check.func, tmp_path / "elsewhere" / "probe", *check.args[1:])
        assert "cannot see" in elsewhere()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_shared_folder_that_cannot_be_written_is_told(tmp_path):
    with engines.shared_folder(tmp_path) as check:
        tmp_path.chmod(0o555)
        assert "cannot write to" in check()
        tmp_path.chmod(0o755)


def test_without_ray_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"pip install 'radloop\[ray\]'"), engines.opened("ray"):
        pass


def test_address_of_a_ray_client_is_wrong_usage():
    with (
        pytest.raises(UsageError, match=r"HOST:PORT.*ray job submit"),
        engines.opened("ray", address="ray://head:10001"),
    ):
        pass


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:PORT"])
def test_wrong_address_is_one_line(address, tmp_path):
    named = address.replace("PORT", str(closed_port()))
    # a process of its own: Ray keeps what the environment was when it was imported, and tests/test_ray.py sets that
    command = [sys.executable, "-m", "radloop.cli", "transform", "--out", tmp_path, "--engine", "ray"]
    done = subprocess.run([*command, "--ray-address", named], capture_output=True, text=True, check=False)
    told = done.stderr.strip()
    assert done.returncode == 1
    assert told.startswith(f"radloop: --ray-address {named}: no Ray cluster can be reached there")
    assert "\n" not in told
    assert list(tmp_path.iterdir()) == []


def test_script_that_asks_for_processes_is_not_run_again_in_them(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import math\nfrom radloop.engines import Local\nprint('begun')\nprint(*Local(2).map(math.isqrt, [4, 9, 16]))\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("begun\n2 3 4\n", 0), ran.stderr

"""Two and three machines on one store in small: some seeds, and commands that meet. `make histories` plays 10,000."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


def told(*arguments: str) -> dict:
    command = [sys.executable, "-m", "tests.histories", "--json", "--jobs", "1", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=590)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_machines_that_share_a_store_lose_nothing_in_any_history():
    found = told("--seeds", "40")
    assert found["wrong"] == {}
    assert found["histories"] == 40
    assert found["endings"]["load: done"]


def test_command_held_at_a_request_while_another_machine_runs_the_same_loses_nothing():
    assert told("--windows", "15") == {}


def test_seed_gives_the_same_history_and_the_same_ends_in_another_process():
    command = [sys.executable, "-m", "tests.histories", "--seed", "1027"]
    ends = [
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
        for _ in range(2)
    ]
    assert "nothing went wrong" in ends[0]
    assert ends[0] == ends[1]

"""The desk beside a real Label Studio, each driven in Chromium as a person would who knows its keys."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parents[2]


def test_desk_takes_no_more_actions_than_label_studio_and_less_time(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "desk", "--rounds", "1", "--folder", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "| actions of the worst row, radloop / Label Studio | 1.00 × | ≤ 1 × | held |" in done.stdout
    for row in ("next", "accept", "correct with one box", "no finding"):
        (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"| {row}: time"))
        assert line.endswith("| held |")

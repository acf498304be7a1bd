"""The whole story of examples/loop, run as a person would: only training is replaced, by models that stand ready.

Seven minutes of a processor, and pictures by the second: too much for the daily tests.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from radloop.catalog import history, models, monitor

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parent.parent.parent
SIZES = "training=60,validation=40,test=20,staging=700,canary=700,production=40"


@pytest.mark.timeout(1500)
def test_a_round_a_comparison_a_promotion_drift_an_alarm_and_the_way_back(tmp_path):
    out = tmp_path / "out"
    told = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TRAIN": f"{sys.executable} {ROOT / 'tests/story_trainer.py'}",
        "IMAGES": "1560",
        "SIZES": SIZES,
    }
    ran = subprocess.run(
        [ROOT / "examples/loop/loop.sh", out], env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
    assert [line for line in ran.stdout.splitlines() if line.startswith("(exit")] == [
        "(exit 4)",
        "(exit 0)",
        "(exit 5)",
    ]

    moves = models.read(out / "models").history
    assert moves["action"].to_list() == ["promote", "promote", "rollback"]
    assert moves["model"][2] == moves["model"][0]
    assert history.read(out / "organized")["version"].n_unique() == 2
    assert any("gray value" in one.figure for one in monitor.read(out / "monitor").alarms)

"""The fault campaign in small: some calls of every step, every kind of fault. `make faults` strikes all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.tracer import USABLE

FAULTS = Path(__file__).parent / "faults"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not USABLE and not os.environ.get("CI"), reason="the tracer knows Linux on x86-64 only"),
]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            ["transform, the first", "transform", "load to a folder", "export", "review", "ingest to a folder"],
            id="folder",
        ),
        pytest.param(["load to a remote", "retrain to a folder"], id="remote"),
        pytest.param(["simulate from a folder", "simulate from a remote"], id="simulate"),
        pytest.param(["retrain to a remote", "ingest to a remote"], id="retrain"),
    ],
)
def test_step_struck_at_a_call_loses_nothing_and_a_second_run_ends_in_the_same_bytes(steps):
    chosen = [part for step in steps for part in ("--step", step)]
    command = [sys.executable, str(FAULTS), "--json", "--every", "40", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=590)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert list(told) == steps
    assert [
        failure for step in told.values() for fault in step["faults"].values() for failure in fault["failures"]
    ] == []
    assert all(step["faults"]["killed before it"]["points"] for step in told.values())


def test_loss_of_power_takes_nothing_from_a_durable_step_and_a_second_run_ends_in_the_same_bytes():
    steps = ["transform", "retrain to a folder", "ingest to a folder", "simulate from a folder"]
    chosen = [part for step in steps for part in ("--step", step)]
    command = [sys.executable, str(FAULTS), "--json", "--power", "--durable", "--every", "90", "--by-lot", "1", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=590)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert sorted(told) == sorted(steps)
    assert [failure for step in told.values() for failure in step["faults"]["power"]["failures"]] == []
    assert all(step["faults"]["power"]["points"] for step in told.values())


def test_importing_what_the_campaign_forks_starts_no_thread_of_polars():
    asked = (
        "import os, campaign; tasks = '/proc/self/task'\n"
        "print(*(open(f'{tasks}/{one}/comm').read() for one in os.listdir(tasks)))"
    )
    paths = os.pathsep.join([str(FAULTS), str(FAULTS.parent), *sys.path])
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, env=env)
    assert "polars-0" not in done.stdout, "a forked run would wait for it for ever"

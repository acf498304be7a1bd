"""Whole years of a played hospital: seldom an alarm without a change, and the right figure soon after one."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import monitor

pytestmark = pytest.mark.slow


def test_years_without_a_change_have_at_most_one_alarm():
    years = [monitor.of_nothing(seed) for seed in range(3)]
    assert max(len(alarms) for alarms, *_ in years) <= 1
    assert min(tested for _, tested, _ in years) >= 30


@pytest.mark.parametrize(
    ("scenario", "within_days", "figure"),
    [
        ("brightness +5 %", 15, "mean gray value"),
        ("half of a class missed", 60, "images with Cardiomegaly"),
        ("other readers", 60, "read by"),
    ],
)
def test_a_change_is_found_by_its_own_figure(scenario, within_days, figure):
    days, images, found = monitor.of_change(0, scenario=scenario)
    assert 0 < days <= within_days
    assert 25 * days <= images <= 65 * days
    assert found.startswith(figure)


def test_a_year_is_the_same_for_every_look_and_before_the_change():
    usual, bright = (monitor.play(1, scenario) for scenario in monitor.SCENARIOS[:2])
    before = usual.day < monitor.CHANGE
    assert (usual.seen["mean"].to_numpy()[before] == bright.seen["mean"].to_numpy()[before]).all()
    after = bright.seen["mean"].to_numpy()[~before] / usual.seen["mean"].to_numpy()[~before]
    assert np.median(after) == pytest.approx(1.05, abs=0.01)

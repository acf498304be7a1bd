"""The bench of the line runs, and its bound is what bytes and round trips take."""

import pytest
from benchmarks import wire
from benchmarks.wire import Run, Wire

pytest_plugins = ("swift_server",)

WIRE = Wire(pictures=2000, kib=500, round_trip_s=0.04, bytes_per_s=12.5e6)


def test_bound_is_the_time_of_the_distinct_bytes_and_of_the_round_trips() -> None:
    assert WIRE.bound_s(10) == pytest.approx(2000 * 500 * 1024 / 12.5e6 + 0.4)
    assert WIRE.bound_s(10, machine_s=90) == pytest.approx(90.4)


def test_a_load_that_is_too_slow_is_not_held() -> None:
    """rclone sends a tenth."""
    runs = {
        "rclone copy": Run(25, 1, 4),
        "load": Run(90, 10, 50),
        "rclone copy, back": Run(25, 1, 4),
        "pull": Run(83, 5, 10),
    }
    assert wire.report(WIRE, runs)[1]
    assert not wire.report(WIRE, runs | {"load": Run(110, 10, 50)})[1]
    assert not wire.report(WIRE, runs | {"pull": Run(110, 5, 10)})[1]


@pytest.mark.swift
@pytest.mark.slow
@pytest.mark.usefixtures("swift")  # puts back what it changes of the environment
def test_load_and_pull_are_measured_over_the_line(tmp_path) -> None:
    small = Wire(pictures=10, kib=5, round_trip_s=0.02, bytes_per_s=1e6)
    runs = wire.measure(small, tmp_path)
    assert list(runs) == ["rclone copy", "load", "rclone copy, back", "pull"]
    assert runs["load"].wall_s > small.bound_s(wire.LOAD_TRIPS)
    assert runs["pull"].wall_s > small.bound_s(wire.PULL_TRIPS)
    assert len(list((tmp_path / "pulled" / "training" / "images").iterdir())) == 30

"""How much a detector takes, as a user asks it: on the real clock, with nothing written but the log."""

import json
import os
import signal
import time
from itertools import count

import polars as pl
import pytest

from radloop import cli
from radloop.errors import DetectorError, UsageError
from radloop.options import Simulate
from radloop.pipelines import online
from radloop.predictions import Picture, Predictions
from radloop.simulation import capacity
from test_detectors_triton import store_of_films


class Tiring:
    """A detector that is quick for the eleven requests that come alone, and slow ever after."""

    name, version = "tiring", "1"

    def __init__(self, seconds: float = 0.1) -> None:
        self._calls, self._seconds = count(1), seconds

    def predict(self, picture: Picture) -> Predictions:
        time.sleep(0.005 if next(self._calls) <= 11 else self._seconds)
        return Predictions.sorted([], [], [])


class Failing(Tiring):
    """A detector that answers the eleven requests that come alone, and no other."""

    def predict(self, picture: Picture) -> Predictions:
        if next(self._calls) > 11:
            raise DetectorError("it answered 404.", kind="status 404")
        time.sleep(0.005)
        return Predictions.sorted([], [], [])


class Stopped(Tiring):
    """A detector whose user presses Ctrl-C at the twelfth request."""

    def predict(self, picture: Picture) -> Predictions:
        if next(self._calls) == 12:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.005)
        return Predictions.sorted([], [], [])


class Broken:
    name, version = "broken", "1"

    def predict(self, picture: Picture) -> Predictions:
        raise DetectorError("it answered 404.", kind="status 404")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_of_films(tmp_path_factory.mktemp("store"), 4)


def measure(store, out, detector, **changes):
    told = {"p99_ms": 80.0, "max_minutes": 0.05} | changes
    options = Simulate(out=out, store=str(store), splits=("test",), find_capacity=True, **told)
    return online.simulate(options, detector=detector)


@pytest.mark.slow
def test_search_that_has_no_time_says_below_what_the_rate_is_and_writes_no_feedback(store, tmp_path, monkeypatch):
    monkeypatch.setattr(capacity, "LATE_SHARE", 1.0)  # tests share their machine
    done = measure(store, tmp_path, Tiring(), p99_ms=40.0, max_minutes=0.1)
    found = done.capacity
    assert found is not None
    assert (found.rate, found.is_found, found.is_valid) == (None, False, False)
    assert found.missed == found.trials.filter(pl.col("verdict") != "unclear")["rate"].min()
    assert (found.trials["over"] == found.trials["requests"]).all()
    assert found.alone_ms >= 5
    assert not (tmp_path / "feedback").exists()
    events = [json.loads(line)["event"] for line in done.log.read_text().splitlines()]
    assert events == ["start", *["trial"] * found.trials.height, "end"]


@pytest.mark.slow
def test_nothing_is_said_of_a_detector_where_the_load_could_not_be_sent(store, tmp_path, monkeypatch):
    monkeypatch.setattr(capacity, "LATE_SHARE", -1.0)
    with pytest.raises(DetectorError, match="were sent late"):
        measure(store, tmp_path, Tiring(), p99_ms=40.0, max_minutes=0.04)


@pytest.mark.slow
def test_detector_that_fails_under_every_load_is_named_before_a_load_that_was_late(store, tmp_path, monkeypatch):
    monkeypatch.setattr(capacity, "LATE_SHARE", -1.0)
    with pytest.raises(DetectorError, match=r"every request failed: \d+× status 404\."):
        measure(store, tmp_path, Failing(), p99_ms=40.0, max_minutes=0.03)


@pytest.mark.slow
def test_search_that_a_signal_stops_does_not_blame_its_minutes(store, tmp_path):
    with pytest.raises(DetectorError, match=r"stopped by a signal, too early for the \d+ requests"):
        measure(store, tmp_path, Stopped(), max_minutes=60.0)


@pytest.mark.slow
def test_search_that_is_stopped_says_nothing_where_it_knows_nothing(store, tmp_path):
    with pytest.raises(DetectorError, match=r"nothing can be said .* Raise --max-minutes"):
        measure(store, tmp_path, Tiring(seconds=0), max_minutes=0.005)


def test_detector_that_fails_has_no_capacity(store, tmp_path):
    with pytest.raises(DetectorError, match="404"):
        measure(store, tmp_path, Broken())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"p99_ms": None}, "needs a bound", id="no bound"),
        pytest.param({"find_capacity": False}, "give both", id="bound alone"),
        pytest.param({"p99_ms": 5000.0}, "longer --request-timeout", id="bound above the timeout"),
        pytest.param({"drift": "mix:0.5@1"}, "leave --drift out", id="drift"),
        pytest.param({"engine": "ray"}, "leave --engine ray out", id="cluster"),
        pytest.param({"pacs": "dicomweb:http://127.0.0.1:1"}, "leave --pacs out", id="PACS"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_asked(tmp_path, changes, says):
    told = {"find_capacity": True, "p99_ms": 100.0} | changes
    with pytest.raises(UsageError, match=says):
        online.simulate(Simulate(out=tmp_path, store=str(tmp_path / "none"), **told))


def test_dry_run_says_how_long_it_may_take(store, tmp_path, capsys):
    command = ["simulate", "--out", str(tmp_path), "--store", str(store), "--splits", "test", "--dry-run"]
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--find-capacity", "--p99-ms", "200", "--max-minutes", "5"])
    assert not stopped.value.code
    assert "5 minutes at most" in " ".join(capsys.readouterr().out.split())

"""The run: who is served when, what is tried again, and that a stop loses nothing."""

import threading
from collections import Counter
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from radloop.errors import DetectorError, TransientDetectorError
from radloop.predictions import Picture, Predictions
from radloop.simulation import drifting, hospital, load
from radloop.simulation.hospital import Answer, Plan, Tally

NOTHING = Predictions.sorted([], [], [])


class Scripted:
    """A detector whose n-th call (from 1) does what `script(n)` does; None is an answer."""

    name = version = "scripted"

    def __init__(self, script=lambda call: None):
        self._script, self._calls = script, count(1)

    def predict(self, picture: Picture) -> Predictions:
        self._script(next(self._calls))
        return NOTHING


def play(plan: Plan, detector=None, *, stop=None, **changes) -> tuple[list[Tally], list[Answer]]:
    told: list[Answer] = []
    arguments = {
        "choose": hospital.choices([False] * 4, seed=0),
        "show": lambda visit: Picture(f"i{visit.picture}", b""),
        "tell": told.append,
        "stop": stop or threading.Event(),
    }
    tallies = hospital.run(plan, detector or Scripted(), **arguments | changes)
    return tallies, sorted(told, key=lambda answer: answer.visit.number)


def stopping_after(number: int):
    """A `tell` that ends the run with its n-th answer, and the event it sets."""
    stop, left = threading.Event(), iter(range(number - 1, -1, -1))
    return {"stop": stop, "tell": lambda answer: stop.set() if next(left, 0) == 0 else None}


@pytest.mark.parametrize("workers", [1, 5, 50])
def test_a_stage_has_as_many_requests_in_flight_as_workers_and_no_more(workers):
    together, inside, most = threading.Barrier(workers), Counter(), []

    def script(call: int) -> None:
        inside.update(["now"])
        most.append(inside["now"])
        if call <= workers:
            together.wait(60)  # passes only when all of them are here at once
        inside.subtract(["now"])

    tallies, _ = play(Plan([workers], 3600), Scripted(script), **stopping_after(2 * workers))
    assert max(most) <= workers
    assert 2 * workers <= tallies[0].answered <= 3 * workers


def test_stages_follow_each_other_and_every_answer_is_counted_in_its_stage():
    tallies, told = play(Plan([1, 0, 2], 0.2))
    assert [tally.load for tally in tallies] == [1, 0, 2]
    assert [tally.answered for tally in tallies] == [
        sum(answer.visit.stage == stage for answer in told) for stage in (1, 2, 3)
    ]
    assert tallies[1].answered == 0
    assert [tally.seconds for tally in tallies] == pytest.approx([0.2] * 3)
    assert [len(tally.latencies_ms) for tally in tallies] == [tally.requests for tally in tallies]
    assert hospital.total(tallies).answered == len(told)


def test_every_picture_comes_once_before_any_twice_whatever_the_workers():
    _, told = play(Plan([5], 0.3))
    shown = [answer.visit.picture for answer in told]
    assert [answer.visit.number for answer in told] == list(range(1, len(told) + 1))
    for start in range(0, len(shown) - 4, 4):
        assert sorted(shown[start : start + 4]) == [0, 1, 2, 3]


@pytest.mark.parametrize("per_second", [None, 200.0], ids=["workers", "on a clock"])
def test_where_no_picture_is_left_a_worker_ends_and_an_arrival_is_none(per_second):
    left = [2, 0, 1]
    tallies, told = play(Plan([2], 0.5, per_second), choose=lambda stage: left.pop() if left else None)
    assert [answer.visit for answer in told] == [(1, 1, 1), (2, 1, 0), (3, 1, 2)]
    assert tallies[0].requests == 3


def test_what_may_pass_is_tried_again():
    def script(call: int) -> None:
        if call <= 2:
            raise TransientDetectorError("busy", kind="status 503")

    tallies, told = play(Plan([1], 3600), Scripted(script), **stopping_after(1))
    assert (tallies[0].answered, tallies[0].retries, tallies[0].errors) == (1, 2, Counter())
    assert told == []  # it was told to the one who stops


def test_what_does_not_pass_is_given_up_after_three_tries_and_the_run_goes_on():
    def script(call: int) -> None:
        if call <= hospital.TRIES:
            raise TransientDetectorError("no answer", kind="timeout")

    tallies, _ = play(Plan([1], 3600), Scripted(script), **stopping_after(2))
    assert tallies[0].errors == {"timeout": 1}
    assert (tallies[0].answered, tallies[0].retries) == (1, hospital.TRIES - 1)


def test_what_cannot_pass_is_not_tried_again_and_the_picture_comes_back_another_round():
    failed = []

    class Picky(Scripted):
        def predict(self, picture: Picture) -> Predictions:
            if picture.image_id == "i2":
                failed.append(picture.image_id)
                raise DetectorError("no such model", kind="status 404")
            return NOTHING

    tallies, _ = play(Plan([1], 3600), Picky(), **stopping_after(8))
    assert tallies[0].errors == {"status 404": 2}
    assert tallies[0].retries == 0
    assert failed == ["i2", "i2"]
    assert tallies[0].answered == 6


def test_no_try_begins_after_the_end_of_the_stage(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(hospital, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def script(call: int) -> None:
        now[0] = 60.0
        raise TransientDetectorError("no answer", kind="timeout")

    tallies, told = play(Plan([1], 60.0), Scripted(script))
    assert [answer.tries for answer in told] == [1]
    assert tallies[0].errors == {"timeout": 1}


def test_pauses_grow_and_are_the_same_for_one_seed(monkeypatch):
    def script(call: int) -> None:
        if call % 3:
            raise TransientDetectorError("busy")

    runs = []
    for _ in range(2):
        pauses: list[float] = []
        arguments = stopping_after(1)
        monkeypatch.setattr(arguments["stop"], "wait", lambda seconds=None, pauses=pauses: bool(pauses.append(seconds)))
        # the last wait of the run is for the end of the stage
        play(Plan([1], 0.4), Scripted(script), **arguments)
        runs.append([seconds for seconds in pauses if seconds != 0.1][:2])
    assert runs[0] == runs[1]
    first, second = runs[0]
    assert 0.05 <= first <= 0.15
    assert 0.1 <= second <= 0.3


@pytest.mark.parametrize("plan", [Plan([3], 3600), Plan([3], 3600, per_second=100.0)], ids=["workers", "clock"])
@pytest.mark.parametrize("where", ["show", "tell", "detector"])
def test_what_is_no_error_of_the_detector_ends_the_run_and_is_raised(plan, where):
    def fail(_: object) -> None:
        raise OSError(28, "No space left on device")

    broken = {"detector": Scripted(fail)} if where == "detector" else {where: fail}
    with pytest.raises(OSError, match="No space"):
        play(plan, **broken)


def test_arrivals_follow_the_clock_and_their_latency_counts_from_the_intended_moment():
    plan = Plan([1, 2], 0.5, per_second=40.0, patience_seconds=60, seed=3)
    stalled = threading.Event()

    class Serial(Scripted):
        lock = threading.Lock()

        def predict(self, picture: Picture) -> Predictions:
            with self.lock:
                if not stalled.is_set():
                    stalled.set()
                    threading.Event().wait(0.4)
            return NOTHING

    tallies, told = play(plan, Serial())

    moments = [
        list(load.arrivals(40.0 * loaded, 0.5, rng=np.random.default_rng((3, stage))))
        for stage, loaded in ((1, 1), (2, 2))
    ]
    assert [tally.requests for tally in tallies] == [len(stage) for stage in moments]
    offsets = [answer.intended - told[0].intended for answer in told]
    expected = [stage * 0.5 + moment - moments[0][0] for stage, these in enumerate(moments) for moment in these]
    assert offsets == pytest.approx(expected)
    waited = [answer.latency_ms for answer, offset in zip(told, offsets, strict=True) if offset < 0.3]
    assert len(waited) > 5
    assert min(waited) > 90  # all of them had to wait for the one that stalled


@pytest.mark.slow
def test_workers_hide_a_stall_that_the_clock_shows():
    shares = []
    for plan in (Plan([1], 1.0), Plan([1], 1.0, per_second=60.0, patience_seconds=60)):
        lock, first = threading.Lock(), iter([0.7])

        def script(call: int, lock=lock, first=first) -> None:
            with lock:
                threading.Event().wait(next(first, 0.001))

        tallies, _ = play(plan, Scripted(script))
        latencies = tallies[0].latencies_ms
        shares.append(sum(latency > 300 for latency in latencies) / len(latencies))
    assert shares[0] < 0.1 < 0.2 < shares[1]


def test_who_waits_longer_than_a_request_may_take_is_dropped_and_counted_apart(monkeypatch):
    monkeypatch.setattr(hospital, "MOST_AT_ONCE", 1)
    release = threading.Event()

    def progress(what: str, done: int, total: int, unit: str) -> None:
        if done == total:
            release.set()

    plan = Plan([1], 0.6, per_second=100.0, patience_seconds=0.3)
    tallies, told = play(plan, Scripted(lambda call: release.wait(60)), progress=progress)
    moments = list(load.arrivals(100.0, 0.6, rng=np.random.default_rng((0, 1))))
    assert tallies[0].requests + tallies[0].dropped == len(moments)
    assert tallies[0].requests == len(told)
    assert tallies[0].dropped >= sum(moment < 0.25 for moment in moments) - 1
    assert tallies[0].late > len(told) / 2  # all but those of the last moment


@pytest.mark.parametrize("plan", [Plan([8], 3600), Plan([8], 3600, per_second=50.0)], ids=["workers", "clock"])
def test_stop_lets_what_is_in_flight_end_and_be_told(plan):
    stop, entered = threading.Event(), threading.Semaphore(0)
    inside: list[int] = []

    def script(call: int) -> None:
        inside.append(call)
        entered.release()
        stop.wait(60)  # answers only when the run has been stopped

    def stop_soon() -> None:
        for _ in range(8):
            entered.acquire(timeout=60)
        stop.set()

    stopper = threading.Thread(target=stop_soon)
    stopper.start()
    tallies, told = play(plan, Scripted(script), stop=stop)
    stopper.join()
    assert len(told) == len(inside) == tallies[0].answered
    assert len(told) >= 8


def test_share_of_pictures_with_a_finding_holds_from_its_stage_on():
    drifts = drifting.parse("mix:0.8@2")
    choose = hospital.choices(
        [picture < 10 for picture in range(100)], seed=0, share=lambda stage: drifting.share_with_finding(drifts, stage)
    )
    assert sum(choose(1) < 10 for _ in range(100)) == 10
    assert 740 <= sum(choose(2) < 10 for _ in range(1000)) <= 860


@pytest.mark.parametrize("found", [True, False])
def test_share_of_a_kind_that_is_not_there_changes_nothing(found):
    choose = hospital.choices([found] * 5, seed=0, share=lambda stage: 0.5)
    assert sorted(choose(1) for _ in range(5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("started", "ended", "late"), [(10.0, 99.0, 0), (10.009, 10.5, 0), (10.011, 10.012, 1)])
def test_late_is_what_was_sent_late_not_what_took_long(started, ended, late):
    tally = Tally(1, 1)
    tally.add(Answer(hospital.Visit(1, 1, 0), NOTHING, None, 10.0, started, ended, 1))
    assert (tally.late, tally.answered, tally.retries) == (late, 1, 0)
    assert tally.latencies_ms == [pytest.approx((ended - 10.0) * 1000)]


def test_seconds_of_a_run_are_those_of_its_stages_together():
    whole = hospital.total([Tally(1, 1, seconds=2.0, late=1), Tally(2, 3, seconds=1.5, late=2, dropped=4)])
    assert (whole.seconds, whole.late, whole.dropped) == (3.5, 3, 4)


def test_what_came_of_visits_is_told_one_after_the_other(monkeypatch):
    monkeypatch.setattr(hospital, "_TURN_SECONDS", 60.0)
    telling, most, stop = threading.Semaphore(1), [], threading.Event()

    def tell(answer: Answer) -> None:
        most.append(telling.acquire(blocking=False))
        if len(most) > 200:
            stop.set()
        telling.release()

    play(Plan([20], 60.0), stop=stop, tell=tell)
    assert len(most) > 200
    assert all(most)


def test_nobody_waits_for_a_disk_that_another_waits_for(monkeypatch):
    monkeypatch.setattr(hospital, "_TURN_SECONDS", 0.01)
    both, stop = threading.Barrier(2), threading.Event()

    def tell(answer: Answer) -> None:
        both.wait(60)  # passes only when two are here at once
        stop.set()

    tallies, _ = play(Plan([2], 60.0), stop=stop, tell=tell)
    assert tallies[0].answered == 2


def test_detector_that_keeps_a_stopped_run_waiting_is_told_to_give_up(monkeypatch):
    monkeypatch.setattr(hospital, "_GRACE_SECONDS", 0.01)
    stop, given_up = threading.Event(), threading.Event()

    class Held(Scripted):
        give_up = given_up.set

    def script(call: int) -> None:
        stop.set()
        if not given_up.wait(60):
            raise AssertionError("nobody gave up")
        raise TransientDetectorError("late", kind="timeout")

    (tally,), _ = play(Plan([3], 60.0), Held(script), stop=stop)
    assert set(tally.errors) == {"timeout"}
    assert tally.retries == 0

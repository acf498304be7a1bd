"""A run of the simulator dealt out to many: nothing is played twice, nothing is left out of the report."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.feedback import reading
from radloop.feedback.records import Model, PictureMeasures
from radloop.pipelines.simulator import playing
from radloop.pipelines.simulator.playing import Run, Share, Shown
from radloop.predictions import Picture, Predictions
from radloop.simulation import hospital
from radloop.simulation.hospital import Answer, Plan, Tally, Visit
from radloop.simulation.journal import Journal
from taxonomies import SPINE


class Finder:
    """A detector that finds one box in every picture, at once."""

    name, version = "finder", "1"

    def predict(self, picture: Picture) -> Predictions:
        return Predictions.sorted([3], [0.9], [[0.5, 0.6, 0.3, 0.2]])


def make(*, stop: threading.Event) -> Finder:
    return Finder()


def whole(folder: Path, plan: Plan, count: int = 6) -> Share:
    folder.mkdir(parents=True, exist_ok=True)
    measures = PictureMeasures(mean=1.0, std=1.0, sharpness=1.0)
    shown = [
        Shown(f"i{number}", "test", folder / f"i{number}.png", "0" * 32, "0" * 16, measures) for number in range(count)
    ]
    for picture in shown:
        picture.path.write_bytes(b"picture")
    run = Run("r1", Model(name="finder", version="1"), SPINE, folder / "feedback", folder / "logs" / "log", 0, False)
    run.feedback.mkdir(exist_ok=True)
    return Share(run, plan, make, [shown] * len(plan.loads), [False] * count, [])


@given(
    loads=st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(any),
    count=st.integers(1, 9),
    pictures=st.integers(1, 9),
    on_clock=st.booleans(),
)
def test_load_and_pictures_are_dealt_out_once(tmp_path_factory, loads, count, pictures, on_clock):
    plan = Plan(loads, 1.0, per_second=8.0 if on_clock else None)
    share = whole(tmp_path_factory.getbasetemp() / "dealt", plan, pictures)
    dealt = playing.deal(share, count)

    assert 1 <= len(dealt) <= min(count, pictures)
    assert all(max(one.plan.loads) for one in dealt)
    if on_clock:
        assert sum(one.plan.per_second for one in dealt) == pytest.approx(8.0)
        assert all(one.plan.loads == loads for one in dealt)
    else:
        assert [sum(stage) for stage in zip(*(one.plan.loads for one in dealt), strict=True)] == loads
    for stage in range(len(loads)):
        shown = [picture for one in dealt for picture in one.shown[stage]]
        assert sorted(shown) == sorted(share.shown[stage])
    assert all(len(one.shown[0]) == len(one.with_finding) for one in dealt)
    assert len({one.plan.seed for one in dealt}) == len(dealt)


def begun(share: Share) -> Path:
    running = playing._parts(share.run) / "running"
    running.parent.mkdir(parents=True)
    running.touch()
    return running


def test_share_that_is_played_late_goes_on_where_the_clock_is(tmp_path):
    share = whole(tmp_path, Plan([1, 1], 30.0))
    running = begun(share)
    stopping = threading.Timer(0.3, running.unlink)
    stopping.start()
    attempt, tallies = playing.play_apart(datetime.now(UTC) - timedelta(seconds=30), share)
    stopping.join()

    assert tallies[0].requests == 0
    assert tallies[1].requests == len(reading.read(share.run.feedback, SPINE).feedback) > 0
    assert (running.parent / f"{attempt}.log").exists()


def test_share_of_a_run_that_is_over_is_not_played(tmp_path):
    share = whole(tmp_path, Plan([1], 30.0))
    assert playing.play_apart(datetime.now(UTC), share)[1] == []
    assert list(share.run.feedback.iterdir()) == []


def test_attempts_at_one_share_write_different_feedback(tmp_path):
    share = whole(tmp_path, Plan([1], 0.2))
    begun(share)
    tallies = [playing.play_apart(datetime.now(UTC), share)[1] for _ in range(2)]
    found = reading.read(share.run.feedback, SPINE).feedback
    assert found["feedback_id"].is_unique().all()
    assert found.height == hospital.total([tally for one in tallies for tally in one]).answered


def test_lost_attempt_is_counted_from_the_whole_lines_of_its_log(tmp_path):
    log = tmp_path / "lost.log"
    with Journal(log, "r1") as journal:
        journal.write("request", stage=2, latency_ms=5.0, tries=1)
        journal.write("request", stage=2, latency_ms=7.0, tries=3)
        journal.write("error", stage=1, latency_ms=9.0, tries=1, kind="timeout")
    log.write_bytes(log.read_bytes() + b'{"event": "request", "st')
    first, second = playing._recount(log, 2)
    assert (first.requests, first.errors["timeout"], first.latencies_ms) == (1, 1, [9.0])
    assert (second.answered, second.retries, second.latencies_ms) == (2, 2, [5.0, 7.0])

    with Journal(tmp_path / "whole.log", "r1") as journal:
        journal.adopt(log)
    assert (tmp_path / "whole.log").read_bytes().splitlines() == log.read_bytes().splitlines()[:3]


def test_stages_of_all_shares_are_one_report():
    plan = Plan([3, 1], 2.0)
    one = [Tally(1, 2, seconds=2.0, answered=5, latencies_ms=[1.0]), Tally(2, 1, seconds=1.5)]
    two = [Tally(1, 1, seconds=1.0, answered=2, latencies_ms=[2.0]), Tally(2, 0)]
    first, second = hospital.together([one, [], two], plan)
    assert (first.stage, first.load, first.seconds, first.answered, first.latencies_ms) == (1, 3, 2.0, 7, [1.0, 2.0])
    assert (second.stage, second.load, second.seconds) == (2, 1, 1.5)


def test_arrivals_of_the_past_are_not_played_again():
    plan = Plan([1, 1], 0.5, per_second=40.0, elapsed_seconds=0.5)
    told = []
    tallies = hospital.run(
        plan,
        Finder(),
        choose=hospital.choices([False], seed=0),
        show=lambda visit: Picture("i0", b""),
        tell=told.append,
        stop=threading.Event(),
    )
    assert (tallies[0].requests, tallies[0].dropped) == (0, 0)
    assert {answer.visit.stage for answer in told} == {2}


def test_feedback_tells_when_a_picture_arrived_and_when_its_answer_came(tmp_path, classes):
    share = whole(tmp_path, Plan([1], 1.0))
    run = replace(share.run, classes=classes)
    answer = Answer(Visit(7, 1, 0), Finder().predict(Picture("i0", b"")), None, 100.0, 100.5, 101.25, 2)
    with Journal(run.log, run.id) as journal:
        written = playing._Clerk(run, journal, "")._as_feedback(answer, share.shown[0][0])
    arrived, answered = (datetime.fromisoformat(time) for time in (written.arrived_at, written.timestamp))
    assert answered - arrived == timedelta(seconds=1.25)
    assert written.latency_ms == 1250.0
    assert (written.class_id, written.class_name, written.split) == (3, classes.names[3], "test")
    assert [one.class_name for one in written.detections] == [classes.names[3]]
    assert (written.low_detections, written.kept_from) == (None, 0.25)


def test_feedback_holds_the_less_sure_boxes_in_a_part_of_their_own(tmp_path):
    share = whole(tmp_path, Plan([1], 1.0))
    boxes = [[0.5, 0.6, 0.3, 0.2], [0.1, 0.2, 0.1, 0.1]]
    for confidences, top, found, low in (
        ([0.9, 0.2], (3, 0.9), [0.9], [0.2]),
        ([0.2, 0.1], (SPINE.nothing, 1 - 0.21), [], [0.2, 0.1]),
    ):
        said = Predictions.parted([3, 4], confidences, boxes, highest_score=confidences[0] + 0.01)
        answer = Answer(Visit(7, 1, 0), said, None, 100.0, 100.5, 101.25, 2)
        with Journal(share.run.log, share.run.id) as journal:
            written = playing._Clerk(share.run, journal, "")._as_feedback(answer, share.shown[0][0])
        assert (written.class_id, written.confidence) == (top[0], pytest.approx(top[1]))
        assert (written.bbox is None) == (top[0] == SPINE.nothing)
        assert [one.confidence for one in written.detections] == found
        assert [one.confidence for one in written.low_detections] == low
        assert written.low_detections[-1].class_name == SPINE.names[4]
        assert written.low_detections[-1].bbox == (0.1, 0.2, 0.1, 0.1)
        assert written.kept_from == 0.05


def test_pictures_stay_in_memory_as_far_as_there_is_room(tmp_path):
    first, second, third = whole(tmp_path, Plan([1], 1.0), 3).shown[0]
    first, second, third = first._replace(md5="1" * 32), second._replace(md5="2" * 32), third._replace(md5="3" * 32)
    kept = playing._Kept(room=2 * len(b"picture") - 1)
    for _ in range(2):
        assert kept.show(first) == Picture("i0", b"picture")
        assert kept.show(second) == Picture("i1", b"picture")
    for shown in (first, second):
        shown.path.write_bytes(b"longer than there is room")
    assert kept.show(first) == Picture("i0", b"picture")
    assert kept.show(second).data == b"longer than there is room"
    third.path.write_bytes(b"small")
    assert kept.show(third).data == b"small"
    third.path.unlink()
    assert kept.show(third).data == b"small"

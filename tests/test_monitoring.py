"""`radloop monitor`: what it finds, what it writes, how it ends, and that asking more often changes nothing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

import written_loop
from feedback_files import rich
from radloop import cli, settings
from radloop.catalog import monitor as reports
from radloop.errors import FeedbackError, UsageError
from radloop.feedback.records import PictureMeasures
from radloop.options import Monitor
from radloop.pipelines import monitoring
from radloop.words import Exit
from taxonomies import VINDR

FIRST = datetime(2026, 1, 1, 8, tzinfo=UTC)
BEFORE = datetime(2026, 6, 1, tzinfo=UTC)


def stream(folder: Path, days: int, *, brighter: int | None = None, of_day: int = 25) -> None:
    """A file a day of feedback on images that nobody knows; from day `brighter` on 5 % brighter."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for day in range(days):
        lines = []
        for number in range(of_day):
            name = f"day{day:03}n{number:03}"
            mean = rng.normal(130, 6) * (1.05 if brighter is not None and day >= brighter else 1)
            own = rich(
                image_id=name,
                feedback_id=name,
                image_md5=name.encode().hex()[:32].ljust(32, "0"),
                image_phash=None,
                timestamp=(FIRST + timedelta(days=day, minutes=number)).isoformat(),
                arrived_at=None,
                picture=PictureMeasures(mean=mean, std=50.0, sharpness=900.0),
            )
            lines.append(msgspec.json.encode(own))
        (folder / f"day{day:03}.jsonl").write_bytes(b"\n".join(lines))


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("monitor")
    written_loop.run(folder, VINDR)
    for path in [*(folder / "feedback").rglob("*.json"), *(folder / "reviews").rglob("*.json")]:
        path.unlink()
    stream(folder / "feedback", 40, brighter=25)
    return folder


def look(out: Path, *, day: int = 60, **changes) -> monitoring.Monitored:
    return monitoring.monitor(Monitor(out=out, jobs=1, **changes), now=FIRST + timedelta(days=day))


def bright(record: monitoring.Monitored) -> reports.Figure:
    return next(one for one in record.report.figures if one.figure == "mean gray value")


def test_brighter_pictures_alarm_and_the_alarm_makes_a_round_due(out):
    found = look(out)
    assert [alarm.figure for alarm in found.report.alarms] == ["mean gray value"]
    assert bright(found).direction == "up"
    assert FIRST + timedelta(days=25) < bright(found).alarm_at <= FIRST + timedelta(days=34)
    assert "since" in bright(found).says
    assert [one.rule for one in found.report.due if one.due] == ["drift"]
    assert reports.read(out / "monitor") == found.report


def test_a_look_every_day_finds_what_one_look_at_the_end_does(out):
    end = look(out, dry_run=True)
    each = [look(out, day=day, dry_run=True) for day in range(24, 44, 3)]
    alarms = [bright(one).alarm_at for one in each]
    assert {one for one in alarms if one} == {bright(end).alarm_at}
    assert alarms == sorted(alarms, key=lambda at: at is not None)


def test_before_the_change_nothing_is_due(out):
    found = look(out, day=24, dry_run=True)
    assert bright(found).statistic is not None
    assert not found.is_due


def test_a_later_reference_acknowledges_an_alarm(out):
    found = look(out, since="2026-01-26", dry_run=True)
    assert not found.report.alarms
    assert bright(found).statistic < bright(found).threshold


def test_a_dry_run_writes_nothing(out):
    there = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    found = look(out, dry_run=True)
    assert not found.done
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == there


def test_a_day_that_has_not_ended_is_not_looked_at(out):
    at_noon = look(out, day=20, dry_run=True)
    assert bright(at_noon).n == 20 * 25


def test_long_after_the_last_round_the_next_one_is_due_if_there_is_new_feedback(out):
    due = {one.rule: one for one in look(out, due_days=30, dry_run=True).report.due}
    assert due["days"].limit == 30
    assert due["days"].due == ("none" not in due["days"].says)


def test_a_model_that_has_said_nothing_is_an_error_that_names_the_others(out):
    with pytest.raises(FeedbackError, match="oracle-noise-1"):
        look(out, model="lungs-1")


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "0001-01-01T00:00+14:00"])
def test_a_reference_that_is_no_date_is_refused(since):
    with pytest.raises(UsageError, match="2026-11-30"):
        settings.load(Monitor, {"since": since})


def test_a_block_of_no_time_is_refused():
    with pytest.raises(UsageError, match="holds no image"):
        settings.load(Monitor, {"block": "0s"})


@pytest.mark.parametrize(("since", "status"), [("first", Exit.DUE), ("2026-01-26", Exit.DONE)])
def test_the_command_exits_5_where_something_is_due_and_prints_one_object(out, capsys, since, status):
    asked = ["--json", "--dry-run", "--due-days", "36500", "--since", since]
    with pytest.raises(SystemExit) as ended:
        cli.main(["monitor", "--out", str(out), *asked])
    assert ended.value.code == status
    told = json.loads(capsys.readouterr().out)
    assert [one["rule"] for one in told["report"]["due"]] == ["reviews", "days", "drift", "audit"]


def test_nothing_in_a_report_names_an_image(out):
    assert b"day0" not in reports.encode(look(out, dry_run=True).report)

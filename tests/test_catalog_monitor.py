import json
from datetime import UTC, datetime

import pytest

from radloop.catalog import monitor
from radloop.catalog.monitor import Alarm, Due, Figure, Reference, Report
from radloop.errors import DatasetError

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
BRIGHT = Figure(
    figure="picture mean",
    kind="picture",
    n=900,
    statistic=50_000.0,
    threshold=41_000.0,
    alarm_at=NOON,
    direction="up",
    says="mean gray value: higher",
)
REPORT = Report(
    looked_at=NOON,
    reference=Reference(since=NOON, why="the first feedback of the model", model="m 1", images=300),
    figures=(BRIGHT,),
    alarms=(Alarm(at=NOON, figure="picture mean", says=BRIGHT.says),),
    due=(Due(rule="reviews", value=12, limit=200, due=False, says="12 of 200"),),
    rate=1,
)


def test_a_report_is_read_as_it_was_written(tmp_path):
    (tmp_path / monitor.NAME).write_bytes(monitor.encode(REPORT))
    assert monitor.read(tmp_path) == REPORT


def test_a_report_has_the_keys_that_others_read(tmp_path):
    told = json.loads(monitor.encode(REPORT))
    assert list(told) == ["schema_version", "looked_at", "reference", "figures", "alarms", "due", "rate"]
    assert told["figures"][0]["alarm_at"] == "2026-11-30T12:00:00Z"


def test_a_folder_without_a_report_has_none(tmp_path):
    assert monitor.read(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"looked_at": "2026-11-30T12:00:00"}, id="a time without a zone"),
        pytest.param({"figures": [{"figure": "mean"}]}, id="a figure without its kind"),
    ],
)
def test_a_report_that_is_not_whole_is_refused(tmp_path, change):
    told = json.loads(monitor.encode(REPORT)) | change
    (tmp_path / monitor.NAME).write_text(json.dumps(told))
    with pytest.raises(DatasetError, match=r"radloop monitor|upgrade radloop"):
        monitor.read(tmp_path)


def test_a_report_of_a_newer_radloop_is_refused(tmp_path):
    (tmp_path / monitor.NAME).write_text(json.dumps(json.loads(monitor.encode(REPORT)) | {"schema_version": 2}))
    with pytest.raises(DatasetError, match="newer radloop"):
        monitor.read(tmp_path)

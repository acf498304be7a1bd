"""Alarms of `radloop monitor` on the pages: red where proven, gray where nothing is, refused where damaged."""

import pytest
from msgspec.structs import replace

import monitor_report
import written_loop
from app_pages import opened, said, written
from radloop.options import Dashboard
from radloop.vindr.classes import TAXONOMY as VINDR
from test_dashboard_detector import table

ALARM = ":red[**ALARM**] 2026-08-08 08:00 UTC, picture mean: mean gray value: higher"
DUE = ":orange[**A round is due**] (reviews): reviews since the last round"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return written_loop.run(tmp_path_factory.mktemp("loop"), VINDR)


def looked(made, tmp_path, **changes) -> Dashboard:
    """The loop, with a report of the monitor."""
    monitor_report.watched(tmp_path, monitor_report.report(**changes))
    return Dashboard(dataset=made.dataset, feedback=made.feedback, reviews=made.reviews, monitor=tmp_path)


def test_alarm_is_red_and_a_due_round_is_said_on_overview_and_drift(made, tmp_path):
    inputs = looked(made, tmp_path)
    for page in ("overview", "drift"):
        text = said(opened(page, inputs))
        assert ALARM in text
        assert DUE in text


def test_without_an_alarm_nothing_is_green_and_nothing_is_red(made, tmp_path):
    inputs = looked(made, tmp_path, alarm=None, due=False)
    overview = said(opened("overview", inputs))
    assert "Watched over time: :gray[no alarm]" in overview
    assert ":red" not in overview
    assert ":orange[**A round" not in overview
    page = opened("drift", inputs, compare="Alarms over time")
    assert "no figure is proven to have, which is no proof that none has" in said(page)
    assert ":green" not in said(page)


def test_drift_shows_every_figure_and_every_reason_for_a_round(made, tmp_path):
    page = opened("drift", looked(made, tmp_path), compare="Alarms over time")
    assert table(page, "figure", "statistic").select("figure", "alarm_at").height == 2
    assert table(page, "rule", "due").select("rule", "value", "limit", "due").rows() == [("reviews", 210, 200, True)]
    assert "of 1 figure (missed): too few images, or reviews, so far" in said(page)
    assert "new-2 came into use" in said(page)


def test_where_no_figure_has_images_enough_that_is_said(made, tmp_path):
    told = monitor_report.report(alarm=None, due=False)
    monitor_report.watched(tmp_path, replace(told, figures=told.figures[1:]))
    text = said(opened("overview", Dashboard(dataset=made.dataset, monitor=tmp_path)))
    assert ":gray[too few to say]" in text
    assert "0 of 1 figure tested" in text


def test_without_a_report_the_command_is_named(made, tmp_path):
    inputs = Dashboard(dataset=made.dataset, monitor=tmp_path)
    assert "Watched over time: :gray[nobody has looked]; `radloop monitor` looks." in said(opened("overview", inputs))
    page = opened("drift", inputs, compare="Alarms over time")
    assert [code.value for code in page.code] == ["radloop monitor"]


def test_damaged_report_is_refused_and_the_page_stays_up(made, tmp_path):
    inputs = looked(made, tmp_path)
    (tmp_path / "report.json").write_text('{"schema_version": 1}')
    for page in ("overview", "drift"):
        test = opened(page, inputs)
        assert "report.json is not radloop's, or damaged" in test.error[0].value.replace("\\", "")
        assert "ALARM" not in said(test)
    assert opened("overview", inputs).metric


def test_text_of_a_report_stays_text(made, tmp_path):
    inputs = looked(made, tmp_path, alarm="<b>x</b> ![x](http://elsewhere.example)")
    for page in (opened("overview", inputs), opened("drift", inputs, compare="Alarms over time")):
        assert "<b>" not in written(page)
        assert "](" not in written(page)

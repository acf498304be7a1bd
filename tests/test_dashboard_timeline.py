"""The page Time line: what happened is on one axis and in one table; what is missing or refused is said."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

import course_files
import models_unit
import monitor_report
from app_pages import choose, every_view, opened, said, written
from radloop import manifest
from radloop.catalog import cards, gates, history, models, monitor
from radloop.catalog.cards import Card
from radloop.dashboard import course, landmarks, timeline_chart
from radloop.options import Dashboard
from test_dashboard_detector import table

GATES = "Models and gates"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A loop of two rounds, two versions, two models and one alarm."""
    out = tmp_path_factory.mktemp("loop")
    course_files.whole(out)
    return Dashboard(out=out)


def chart(test):
    return json.loads(test.get("plotly_chart")[0].proto.spec)


def test_all_that_happened_stands_in_time_with_what_and_why(whole):
    events = course.read(whole).events
    assert events["at"].is_sorted(descending=True)
    assert events.select("lane", "kind").rows() == [
        ("Models", "rolled back"),
        ("Dataset versions", "rolled back"),
        ("Alarms", "alarm"),
        ("Models", "promoted"),
        ("Models", "gates passed"),
        ("Models", "gates passed"),
        ("Rounds of re-training", "round"),
        ("Models", "gate missed"),
        ("Dataset versions", "published"),
        ("Rounds of re-training", "round"),
        ("Models", "promoted"),
        ("Dataset versions", "published"),
    ]
    told = dict(events.unique("kind", keep="first", maintain_order=True).select("kind", "why").iter_rows())
    assert told["gate missed"] == "mAP@0.4: it may fall by 0.08, at most 0.05"
    assert told["alarm"] == "mean gray value: higher"
    assert told["rolled back"] == "without a comparison; an alarm"
    assert "after 00000000: 100 images, 270 labels, 180 boxes; 10 images added; 4 images moved;" in events["why"][8]


def test_page_shows_the_same_rows_as_chart_and_as_table_and_how_it_stands(whole):
    test = opened("timeline", whole)
    assert not test.error
    events = course.read(whole).events
    rows = table(test, "lane", "kind", "what", "why")
    assert rows.select("lane", "kind", "what", "why").rows() == events.select("lane", "kind", "what", "why").rows()
    marks = [trace for trace in chart(test)["data"] if trace["mode"] == "markers"]
    assert sum(len(trace["x"]) for trace in marks) == events.height
    assert {address for trace in marks for address in trace["customdata"]} == set(events["opens"])
    text = said(test)
    assert "**old-1**" in text
    assert "since 2026-08-11 08:00 UTC, without a comparison" in text
    assert f"**{course_files.VERSIONS[0]}**" in text
    assert "**30 rows that train**" in text
    assert ":red[1 alarm] · :orange[a round is due]" in text


def files(out):
    """By lane, a file without which nothing of it can be trusted."""
    return {
        "Rounds of re-training": out / manifest.UNIT / manifest.RETRAIN / manifest.NAME,
        "Dataset versions": out / manifest.UNIT / history.NAME,
        "Models": out / manifest.MODELS / models.ALIASES,
        "Alarms": out / "monitor" / monitor.NAME,
    }


def test_empty_lanes_name_their_commands(tmp_path):
    course_files.published(tmp_path / manifest.UNIT, course_files.entry())
    test = opened("timeline", Dashboard(out=tmp_path))
    commands = ["radloop retrain", "radloop compare CHAMPION CHALLENGER --splits staging", "radloop monitor"]
    assert [code.value for code in test.code] == commands
    assert not test.error
    assert set(table(test, "lane", "kind")["lane"]) == {"Dataset versions"}
    assert len([one for one in chart(test)["layout"]["annotations"] if "yet" in one["text"]]) == 3
    files(tmp_path)["Dataset versions"].unlink()
    test = opened("timeline", Dashboard(out=tmp_path))
    assert [code.value for code in test.code] == [commands[0], "radloop load", *commands[1:]]
    assert not test.get("plotly_chart")


@pytest.mark.parametrize("lane", landmarks.LANES)
def test_damaged_file_is_refused_and_the_other_lanes_stay(lane, tmp_path):
    course_files.whole(tmp_path)
    files(tmp_path)[lane].write_bytes(b'{"schema_version": 1, "entries": [{}]}')
    told = course.read(Dashboard(out=tmp_path))
    assert list(told.refused) == [lane]
    assert set(told.events["lane"]) == set(landmarks.LANES) - {lane}


def test_page_stays_up_where_files_are_damaged(tmp_path):
    course_files.whole(tmp_path)
    for lane, path in files(tmp_path).items():
        if lane != "Alarms":
            path.write_bytes(b"\x00")
    test = opened("timeline", Dashboard(out=tmp_path))
    refused = ["rounds of re-training", "dataset versions", "models"]
    assert [error.value.split(":")[0] for error in test.error] == [f"**Refused, {lane}" for lane in refused]
    assert table(test, "lane", "kind").height == 1
    assert not test.code
    assert len([one for one in chart(test)["layout"]["annotations"] if one["text"] == "Refused: see above"]) == 3


def test_one_event_alone_has_an_axis(tmp_path):
    course_files.published(tmp_path, course_files.entry())
    figure = timeline_chart.draw(landmarks.of_history(history.read(tmp_path)), landmarks.REIGNS.to_frame(), {})
    first, last = figure.layout.xaxis.range
    assert first < monitor_report.START < last


def test_many_at_one_time_are_drawn_one_above_another(tmp_path):
    days = [0, *(50 + number / 100 for number in range(60))]
    entries = [course_files.entry(f"{number:016x}", at) for number, at in enumerate(days)]
    course_files.published(tmp_path, *entries)
    drawn = timeline_chart.draw(landmarks.of_history(history.read(tmp_path)), landmarks.REIGNS.to_frame(), {}).data
    assert [len(trace.x) for trace in drawn] == [61]
    assert len(set(drawn[0].y)) > 3


def test_round_whose_time_nobody_tells_is_in_the_table_alone(tmp_path):
    course_files.rounds(tmp_path / manifest.UNIT / manifest.RETRAIN, None, 3)
    test = opened("timeline", Dashboard(out=tmp_path))
    assert table(test, "lane", "kind")["time (UTC)"].to_list() == ["2026-06-04 08:00", "unknown"]
    assert sum(len(trace["x"]) for trace in chart(test)["data"]) == 1


def test_monitor_that_found_nothing_is_gray_and_no_command_is_due(tmp_path):
    monitor_report.watched(tmp_path / "monitor", monitor_report.report(alarm=None, due=False))
    test = opened("timeline", Dashboard(out=tmp_path))
    text = said(test)
    assert ":gray[no alarm]" in text
    assert "1 of 2 figures tested, none is proven to have changed; false alarms accepted a year: 1" in text
    assert "radloop monitor" not in [code.value for code in test.code]
    assert ":green" not in text
    assert ":red" not in text


def test_models_tell_what_let_them_through_and_which_gate_was_missed(whole):
    test = choose(opened("timeline", whole), 0, GATES)
    own = dict(table(test, "what", "value").select("what", "value").iter_rows())
    assert own["model"] == "old-1"
    assert own["how"] == "brought back"
    assert own["in the place of"] == "new-2"
    assert "Cannot tell:" in said(test)
    verdicts = dict(table(test, "comparison", "verdict").select("comparison", "verdict").iter_rows())
    assert verdicts["c1"] == "missed: mAP@0.4: it may fall by 0.08, at most 0.05"
    assert verdicts["c2"] == "passed every gate"


def card(model: str, **verdict: str) -> Card:
    told = {"name": "new", "version": "2", "detector": "onnx:new.onnx", "md5": "0" * 32, "map": [], "classes": ["a"]}
    return Card(model, **told, has_own_classes=False, recipe="vinbigdata,size=1024", dataset="d1", verdict=verdict)


def test_model_that_comparisons_let_through_tells_their_verdicts_its_dataset_and_recipe(tmp_path):
    folder = tmp_path / manifest.MODELS
    models_unit.unit(
        folder,
        models_unit.comparison("c2"),
        models_unit.comparison("c3", split="canary"),
        aliases=course_files.moves((2, "promote", "new-2", "old-1", "c3", None)),
        **{f"new-2/{cards.NAME}": card("new-2", staging="c2", canary="c3").document},
    )
    test = choose(opened("timeline", Dashboard(out=tmp_path)), 0, GATES)
    own = dict(table(test, "what", "value").select("what", "value").iter_rows())
    assert own["verdict on staging"] == "passed every gate (c2)"
    assert own["verdict on canary"] == "passed every gate (c3)"
    assert (own["dataset version"], own["recipe of its pictures"]) == ("d1", "vinbigdata,size=1024")
    assert "Cannot tell" not in said(test)
    (folder / "new-2" / cards.NAME).write_bytes(b"{")
    test = choose(opened("timeline", Dashboard(out=tmp_path)), 0, GATES)
    assert "Promote the model again" in test.error[0].value.replace("\\", "")
    assert "verdict on canary" in table(test, "what", "value")["what"]


def test_split_that_was_asked_often_is_worn_as_the_gates_say(tmp_path):
    often = next(uses for uses in range(1, 100) if gates.wear(uses, gates.ALPHA) > gates.WORN)
    asked = [models_unit.comparison(f"c{number}") for number in range(often)]
    models_unit.unit(tmp_path / manifest.MODELS, *asked, models_unit.comparison("d", split="canary"))
    test = choose(opened("timeline", Dashboard(out=tmp_path)), 0, GATES)
    uses = table(test, "split", "worn").select("split", "comparisons that asked it", "worn").rows()
    assert uses == [("canary", 1, False), ("staging", often, True)]


def test_comparison_that_the_manifest_does_not_vouch_for_is_refused(tmp_path):
    course_files.two_models(tmp_path / manifest.MODELS)
    path = tmp_path / manifest.MODELS / "comparisons" / "c2.json"
    path.write_text(path.read_text().replace("true", "false"))
    test = opened("timeline", Dashboard(out=tmp_path))
    assert "1 comparison that the manifest does not vouch for" in test.error[0].value
    assert "c2" not in table(choose(test, 0, GATES), "comparison", "verdict")["comparison"]


HOSTILE = "<script>alert(1)</script> ![x](http://elsewhere.example/x.png) $a$"


def test_text_of_files_stays_text(tmp_path):
    course_files.whole(tmp_path)
    models_unit.unit(
        tmp_path / manifest.MODELS,
        models_unit.comparison(
            "c1", passed=False, gates=[{"gate": "map", "passed": False, "says": HOSTILE}], challenger={"model": HOSTILE}
        ),
        aliases=course_files.moves((2, "promote", HOSTILE, HOSTILE, None, HOSTILE)),
    )
    monitor_report.watched(tmp_path / "monitor", monitor_report.report(alarm=HOSTILE))
    test = opened("timeline", Dashboard(out=tmp_path))
    for view in every_view(test):
        assert "<script>" not in written(view)
        assert "](" not in written(view)
    drawn = chart(opened("timeline", Dashboard(out=tmp_path)))
    texts = json.dumps([trace.get("text") for trace in drawn["data"]] + drawn["layout"]["annotations"])
    assert "&lt;script&gt;" in texts
    assert "<script>" not in texts


def test_mark_leads_only_where_a_row_leads(whole):
    opens = course.read(whole).events["opens"].unique().sort().to_list()
    assert opens == [
        "drift?compare=Alarms+over+time",
        "time-line?view=Models+and+gates",
        "versions?view=All+versions",
        "versions?view=Over+the+rounds",
    ]


def test_reigns_end_where_the_next_begins():
    rows = pl.DataFrame(
        {"name": ["a", "b"], "at": [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)]}
    )
    told = landmarks.reigns(rows, lane=landmarks.MODELS, name="name", at="at")
    assert told["until"].to_list() == [datetime(2026, 2, 1, tzinfo=UTC), None]


def test_lanes_are_drawn_where_nothing_has_a_time():
    figure = timeline_chart.draw(landmarks.EVENTS.to_frame(), landmarks.REIGNS.to_frame(), {})
    assert len(figure.layout.yaxis.ticktext) == 4

"""The demonstration: it closes the loop, and never looks well where it is not."""

from types import SimpleNamespace

import polars as pl
import pytest

from radloop import options, summaries
from radloop.errors import DatasetError
from radloop.options import Demo
from radloop.pipelines import checking, demo, reviewing
from radloop.pipelines.checking import Report
from radloop.split_sizes import SplitSizes
from radloop.words import several

SIZES = SplitSizes.parse("training=12,validation=2,test=4,staging=2,canary=2,production=8")


def test_a_demo_whose_own_dataset_is_not_sound_fails(tmp_path, monkeypatch):
    violation = pl.DataFrame({"rule": ["lost"], "key": ["a.txt"], "line": [None], "detail": [""], "consequence": [""]})
    nothing = SimpleNamespace(version=None)
    monkeypatch.setattr(demo.offline, "run", lambda *_, **__: nothing)
    monkeypatch.setattr(demo, "_closed", lambda *_: demo._Loop(nothing, nothing, nothing, (), nothing, {}))
    monkeypatch.setattr(demo, "_waiting", lambda *_: {})
    monkeypatch.setattr(demo, "_arrived", lambda *_: {})
    for found, sound in ((violation.clear(), True), (violation, False)):
        report = Report("store", "v", (), {}, found)
        monkeypatch.setattr(demo.checking, "check", lambda *_, report=report, **__: report)
        if sound:
            assert demo.run(Demo(out=tmp_path, images=30, sizes=SIZES, jobs=1)).checked is report
        else:
            with pytest.raises(DatasetError, match=r"not sound.*radloop check"):
                demo.run(Demo(out=tmp_path, images=30, sizes=SIZES, jobs=1))


@pytest.mark.slow
def test_the_demo_closes_the_loop_and_checks_the_store_that_it_published(tmp_path, monkeypatch):
    checked, real = [], checking.check

    def check(place, **options):
        checked.append(place)
        return real(place, **options)

    monkeypatch.setattr(demo.checking, "check", check)
    monkeypatch.setattr(demo, "ARRIVAL", "workers")
    monkeypatch.setattr(demo, "LOAD_PATTERN", "3")
    monkeypatch.setattr(demo, "STAGE_SECONDS", 2.0)
    monkeypatch.setattr(demo, "NEW_PATIENTS", 12)
    shown = demo.run(Demo(out=tmp_path, images=30, sizes=SIZES, jobs=1))
    assert checked == [tmp_path / "store"]
    assert shown.checked.sound
    assert shown.simulated.total["feedback"] > 0
    assert shown.ingested.new == shown.arrived["images"] == 12
    assert 0 < shown.arrived["in_training"] <= 12
    assert shown.retrained.report["incoming"]["trains_now"] == shown.arrived["in_training"]
    told = dict(summaries.of(shown).grids[0].rows[1:])
    assert told["new patients"].startswith("12 came in: 0 in training now")
    assert told["the loop goes on"].startswith(f"{shown.arrived['in_training']} of 12 new images in training")
    assert [note for note in shown.simulated.notes if "was run by ONNX Runtime" not in note] == []
    assert set(shown.labels) <= {"every box above 0.9", "by the rule", "after a simulated review"}
    queued = reviewing.order(options.Review(out=tmp_path, queue=True)).queue
    assert queued.filter(state="unread").height > 0
    assert shown.waiting == dict(queued["state"].value_counts().iter_rows())
    last = summaries.of(shown).following[-1]
    assert last == f"to read now, {several(queued.height, 'image')}: radloop dashboard --out {tmp_path}"

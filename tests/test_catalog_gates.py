"""Which gate a challenger misses, and by how much."""

import polars as pl
import pytest

from radloop.catalog import gates
from radloop.catalog.gates import Figures, Gates
from radloop.measures.power import Plan

PLAN = Plan(margin=0.03, alpha=0.025, groups=500, images=500, spread=0.01, agreement=0.9)
CALM = {"first": 0.05, "second": 0.06, "difference": 0.01, "difference_low": -0.01, "difference_high": 0.03}
SAME = {"p95": {"first": 50.0, "second": 55.0, "ratio": 1.1, "ratio_low": 1.05, "ratio_high": 1.2}}


def row(
    figure: str, difference: float, spread: float, *, class_id: int | None = None, boxes: int = 100, groups: int = 90
):
    return {
        "figure": figure,
        "class_id": class_id,
        "class_name": None if class_id is None else f"class {class_id}",
        "truth_first": boxes,
        "truth_second": boxes,
        "groups": groups,
        "first": 0.5,
        "second": 0.5 + difference,
        "difference": difference,
        "difference_spread": spread,
    }


def judged(*rows, calibration=CALM, latency=SAME, audit=None, asked=gates.DEFAULT):
    table = pl.DataFrame(rows, schema_overrides={"class_id": pl.Int32, "class_name": pl.String})
    told = gates.judge(asked, PLAN, Figures(table, calibration, latency), audit)
    return {one.gate: one for one in told}


def test_lower_bound_above_the_margin_passes_and_one_below_tells_by_how_much():
    assert judged(row("ap", 0.0, 0.01))["map"].passed
    missed = judged(row("ap", -0.02, 0.01))["map"]
    assert not missed.passed
    assert missed.says.endswith("0.010 below what must hold, -0.030")


def test_few_images_prove_nothing_of_map_and_hold_no_guard_back():
    told = judged(row("ap", 0.1, 0.01, groups=19), calibration={**CALM, "difference_low": None}, latency=None)
    assert [told[gate].passed for gate in ("map", "recall", "calibration", "latency_p95", "audit")] == [
        False, None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("difference", "spread", "boxes", "passed"),
    [
        pytest.param(-0.3, 0.05, 100, False, id="a loss that is not chance"),
        pytest.param(-0.3, 0.2, 100, True, id="a loss that may be chance"),
        pytest.param(-0.08, 0.01, 100, True, id="a loss that is allowed"),
        pytest.param(-0.3, 0.05, 19, None, id="too few boxes"),
    ],
)
def test_class_that_loses_recall_is_named(difference, spread, boxes, passed):
    lost = row("recall", difference, spread, class_id=3, boxes=boxes)
    told = judged(row("ap", 0.0, 0.01), lost)["recall"]
    assert told.passed is passed
    if passed is False:
        assert told.says.startswith("recall of class 3 falls from 0.50 to 0.20: 0.200 more than the limit")


def test_calibration_latency_and_audit_guard():
    worse = {**CALM, "second": 0.2, "difference": 0.15, "difference_low": 0.1}
    slow = {"p95": {**SAME["p95"], "second": 100.0, "ratio": 2.0}}
    audit = pl.DataFrame([row("ap", -0.2, 0.05)], schema_overrides={"class_id": pl.Int32, "class_name": pl.String})
    told = judged(row("ap", 0.0, 0.01), calibration=worse, latency=slow, audit=audit)
    assert [told[gate].passed for gate in ("calibration", "latency_p95", "audit")] == [False, False, False]
    assert "2.00 times the champion's, 0.50 more than the 1.5" in told["latency_p95"].says


def test_latency_has_a_limit_in_milliseconds_too():
    told = judged(row("ap", 0.0, 0.01), asked=Gates(latency_p95=gates.Latency(ms=50)))
    assert told["latency_p95"].says == "latency p95 goes from 50.0 to 55.0 ms: 5.0 ms more than the 50 ms"


def test_nothing_but_unknown_is_no_pass():
    told = judged(row("ap", 0.0, 0.01, groups=1), asked=Gates(audit=gates.Audit()))
    assert gates.passed(tuple(told.values())) is False


def test_split_wears_with_every_question():
    assert gates.wear(1, 0.025) == pytest.approx(0.025)
    assert gates.wear(8, 0.025) < gates.WORN < gates.wear(9, 0.025)

"""The page Re-training after a round of the policy `calibrated`: each class has a threshold of its own."""

import json

import pytest

import written_loop
from app_pages import choose, opened, said
from radloop import slices
from radloop.catalog.rule import Calibration, Rule, Threshold
from radloop.vindr.classes import TAXONOMY as VINDR
from test_dashboard_detector import table


def threshold(class_id: int, above: float | None, *, too_few: bool = False) -> Threshold:
    told = {"boxes": 60, "groups": 55, "precision": 0.97, "low": 0.91}
    return Threshold("oracle", "1", class_id, above, **told, too_few=too_few)


RULE = Rule(
    policy="calibrated",
    precision=0.8,
    thresholds=(threshold(0, 0.5), threshold(1, None), threshold(2, None, too_few=True)),
    calibrations=(Calibration("oracle", "1", (0.2, 0.9), (0.1, 0.95)),),
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return written_loop.run(tmp_path_factory.mktemp("loop"), VINDR, rule=RULE)


def test_each_class_tells_its_threshold_and_what_proves_it(inputs):
    page = opened("retraining", inputs)
    assert not page.slider
    rows = table(page, "class_name", "above").select("class_name", "above", "says").rows()
    assert rows == [
        (VINDR.names[0], 0.5, "proven"),
        (VINDR.names[1], None, "none is proven: no label without a review"),
        (VINDR.names[2], None, "too few boxes to prove any: no label without a review"),
    ]
    assert "at least 80% of the boxes are right" in said(page)
    assert "radloop retrain --policy calibrated --precision 0.8" in said(page)
    assert set(table(page, "ignore", "trains").columns) >= {"weight", "ignore"}


def test_one_threshold_can_be_chosen_in_their_place(inputs):
    page = choose(opened("retraining", inputs), 1, "one threshold")
    assert page.slider[0].value == Rule().min_confidence
    assert "radloop retrain" in [code.value for code in page.code]


def test_no_page_draws_one_threshold_where_the_rule_has_many(inputs):
    for page in (opened("feedback", inputs), opened("detector", inputs)):
        charts = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
        assert charts
        assert not any(shape["y0"] == 0 for chart in charts for shape in chart["layout"].get("shapes", []))
    assert "the rule has a threshold for each class" in said(opened("feedback", inputs))


def test_why_is_the_same_counted_in_parts(inputs, monkeypatch):
    whole = table(opened("retraining", inputs), "code", "reason", "files")
    monkeypatch.setattr(slices, "AT_ONCE", 1)
    assert table(opened("retraining", inputs), "code", "reason", "files").equals(whole)
    assert whole["files"].sum() > whole.height > 1

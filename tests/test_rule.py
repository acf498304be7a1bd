"""The re-training rule: written into report.json, and the same when it is read there."""

import json
from dataclasses import replace
from typing import get_args

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.catalog import rule
from radloop.catalog.rule import Calibration, Rule, Threshold
from radloop.errors import DatasetError
from radloop.words import Policy

CALIBRATION = {"model": "tiny", "model_version": "1", "confidence": [0.5, 1.0], "right": [0.5, 1.0]}
shares = st.floats(0, 1)
texts, counts = st.text(max_size=5), st.integers(0, 99)
thresholds = st.builds(
    Threshold,
    texts,
    texts,
    counts,
    st.none() | shares,
    counts,
    counts,
    st.none() | shares,
    st.none() | shares,
    st.booleans(),
)
points = st.lists(shares, max_size=3).map(tuple)
calibrations = st.builds(Calibration, texts, texts, points, points)
rules = st.builds(
    Rule,
    shares,
    shares,
    st.booleans(),
    st.booleans(),
    policy=st.sampled_from(get_args(Policy)),
    precision=shares,
    thresholds=st.lists(thresholds, max_size=2).map(tuple),
    calibrations=st.lists(calibrations, max_size=2).map(tuple),
)


@given(rules)
def test_a_report_gives_the_rule_back(one):
    assert rule.of_report(json.loads(json.dumps({rule.KEY: one.document()}))) == one


def test_label_is_strictly_above_the_threshold_of_its_class_and_model():
    known = Threshold("tiny", "1", 3, 0.5, 9, 9, 1.0, 0.9, too_few=False)
    by = Rule(policy="calibrated", thresholds=(known, replace(known, class_id=5, above=None)))
    boxes = pl.DataFrame({"class_id": [3, 3, 5, 7], "confidence": [0.5, 0.51, 0.99, 0.99]})
    assert boxes.select(by.sure("tiny", "1")).to_series().to_list() == [False, True, False, False]
    assert not boxes.select(by.sure("tiny", "2")).to_series().any()
    assert [by.threshold("tiny", "1", number) for number in (3, 5, 7)] == [0.5, None, None]
    assert boxes.select(Rule(0.6).sure("any", "")).to_series().to_list() == [False, False, True, True]
    assert Rule(0.6).threshold("any", "", 7) == 0.6


def test_what_a_report_leaves_out_is_the_default():
    assert rule.of_report({rule.KEY: {"min_confidence": 0.6}}) == Rule(min_confidence=0.6)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({}, id="no rule"),
        pytest.param({rule.KEY: 3}, id="not an object"),
        pytest.param({rule.KEY: {"min_confidence": "0.9"}}, id="text"),
        pytest.param({rule.KEY: {"min_confidence": True}}, id="a flag for a share"),
        pytest.param({rule.KEY: {"min_confidence": float("nan")}}, id="not a number"),
        pytest.param({rule.KEY: {"min_confidence": 90}}, id="per cent"),
        pytest.param({rule.KEY: {"require_review": 1}}, id="a number for a flag"),
        pytest.param({rule.KEY: {"policy": "best"}}, id="another policy"),
        pytest.param({rule.KEY: {"policy": ["calibrated"]}}, id="policies"),
        pytest.param({rule.KEY: {"thresholds": 0.9}}, id="no list of thresholds"),
        pytest.param({rule.KEY: {"thresholds": [0.9]}}, id="a number for a threshold"),
        pytest.param({rule.KEY: {"thresholds": [{"model": "tiny"}]}}, id="a part of a threshold"),
        pytest.param({rule.KEY: {"calibrations": [CALIBRATION | {"right": [0.5, "1"]}]}}, id="text for a share"),
        pytest.param({rule.KEY: {"calibrations": [CALIBRATION | {"model": [0.5]}]}}, id="a number for a model"),
    ],
)
def test_what_cannot_be_a_rule_is_none(told):
    assert rule.of_report(told) is None


def test_the_rule_of_the_round_that_stands(tmp_path):
    assert rule.standing(tmp_path) is None
    (tmp_path / "report.json").write_text(json.dumps({rule.KEY: Rule(0.6).document()}))
    assert rule.standing(tmp_path) == Rule(0.6)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "[" * 100_000])
def test_a_report_that_tells_no_rule_is_named(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(DatasetError, match=r"report\.json.*radloop retrain"):
        rule.standing(tmp_path)

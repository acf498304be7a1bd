"""The re-training rule: written into report.json, and the same when it is read there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.catalog import rule
from radloop.catalog.rule import Rule
from radloop.errors import DatasetError

shares = st.floats(0, 1)
rules = st.builds(Rule, shares, shares, st.booleans(), st.booleans())


@given(rules)
def test_a_report_gives_the_rule_back(one):
    assert rule.of_report(json.loads(json.dumps({rule.KEY: one.document()}))) == one


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

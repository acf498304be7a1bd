"""Stages, arrivals, the order of pictures, percentiles."""

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import UsageError
from radloop.simulation import load


@pytest.mark.parametrize("text", ["1,2,3,5,3,2,1", "[1,2,3,5,3,2,1]", " [ 1, 2,3 ,5,3,2,1]\n"])
def test_pattern_may_have_brackets_and_spaces(text):
    assert load.parse_pattern(text) == (1, 2, 3, 5, 3, 2, 1)


def test_stage_without_load_is_a_pause():
    assert load.parse_pattern("1,0,2") == (1, 0, 2)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "1,,2", "[1,2", "1]", "[[1]]", "0,0", "-1", "1.5", "1e9", "1001", "99999", "１", "a", "1;2"),
        *("1," * 1000 + "1", "__import__('os')", "1\x00", "null", "1 2"),
    ],
)
def test_anything_but_loads_is_wrong_usage(text):
    with pytest.raises(UsageError, match="--load-pattern"):
        load.parse_pattern(text)


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_wrong_usage(text):
    try:
        pattern = load.parse_pattern(text)
    except UsageError:
        return
    assert all(0 <= stage <= load.MOST_WORKERS for stage in pattern)
    assert any(pattern)


@pytest.mark.parametrize(("text", "rate"), [("workers", None), ("poisson:5", 5.0), ("poisson:0.25", 0.25)])
def test_arrival_is_by_workers_or_at_a_rate(text, rate):
    assert load.parse_arrival(text) == rate


@pytest.mark.parametrize(
    "text", ["", "poisson", "poisson:", "poisson:0", "poisson:-1", "poisson:nan", "poisson:1e9", "poisson:99999", "x:1"]
)
def test_other_arrivals_are_wrong_usage(text):
    with pytest.raises(UsageError, match="--arrival"):
        load.parse_arrival(text)


def test_arrivals_come_at_their_rate_within_the_stage_and_the_same_for_one_seed():
    moments, again, others = (list(load.arrivals(50, 100, rng=np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert moments == again != others
    assert moments == sorted(moments)
    assert 0 <= moments[0] <= moments[-1] < 100
    assert len(moments) == pytest.approx(5000, abs=5 * math.sqrt(5000))


def test_gaps_between_arrivals_are_exponential():
    gaps = np.diff(list(load.arrivals(50, 200, rng=np.random.default_rng(0))))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.05)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.05)


def test_no_load_no_arrivals():
    assert list(load.arrivals(0, 60, rng=np.random.default_rng(0))) == []


@given(st.integers(1, 30), st.integers(0, 2**32))
def test_every_picture_comes_once_before_any_twice(count, seed):
    rounds = list(islice(load.order(count, seed=seed), 3 * count))
    for start in (0, count, 2 * count):
        assert sorted(rounds[start : start + count]) == list(range(count))
    assert rounds == list(islice(load.order(count, seed=seed), 3 * count))


def test_order_of_no_pictures_is_empty():
    assert list(load.order(0, seed=0)) == []

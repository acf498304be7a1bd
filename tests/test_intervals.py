"""Intervals that cover what they say, or are not there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse import csr_array

from radloop.measures import intervals


def share(above: list[float], below: list[float]) -> tuple[float, float, float]:
    """Of one key, by group."""
    found = intervals.of_share("x", csr_array(np.array([above], float)), csr_array(np.array([below], float)))
    return found["x"][0], found["x_low"][0], found["x_high"][0]


def test_ratio_of_nothing_is_missing() -> None:
    assert np.isnan(intervals.ratio(np.array([0.0]), np.array([0.0])))[0]


def test_share_of_single_boxes_has_jeffreys_interval() -> None:
    found, low, high = share([1] * 3 + [0] * 7, [1] * 10)
    # 10/9 of the variance of independent boxes, for groups are a sample; Jeffreys, 2.7 of 9
    worth = 9.0
    assert found == 0.3
    assert (low, high) == pytest.approx(stats.beta.interval(0.95, 0.3 * worth + 0.5, 0.7 * worth + 0.5))


@pytest.mark.parametrize(("right", "ends"), [(5, (None, 1.0)), (0, (0.0, None))])
def test_all_right_and_all_wrong_are_no_intervals_of_width_zero(right: int, ends: tuple[float | None, ...]) -> None:
    _, low, high = share([right] * 5, [5] * 5)
    # the boxes of a group may be as one: five groups say no more than five boxes
    bound = stats.beta.ppf(0.025, 5.5, 0.5)
    assert (low, high) == pytest.approx(
        tuple(end if end is not None else (bound if right else 1 - bound) for end in ends)
    )


@pytest.mark.parametrize("groups", [0, 1, 2, 3])
def test_few_groups_have_no_interval(groups: int) -> None:
    _, low, high = share([1] * groups + [0] * 5, [2] * groups + [0] * 5)
    assert np.isnan([low, high]).all()


def test_boxes_of_one_group_that_go_together_widen_the_interval() -> None:
    apart, together = share([1, 0] * 20, [1] * 40), share([4, 0] * 5, [4] * 10)
    assert apart[0] == together[0] == 0.5
    assert together[2] - together[1] > 1.8 * (apart[2] - apart[1])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_share_lies_in_its_interval_and_that_has_a_width(groups: list[tuple[int, int]]) -> None:
    right = [a for a, _ in groups]
    found, low, high = share(right, [a + b for a, b in groups])
    if np.isnan(low):
        assert sum(a + b > 0 for a, b in groups) < intervals.LEAST_FOR_SHARE
    else:
        assert 0 <= low <= found <= high <= 1
        assert high - low > 0.01


def least(above: list[float], below: list[float], error: float = 0.05) -> float:
    return intervals.least_share(csr_array(np.array([above], float)), csr_array(np.array([below], float)), error=error)[
        0
    ]


def test_least_share_is_clopper_and_pearsons_bound_of_the_groups() -> None:
    assert least([1] * 30, [1] * 30) == least([2] * 30, [2] * 30) == pytest.approx(0.05 ** (1 / 30))
    exact = stats.beta.ppf(0.05, 20, 11)  # 20 of 30 right
    assert 0 < exact - least([1] * 20 + [0] * 10, [1] * 30) < 0.02  # groups are a sample: a little fewer are known
    assert least([0] * 30, [1] * 30) == 0
    assert np.isnan(least([1] * 3, [1] * 3))


def test_least_share_of_boxes_that_go_together_is_less() -> None:
    assert least([4, 0] * 10, [4] * 20) == pytest.approx(least([1, 0] * 10, [1] * 20), abs=0.02)
    assert least([4, 0] * 10, [4] * 20) < least([1, 0] * 40, [1] * 80) - 0.05


def drawn(values: np.ndarray, groups: int) -> tuple[float, float, float]:
    found = intervals.of_draws("f1", values[np.newaxis], np.array([groups]))
    return found["f1"][0], found["f1_low"][0], found["f1_high"][0]


def test_interval_is_of_the_draws_that_mean_something() -> None:
    values = np.random.default_rng(2).normal(size=101)
    values[51:] = np.nan
    found, low, high = drawn(values, 10**6)
    assert found == values[0]
    assert (low, high) == pytest.approx(tuple(np.percentile(values[1:51], (2.5, 97.5))), abs=1e-4)


def test_percentiles_lie_further_out_where_groups_are_few() -> None:
    values = np.random.default_rng(2).normal(size=4001)
    widths = [high - low for _, low, high in (drawn(values, groups) for groups in (20, 60, 10**6))]
    assert widths[0] > 1.05 * widths[1] > 1.05 * widths[2]


def test_fewer_than_twenty_groups_are_too_few_to_draw() -> None:
    values = np.random.default_rng(2).normal(size=401)
    assert np.isnan(drawn(values, 19)[1:]).all()
    assert not np.isnan(drawn(values, 20)).any()


def test_draws_that_all_give_one_or_nothing_are_taken_as_a_share_of_the_groups() -> None:
    bound = stats.beta.ppf(0.025, 25.5, 0.5)
    assert drawn(np.ones(401), 25) == pytest.approx((1.0, bound, 1.0))
    assert drawn(np.zeros(401), 25) == pytest.approx((0.0, 0.0, 1 - bound))
    assert np.isnan(drawn(np.full(401, 0.3), 25)[1:]).all()


def test_interval_of_what_has_no_meaning_is_missing() -> None:
    assert np.isnan(drawn(np.full(5, np.nan), 50)).all()

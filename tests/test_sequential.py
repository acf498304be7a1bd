"""An alarm that can be believed: at the accepted rate, the same however often one asks, sooner for larger changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.measures import sequential
from radloop.measures.sequential import BETS, LEARNING, Day

LIMIT = sequential.threshold(1, 1 / 30, 365)


@pytest.fixture(scope="module")
def undrifted() -> np.ndarray:
    """The surprises of streams in which nothing changes: [stream, block]."""
    values = np.random.default_rng(1).normal(130, 2.5, (1_500, LEARNING + 20))
    return np.array([sequential._surprises(row.tolist()) for row in values])


def gray(count: int, *, seed: int, shift: float = 0.0, begin: int = 0) -> list[Day]:
    """Days of 40 images with a mean gray value near 130, from `begin` on `shift` standard deviations higher."""
    noise = np.random.default_rng(seed).normal(0, 2.5, count)
    return [Day(day, 40, 40 * (130 + one + 2.5 * shift * (day >= begin))) for day, one in enumerate(noise)]


def shares(share: float, later: float, *, seed: int, count: int = 200, begin: int = 80) -> list[Day]:
    rng = np.random.default_rng(seed)
    return [Day(day, 45, float(rng.binomial(45, later if day >= begin else share))) for day in range(count)]


def alarm(days: list[Day], *, share: bool = False, limit: float = LIMIT) -> int | None:
    """The day on which the figure alarmed."""
    came = sequential.follow(days, limit, share=share)
    return None if came.alarm is None else came.blocks[came.alarm].last


@pytest.mark.parametrize("bet", BETS)
def test_an_e_value_is_worth_at_most_one_where_nothing_changes(bet, undrifted):
    for surprises in (undrifted, -undrifted):
        worth = np.exp(sequential._logs(surprises, bet))  # [stream, block]
        assert worth.min() >= 0
        error = worth.std(axis=0) / np.sqrt(len(worth))
        assert (worth.mean(axis=0) <= 1 + 3.5 * error).all()


@pytest.mark.parametrize("bet", [0.25, 0.5])
def test_nobody_gains_by_betting_on_where_nothing_changes(bet, undrifted):
    wealth = np.exp(np.cumsum(sequential._logs(undrifted, bet), axis=1))
    error = wealth.std(axis=0) / np.sqrt(len(wealth))
    assert (wealth.mean(axis=0) <= 1 + 3.5 * error).all()


@given(st.integers(0, 10_000), st.floats(-3, 3), st.integers(1, 119))
@settings(max_examples=40, deadline=None)
def test_what_was_found_stays_whatever_comes_later(seed, shift, cut):
    days = gray(120, seed=seed, shift=shift, begin=50)
    early, late = (sequential.follow(part, LIMIT, share=False) for part in (days[:cut], days))
    if early.alarm is not None:
        assert (early.alarm, early.begin, early.direction) == (late.alarm, late.begin, late.direction)
        assert early.statistic == pytest.approx(late.statistic)
    elif late.alarm is not None:
        assert late.blocks[late.alarm].last >= cut


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", range(12))
def test_a_larger_change_on_the_same_noise_never_alarms_later(seed, sign):
    found = [alarm(gray(160, seed=seed, shift=sign * shift, begin=60)) for shift in (1.0, 1.5, 2.5, 4.0, 8.0, 40.0)]
    days = [160 if day is None else day for day in found]
    assert days == sorted(days, reverse=True)
    assert days[-1] < 70


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_evidence_grows_with_every_surprise(surprises, more):
    few, many = (sequential._detector(np.array(surprises) + extra)[0] for extra in (0.0, more))
    up = [np.array([sequential._logs(np.array(surprises) + extra, bet) for bet in BETS]) for extra in (0.0, more)]
    assert (up[1] >= up[0]).all()
    assert min(few.min(), many.min()) >= 0


@pytest.mark.parametrize(("shift", "direction"), [(3.0, "up"), (-3.0, "down")])
def test_an_alarm_says_where_it_moved_and_since_when(shift, direction):
    came = sequential.follow(gray(120, seed=3, shift=shift, begin=60), LIMIT, share=False)
    assert came.direction == direction
    assert abs(came.blocks[came.begin].first - 60) <= 3
    assert came.usual == pytest.approx(130, abs=1)
    assert came.lately == pytest.approx(130 + 2.5 * shift, abs=2.5)


def test_half_of_a_class_missed_alarms():
    assert 80 <= alarm(shares(0.12, 0.06, seed=0), share=True) < 130


def test_one_odd_day_is_no_alarm():
    days = gray(100, seed=5)
    days[60] = Day(60, 40, 40 * 250.0)
    assert alarm(days) is None


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_is_always_so_or_never_is_too_few_to_say(value):
    days = [Day(day, 40, 40 * value) for day in range(300)]
    came = sequential.follow(days, LIMIT, share=True)
    assert not came.enough
    assert sequential.missing(days, share=True).startswith("too few to say: ")


def test_a_class_that_is_seldom_seen_is_too_few_to_say_until_it_was_seen_often_enough():
    days = [Day(day, 40, float(day % 4 == 0)) for day in range(400)]
    assert not sequential.follow(days[:230], LIMIT, share=True).enough  # 58 times
    came = sequential.follow(days, LIMIT, share=True)
    assert came.enough
    assert min(block.total for block in came.blocks) >= 4
    assert came.alarm is None


def test_a_figure_that_never_varied_has_nothing_to_be_measured_by():
    came = sequential.follow([Day(day, 40, 40 * 7.5) for day in range(60)], LIMIT, share=False)
    assert came.enough
    assert came.alarm is None


def test_days_of_few_images_are_taken_together():
    came = sequential.follow([Day(2 * day, 7, 7 * 3.0) for day in range(30)], LIMIT, share=False)
    assert {block.units for block in came.blocks} == {21}
    assert [(block.first, block.last) for block in came.blocks[:2]] == [(0, 4), (6, 10)]


def test_no_image_says_nothing():
    came = sequential.follow([], LIMIT, share=False)
    assert (came.units, came.enough, came.alarm) == (0, False, None)


@pytest.mark.parametrize("rate", [0, 1, 2, 12])
def test_more_false_alarms_than_accepted_are_rare_years(rate):
    years = np.random.default_rng(0).poisson(sequential.accepted(rate), 40_000)
    assert (years <= rate).mean() >= 0.945

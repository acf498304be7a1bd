"""Shares: an interval that covers what it should, also of few."""

import numpy as np
import pytest
from scipy.stats import binom

from radloop.measures import shares


@pytest.mark.parametrize("of", [1, 2, 5, 20, 100, 500])
def test_interval_covers_in_95_percent_on_the_mean_of_all_shares(of):
    intervals = np.array([shares.jeffreys(hits, of) for hits in range(of + 1)])
    grid = np.linspace(0.001, 0.999, 999)[:, np.newaxis]
    covers = (intervals[:, 0] <= grid) & (grid <= intervals[:, 1])
    coverage = (binom.pmf(np.arange(of + 1), of, grid) * covers).sum(axis=1)
    assert 0.94 <= coverage.mean() <= 0.98  # above of one or two, where an interval can hardly miss
    assert coverage.min() > 0.8


@pytest.mark.parametrize("of", [1, 3, 50])
def test_interval_is_never_without_width_and_holds_the_share_itself(of):
    for hits in range(of + 1):
        low, high = shares.jeffreys(hits, of)
        assert 0 <= low <= hits / of <= high <= 1
        assert high - low > 0.02


@pytest.mark.parametrize(("hits", "of"), [(1, 7), (3, 7), (12, 40)])
def test_ends_leave_a_fortieth_of_what_is_believed_on_either_side(hits, of):
    """By summing up Jeffreys' prior p^-½ (1-p)^-½ times the likelihood."""
    share = (np.arange(100_000) + 0.5) / 100_000
    belief = share ** (hits - 0.5) * (1 - share) ** (of - hits - 0.5)
    low, high = shares.jeffreys(hits, of)
    assert belief[share < low].sum() / belief.sum() == pytest.approx(0.025, abs=1e-4)
    assert belief[share > high].sum() / belief.sum() == pytest.approx(0.025, abs=1e-4)


def test_of_nothing_there_is_no_interval():
    assert shares.jeffreys(0, 0) is None

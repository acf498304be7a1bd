"""The search for the largest rate, against servers whose largest rate is known, on a virtual clock."""

import math

import numpy as np
import pytest
from benchmarks.queues import (
    SERVERS,
    SERVICE_MS,
    Server,
    longer_md1,
    longer_mm1,
    longer_mmc,
    many_servers,
    one_server,
    same,
)

from radloop.simulation import capacity


def search(name, seed=0, **changes):
    stays, bound, largest = SERVERS[name]
    found = capacity.search(Server(stays, seed=seed), bound_ms=bound * SERVICE_MS, start=0.5, **changes)
    return found, largest


@pytest.mark.parametrize(
    ("stays", "longer", "rate", "bound"),
    [
        pytest.param(SERVERS["M/M/1, bound 10"][0], longer_mm1, 0.5, 6, id="M/M/1"),
        pytest.param(one_server(same), longer_md1, 0.7, 5, id="M/D/1"),
        pytest.param(many_servers(4), longer_mmc(4), 3.0, 5, id="M/M/4"),
    ],
)
def test_simulated_servers_have_the_distribution_that_queueing_theory_gives(stays, longer, rate, bound):
    times = stays(rate, 200_000, np.random.default_rng(0))
    assert np.mean(times > bound) == pytest.approx(longer(rate, bound), rel=0.15)


@pytest.mark.parametrize("name", ["M/D/1, bound 5", "M/M/1, bound 50"])
def test_largest_rate_of_a_known_server_is_found_within_five_percent(name):
    found, largest = search(name)
    assert found.is_found
    assert found.kept.rate == pytest.approx(largest, rel=0.05)
    assert found.kept.rate < found.missed.rate <= found.kept.rate * (1 + capacity.TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["M/M/1, bound 10", "M/D/1, bound 20", "M/M/4, bound 8"])
def test_largest_rate_is_right_in_nearly_all_runs(name):
    """`benchmarks/capacity.py` counts a hundred."""
    runs = [search(name, seed) for seed in range(1, 6)]
    right = [abs(found.kept.rate / largest - 1) <= 0.05 for found, largest in runs]
    assert sum(right) >= 4


def test_where_time_is_over_it_says_what_is_known_and_not_that_it_is_found():
    turns = iter([True] * 8)
    found, largest = search("M/M/1, bound 50", goes_on=lambda: next(turns, False))
    assert not found.is_found
    assert found.missed is not None
    assert found.missed.rate > largest
    assert found.kept is None or found.kept.rate < largest


def test_a_rate_that_no_server_bears_is_given_up_after_few_requests_and_one_near_the_largest_takes_them_all():
    found, _ = search("M/D/1, bound 5")
    assert all(trial.queries < 200 for trial in found.trials if trial.rate > 1)
    near = [trial for trial in found.trials if trial.by_count]
    assert near
    assert all(trial.verdict in ("kept", "missed") and trial.queries == capacity.ENOUGH for trial in near)


def test_independent_requests_are_judged_as_loadgen_does():
    """459 requests within the bound say it with 99 % confidence (LoadGen); whoever looks 39 times needs 823 of them."""
    latencies = np.random.default_rng(0).uniform(0, 1, 2000)
    kept = [count for count in range(400, 2000) if capacity.judge(latencies[:count], 1.0, bound_ms=1.5) == "kept"]
    assert kept[0] >= math.ceil(math.log(0.01 / 39) / math.log(0.99)) == 823
    assert kept[0] < 2 * 823  # an effect of neighbours that chance shows


def test_no_rate_is_kept_before_a_minute_of_it():
    latencies = np.random.default_rng(0).uniform(0, 1, 4000)
    assert capacity.judge(latencies, 4000 / 61, bound_ms=1.5) == "kept"
    assert capacity.judge(latencies, 4000 / 59, bound_ms=1.5) is None


def test_requests_without_an_answer_are_over_the_bound():
    assert capacity.judge(np.full(64, math.inf), 1.0, bound_ms=1e9) == "missed"


def test_a_load_that_is_not_sent_on_time_finds_nothing():
    class Late(Server):
        late_share = 0.02

    found = capacity.search(Late(one_server(same), seed=0), bound_ms=5 * SERVICE_MS, start=0.5)
    assert (found.kept, found.missed, found.is_found) == (None, None, False)
    assert found.late is not None
    assert {trial.verdict for trial in found.trials} <= {"late", "unclear"}

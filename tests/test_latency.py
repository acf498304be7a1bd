"""What a percentile is known to be, and latencies of two detectors on the same images."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.measures import latency


def test_ratio_of_a_detector_that_takes_twice_as_long_is_two():
    first = np.random.default_rng(0).gamma(5, 2, 200)
    told = latency.compare(first, 2 * first)
    assert told["p95"]["ratio"] == pytest.approx(2)
    assert told["p95"]["ratio_low"] == pytest.approx(2)
    assert told["p50"]["first"] == np.quantile(first, 0.5)


def test_interval_of_equal_detectors_holds_one_and_few_images_have_none():
    rng = np.random.default_rng(1)
    told = latency.compare(rng.gamma(5, 2, 300), rng.gamma(5, 2, 300))
    assert told["p95"]["ratio_low"] < 1 < told["p95"]["ratio_high"]
    assert latency.compare(np.ones(19), np.ones(19))["p95"]["ratio_low"] is None


def test_percentiles_are_values_that_were_measured():
    values = [float(value) for value in range(1, 101)]
    assert [latency.percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert latency.percentile([7.0], 0.99) == 7.0
    assert latency.percentile(values[:20], 0.95) == 19
    assert math.isnan(latency.percentile([], 0.5))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_percentile_is_the_smallest_value_with_that_share_at_or_below(values, share):
    values.sort()
    found = latency.percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


@pytest.mark.parametrize(("share", "known"), [(0.5, 6), (0.95, 72), (0.99, 368)])
def test_percentile_of_too_few_requests_is_not_told(share, known):
    """From so many independent values on the largest exceeds the percentile with 97.5 %: 1 - share^n."""
    name = f"p{round(100 * share)}"
    few, enough = (latency.percentiles(np.arange(count), independent=count) for count in (known - 1, known))
    assert {few[f"{name}_ms"], few[f"{name}_low_ms"], few[f"{name}_high_ms"]} == {None}
    assert enough[f"{name}_low_ms"] < enough[f"{name}_ms"] <= enough[f"{name}_high_ms"]


def test_interval_of_a_percentile_holds_it_in_95_of_100_samples_and_wider_where_requests_resemble_each_other():
    rng = np.random.default_rng(3)
    apart = rng.exponential(size=(400, 500))
    alike = np.repeat(apart[:, :100], 5, axis=1)  # each request as long as four others beside it

    def held(samples, share):
        ends = [latency.percentiles(sample) for sample in samples]
        return np.mean([one[f"{share}_low_ms"] <= math.log(2) <= one[f"{share}_high_ms"] for one in ends])

    assert held(apart, "p50") >= 0.93
    assert held(alike, "p50") >= 0.9
    assert np.median([latency.worth(sample) for sample in apart]) > 300
    assert 60 < np.median([latency.worth(sample) for sample in alike]) < 120


def test_requests_without_an_answer_are_longer_than_any():
    told = latency.percentiles([1.0] * 50 + [math.inf] * 50, independent=100)
    assert (told["p50_ms"], told["p50_high_ms"], told["p95_ms"]) == (1.0, None, None)
    assert set(latency.percentiles([]).values()) == {None}

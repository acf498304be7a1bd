"""Latencies of two detectors on the same images."""

import numpy as np
import pytest

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

"""Draw 0 is the figure, the other draws are images drawn with replacement."""

import numpy as np
import pytest

from radloop.measures import bootstrap


def test_each_draw_holds_as_many_images_and_the_first_each_image_once() -> None:
    weights = bootstrap.draw_images(50, 20, seed=1)
    assert weights.shape == (50, 21)
    assert (weights[:, 0] == 1).all()
    assert (weights.sum(axis=0) == 50).all()
    assert (weights[:, 1:] != 1).any()


def test_kinds_are_drawn_in_their_shares() -> None:
    drawn = bootstrap.draw_kinds(np.random.default_rng(1), np.array([90, 10]), 2000)
    assert drawn[0].tolist() == [90, 10]
    assert (drawn.sum(axis=1) == 100).all()
    assert drawn[1:, 1].mean() == pytest.approx(10, abs=0.3)
    assert bootstrap.draw_kinds(np.random.default_rng(1), np.array([0, 0]), 3).tolist() == [[0, 0]] * 4


def test_sums_follow_the_drawn_images() -> None:
    weights = np.array([[1, 2], [1, 0]], dtype=np.float32)
    found = bootstrap.sums(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([3, 4, 5]), 2, weights)
    assert found.tolist() == [[7, 6], [5, 0]]


def test_sums_in_parts_are_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    weights = bootstrap.draw_images(20, 9, seed=1)
    summed = [(rng.integers(0, 7, 50), rng.integers(0, 20, 50), rng.random(50)) for _ in range(2)]
    monkeypatch.setattr(bootstrap, "AT_ONCE", 30)  # three keys with their ten draws
    parts = list(bootstrap.sums_by_part(summed, 7, weights))
    assert [(part.start, part.stop) for part, _ in parts] == [(0, 3), (3, 6), (6, 7)]
    for place, one in enumerate(summed):
        whole = bootstrap.sums(*one, 7, weights)
        np.testing.assert_array_equal(np.concatenate([found[place] for _, found in parts]), whole)
    empty = np.array([], dtype=np.int64)
    ((part, (none,)),) = bootstrap.sums_by_part([(empty, empty, empty)], 0, weights)
    assert (part, none.shape) == (slice(0, 0), (0, 10))

"""All pairs of one radiograph are found: by comparing each with each, in shards, and by an index."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radloop import comparison, engines, neighbors


class Cluster(engines.Local):
    """Sends work away as a cluster does: pickled."""

    many_machines = True

    def map(self, function, shards, *, cpus=1.0):
        sent = pickle.dumps(function)
        return (pickle.loads(sent)(pickle.loads(pickle.dumps(shard))) for shard in shards)


def varied(count, seed=0):
    """Smooth thumbnails, as unlike each other as radiographs: one mean, and variations that are less the finer."""
    rng = np.random.default_rng(seed)
    total = np.full((count, 32, 32), 128.0)
    for side, size in ((2, 30), (4, 40), (8, 12)):
        coarse = rng.normal(0, size, (count, side, side)) + np.random.default_rng(side).normal(0, size, (side, side))
        total += [np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC)) for one in coarse]
    return np.clip(total, 0, 255).astype(np.uint8)


def with_copies(small):
    """With a mirrored, an inverted, a moved and a darker one of the first eight each."""
    few = small[:8]
    moved = np.stack([np.asarray(Image.fromarray(one).resize((32, 32), box=(0, 0, 30.5, 31.0))) for one in few])
    return np.concatenate([small, few[:, :, ::-1], 255 - few, moved, few // 2 + 20])


def found(small, **how):
    return sorted({tuple(sorted(pair)) for pair in neighbors.pairs(small, **how).tolist()})


def by_brute_force(small):
    """One thumbnail beside one other at a time."""
    seen = [comparison.look(one[None]) for one in small]
    return sorted(
        (one, other)
        for other in range(len(small))
        for one in range(other)
        if len(comparison.compared(seen[one], seen[other])) or len(comparison.compared(seen[other], seen[one]))
    )


@pytest.fixture
def indexed(monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT", 10)


def test_copies_are_found_by_each_way_alike(monkeypatch):
    small = with_copies(varied(200))
    pairs = found(small)
    assert {(first, 200 + 8 * kind + first) for first in range(8) for kind in range(4)} <= set(pairs)
    assert found(small, engine=Cluster(2)) == pairs
    monkeypatch.setattr(neighbors, "ROWS", 17)
    monkeypatch.setattr(comparison, "ROWS", 17)
    assert found(small, engine=Cluster(3)) == pairs
    monkeypatch.setattr(neighbors, "EXACT", 10)
    assert found(small) == found(small, engine=Cluster(2)) == pairs


hostile = st.lists(
    st.sampled_from(["blank", "white", "two values", "inverted", "film", "mirrored", "noise", "dark", "spot"]),
    max_size=12,
)


def drawn(kinds):
    film = varied(1, seed=3)[0]
    two = np.where(film > np.median(film), 200, 30).astype(np.uint8)
    spot = np.zeros((32, 32), np.uint8)
    spot[10:20, 4:9] = 255
    pictures = {
        "blank": np.zeros_like(film),
        "white": np.full_like(film, 255),
        "two values": two,
        "inverted": 255 - film,
        "film": film,
        "mirrored": film[:, ::-1],
        "noise": np.random.default_rng(1).integers(0, 256, film.shape).astype(np.uint8),
        "dark": film // 16,
        "spot": spot,
    }
    return np.array([pictures[kind] for kind in kinds], np.uint8).reshape(-1, 32, 32)


@settings(max_examples=12)
@given(hostile)
def test_pairs_are_those_of_brute_force_also_of_hostile_pictures(kinds):
    small = drawn(kinds)
    assert found(small) == by_brute_force(small)


@pytest.mark.usefixtures("indexed")
def test_an_index_finds_the_same_pairs_of_hostile_pictures(monkeypatch):
    kinds = ["blank", "two values", "film", "inverted", "mirrored", "noise", "dark", "spot", "white", "film", "noise"]
    small = np.concatenate([drawn(kinds * 2), varied(100)])
    pairs = found(small)
    monkeypatch.setattr(neighbors, "EXACT", 1_000)
    assert found(small) == pairs


@pytest.mark.usefixtures("indexed")
def test_an_index_does_not_depend_on_threads(monkeypatch):
    small = with_copies(varied(300))
    several = found(small)
    monkeypatch.setattr(comparison.pl, "thread_pool_size", lambda: 1)
    assert found(small) == several


def test_pairs_do_not_depend_on_the_order_of_rows():
    small = with_copies(varied(60))
    order = np.random.default_rng(2).permutation(len(small))
    again = {tuple(sorted(order[list(pair)].tolist())) for pair in found(small[order])}
    assert again == set(found(small))


def test_only_beyond_the_exact_an_index_is_recorded():
    assert neighbors.recorded(neighbors.EXACT) == {}
    assert neighbors.recorded(1_500_000) == {
        "near_duplicates": {"index": "faiss.IndexIVFFlat", "lists": 16_384, "probes": 16, "radius": 0.8, "seed": 1}
    }


def test_one_thumbnail_or_none_has_no_pair():
    assert neighbors.pairs(np.zeros((0, 32, 32), np.uint8)).shape == (0, 2)
    assert neighbors.pairs(np.zeros((1, 32, 32), np.uint8)).shape == (0, 2)

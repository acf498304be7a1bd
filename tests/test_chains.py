"""The chain of each reviewer: heads, forks, gaps, what was forgotten, and what a pinned head finds."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.catalog import chains
from radloop.tables import REVIEWS

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def table(*links: tuple[str, str | None], reviewer: str = "ann") -> pl.DataFrame:
    """REVIEWS of (letter, the letter before): a letter sixteen times is an id."""
    rows = [
        {
            "review_id": letter * 16,
            "feedback_id": f"f{letter}",
            "reviewer": reviewer,
            "timestamp": NOON + timedelta(minutes=place),
            "previous": before and before * 16,
            "file": f"f{letter}.{reviewer}.{letter * 16}.json",
            "sha256": letter * 64,
        }
        for place, (letter, before) in enumerate(links)
    ]
    return pl.DataFrame(rows, schema=REVIEWS)


def forgotten(*links: tuple[str, str | None]) -> pl.DataFrame:
    rows = [(letter * 16, before and before * 16, NOON) for letter, before in links]
    return pl.DataFrame(rows, schema=chains.FORGOTTEN_REVIEWS, orient="row")


def named(told: pl.DataFrame) -> list[str]:
    return [one[0] for one in told["review_id"]]


def test_head_is_the_review_that_no_other_goes_on_from():
    told = chains.heads(pl.concat([table(("a", None), ("b", "a"), ("c", "b")), table(("d", None), reviewer="bob")]))

    assert dict(told.schema) == dict(chains.HEADS)
    assert told.rows() == [("ann", "c" * 16, "c" * 64, 3), ("bob", "d" * 16, "d" * 64, 1)]


def test_two_tabs_fork_a_chain_and_both_ends_are_heads():
    told = chains.of(table(("a", None), ("b", "a"), ("c", "a"), ("d", "c")))

    assert (named(told.heads), named(told.forks), told.gaps.height, told.roots) == (["b", "d"], ["b", "c"], 0, 1)


def test_missing_review_is_a_gap_and_a_circle_has_no_head():
    told = chains.of(table(("b", "a"), ("c", "b"), ("e", "f"), ("f", "e"), ("d", "e")))

    assert (named(told.gaps), named(told.heads), named(told.cycles)) == (["b"], ["c"], ["d", "e", "f"])


def test_review_of_another_reviewer_is_no_link():
    told = chains.of(pl.concat([table(("a", None)), table(("b", "a"), reviewer="bob")]))

    assert (named(told.gaps), named(told.heads)) == (["b"], ["a", "b"])


def test_chain_goes_on_through_what_was_forgotten():
    told = chains.of(table(("a", None), ("d", "c")), forgotten(("b", "a"), ("c", "b")))

    assert told.gaps.is_empty()
    assert told.heads.rows() == [("ann", "d" * 16, "d" * 64, 4)]
    assert chains.of(table(("d", "c")), forgotten(("c", "b"))).gaps["previous"].to_list() == ["c" * 16]


def test_words_that_are_no_ids_of_their_own_stay_apart_by_their_feedback():
    words = table(("a", None), ("b", None)).with_columns(review_id=pl.lit("1"))

    assert chains.heads(words)["review_id"].to_list() == ["fa.1", "fb.1"]
    assert chains.newest(words) == {}


@pytest.mark.parametrize(
    ("now", "codes"),
    [
        pytest.param([("a", None), ("b", "a"), ("c", "b")], [], id="as they were"),
        pytest.param([("a", None), ("b", "a"), ("c", "b"), ("d", "c")], [], id="gone on"),
        pytest.param([("a", None), ("b", "a")], ["review-deleted"], id="cut at the end"),
        pytest.param([("b", "a"), ("c", "b")], ["chain-cut"], id="cut at the beginning"),
        pytest.param([("x", None), ("y", "x"), ("z", "y")], ["review-deleted"], id="rewritten whole"),
        pytest.param([], ["review-deleted"], id="none left"),
    ],
)
def test_pinned_head_finds_what_was_cut_or_rewritten(now: list[tuple[str, str | None]], codes: list[str]):
    pinned = chains.heads(table(("a", None), ("b", "a"), ("c", "b")))

    assert chains.unlike(pinned, table(*now))["code"].to_list() == codes


def test_pinned_head_finds_other_bytes_and_accepts_what_was_forgotten():
    whole = table(("a", None), ("b", "a"))
    pinned = chains.heads(whole)

    assert chains.unlike(pinned, whole.with_columns(sha256=pl.lit("0" * 64)))["code"].to_list() == ["review-changed"]
    assert chains.unlike(pinned, table(("a", None)), forgotten(("b", "a"))).is_empty()
    assert chains.unlike(pinned, table(), forgotten(("b", "a"), ("a", None))).is_empty()
    assert chains.unlike(pinned, table(), forgotten(("b", "a")))["code"].to_list() == ["chain-cut"]


@given(st.lists(st.integers(0, 15), min_size=1, max_size=16), st.randoms(use_true_random=False))
def test_heads_reach_every_review_whatever_the_order_of_rows(befores: list[int], shuffled):
    letters = "0123456789abcdef"
    links = [(letters[place], None if before >= place else letters[before]) for place, before in enumerate(befores)]
    whole, mixed = table(*links), list(links)
    shuffled.shuffle(mixed)
    told, links_of = chains.of(whole), dict(links)
    reached, lengths = set(), []
    for head in named(told.heads):
        length, at = 0, head
        while at is not None:
            reached.add(at)
            length, at = length + 1, links_of[at]
        lengths.append(length)

    assert reached == set(links_of)
    assert lengths == told.heads["reviews"].to_list()
    assert chains.heads(table(*mixed)).equals(told.heads)


def test_next_review_goes_on_from_the_longest_chain():
    assert chains.newest(table(("a", None), ("b", "a"), ("c", None))) == {"ann": "b" * 16}
    assert chains.newest(table(("b", None), ("a", None))) == {"ann": "a" * 16}

"""The chain of each reviewer: every review names the one that its reviewer wrote before, of any feedback.

The id of a review is a hash of its bytes, and these hold the id of the one before: whoever has the head of a chain has
all of it. Two open tabs may fork a chain. Reviews of before there were chains are chains of their own, or amend each
other; all of that is legal. What was forgotten leaves a tombstone (FORGOTTEN_REVIEWS): the chain goes on through it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import polars as pl

from radloop.tables import TIME

# The head of a chain: a review that no other of its reviewer goes on from. sha256: of its file's bytes. reviews: how
# many the chain has from there to its beginning, it and those that were forgotten included.
HEADS: Final = pl.Schema(
    {"reviewer": pl.String(), "review_id": pl.String(), "sha256": pl.String(), "reviews": pl.Int64()}
)
# A review that was forgotten, by its id alone: it tells nothing to anybody without the bytes. `previous`: as it was.
FORGOTTEN_REVIEWS: Final = pl.Schema({"review_id": pl.String(), "previous": pl.String(), "forgotten_at": TIME})
NOTHING_FORGOTTEN: Final = FORGOTTEN_REVIEWS.to_frame()
# A review and the one that it names: one that is not there (gap), that others name, too (fork), or itself (cycle).
LINKS: Final = pl.Schema(
    {"reviewer": pl.String(), "review_id": pl.String(), "previous": pl.String(), "file": pl.String()}
)

# What was pinned and the reviews do not bear out. code: review-deleted, review-changed, chain-cut.
BROKEN: Final = pl.Schema(dict.fromkeys(("reviewer", "review_id", "code", "reason"), pl.String()))
OWN_ID: Final = r"^[0-9a-f]{16}$"  # of a review that radloop wrote: the hash of its bytes

_Key = tuple[str, str]  # reviewer, review_id


@dataclass(frozen=True)
class Chains:
    """The chains of a folder of reviews."""

    heads: pl.DataFrame  # HEADS, by reviewer and review_id
    forks: pl.DataFrame  # LINKS: the reviews that go on from one review, where these are several
    gaps: pl.DataFrame  # LINKS: whose `previous` is not there, nor was it forgotten
    cycles: pl.DataFrame  # LINKS: from which no beginning is reached; no hash allows it
    roots: int  # reviews that name none before


def heads(reviews: pl.DataFrame, forgotten: pl.DataFrame = NOTHING_FORGOTTEN) -> pl.DataFrame:
    """HEADS of all chains of REVIEWS; FORGOTTEN_REVIEWS are links like any other, and no head."""
    return of(reviews, forgotten).heads


def of(reviews: pl.DataFrame, forgotten: pl.DataFrame = NOTHING_FORGOTTEN) -> Chains:
    """The chains of REVIEWS, independent of the order of rows."""
    told = _told(reviews).sort("reviewer", "review_id")
    links = Links(told, forgotten)
    rows = {(row["reviewer"], row["review_id"]): row for row in told.iter_rows(named=True)}
    before = {key: links.living_before(key) for key in rows}
    followers = Counter(before.values())
    lengths = {key: links.length(key) for key in rows}

    def listed(keys: Iterable[_Key]) -> pl.DataFrame:
        return pl.DataFrame([[rows[key][name] for name in LINKS] for key in keys], schema=LINKS, orient="row")

    ends = [key for key in rows if not followers[key] and lengths[key]]
    return Chains(
        heads=pl.DataFrame([(*key, rows[key]["sha256"], lengths[key]) for key in ends], schema=HEADS, orient="row"),
        forks=listed(key for key, one in before.items() if one is not None and followers[one] > 1),
        gaps=listed(key for key in rows if links.is_gap(key)),
        cycles=listed(key for key in rows if not lengths[key]),
        roots=told["previous"].null_count(),
    )


def _told(reviews: pl.DataFrame) -> pl.DataFrame:
    """LINKS and sha256. A review that does not bear its own id bears that of its feedback, too: it may be any word."""
    review_id = pl.col("review_id")
    whole = pl.when(review_id.str.contains(OWN_ID)).then(review_id).otherwise(pl.col("feedback_id") + "." + review_id)
    told = reviews.select("reviewer", whole, "previous", "file", "sha256")
    return told.sort("file").unique(["reviewer", "review_id"], keep="first")


class Links:
    """What each review names, and what the forgotten ones named."""

    def __init__(self, told: pl.DataFrame, forgotten: pl.DataFrame) -> None:
        """Of a table with reviewer, review_id and previous, and of FORGOTTEN_REVIEWS."""
        rows = told.select("reviewer", "review_id", "previous").iter_rows()
        self.living = {(reviewer, review_id): previous for reviewer, review_id, previous in rows}
        self.forgotten: dict[str, str | None] = dict(forgotten.select("review_id", "previous").iter_rows())
        self._lengths: dict[_Key, int] = {}

    def is_link(self, key: _Key) -> bool:
        """Whether the review is there, or was forgotten."""
        return key in self.living or key[1] in self.forgotten

    def _named(self, key: _Key) -> _Key | None:
        """The review that one names, there or not."""
        named = self.living[key] if key in self.living else self.forgotten.get(key[1])
        return None if named is None else (key[0], named)

    def _way(self, key: _Key) -> Iterator[_Key]:
        """The review itself and every link before it, each once."""
        seen: set[_Key] = set()
        at: _Key | None = key
        while at is not None and at not in seen and self.is_link(at):
            yield at
            seen.add(at)
            at = self._named(at)

    def living_before(self, key: _Key) -> _Key | None:
        """The review before that is there, whatever was forgotten in between."""
        return next((one for one in islice(self._way(key), 1, None) if one in self.living), None)

    def is_gap(self, key: _Key) -> bool:
        """Whether what the review names, or what a forgotten one before it names, is neither there nor forgotten."""
        for one in self._way(key):
            if one != key and one in self.living:
                return False
            named = self._named(one)
            if named is not None and not self.is_link(named):
                return True
        return False

    def length(self, key: _Key) -> int:
        """How many links there are from a review to the beginning of its chain; 0: it never begins."""
        found = self._lengths
        way: dict[_Key, None] = {}
        at: _Key | None = key
        while at is not None and at not in found and at not in way and self.is_link(at):
            way[at] = None
            at = self._named(at)
        is_endless = at is not None and (at in way or found.get(at) == 0)
        length = 0 if at is None else found.get(at, 0)
        for one in reversed(way):
            length += 1
            found[one] = 0 if is_endless else length
        return found.get(key, 0)


def newest(reviews: pl.DataFrame, forgotten: pl.DataFrame = NOTHING_FORGOTTEN) -> dict[str, str]:
    """The head that the next review of each reviewer goes on from: that of the longest chain, of several the last said.

    reviews: REVIEWS. Only a review that bears its own id can be named.
    """
    said = reviews.select("reviewer", "review_id", "timestamp").unique(["reviewer", "review_id"])
    told = heads(reviews, forgotten).join(said, on=["reviewer", "review_id"])
    told = told.filter(pl.col("review_id").str.contains(OWN_ID)).sort("reviews", "timestamp", "review_id")
    return dict(told.select("reviewer", "review_id").iter_rows())


def unlike(pinned: pl.DataFrame, reviews: pl.DataFrame, forgotten: pl.DataFrame = NOTHING_FORGOTTEN) -> pl.DataFrame:
    """BROKEN: the HEADS that were `pinned` some time and that REVIEWS do not bear out now.

    A head that others go on from by now is borne out, and so is one that was forgotten.
    """
    told = _told(reviews)
    links = Links(told, forgotten)
    bytes_of = {(one, name): sha256 for one, name, sha256 in told.select("reviewer", "review_id", "sha256").iter_rows()}
    rows = []
    for reviewer, review_id, sha256, many in pinned.unique().sort(pl.all()).iter_rows():
        key, name = (reviewer, review_id), f"review {review_id} of {reviewer}"
        length = links.length(key)
        if not links.is_link(key):
            rows.append((*key, "review-deleted", f"{name}, the last of a chain of {many:,}, is not there any more"))
        elif key in bytes_of and bytes_of[key] != sha256:
            rows.append((*key, "review-changed", f"{name} has other bytes than it had"))
        elif length != many:
            rows.append((*key, "chain-cut", f"the chain up to {name} had {many:,} reviews, and has {length:,}"))
    return pl.DataFrame(rows, schema=BROKEN, orient="row")

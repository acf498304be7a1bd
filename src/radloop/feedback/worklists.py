"""Worklists: which images wait for whose eyes. And claims: who has which image on the desk.

`waiting` says what waits at all, `ordered` in which order, `worklist` what of it is one reader's. Which image is in a
list, and what is said of it there, hangs on what people said and on a lot, never on what the model thinks of it; but
for the list of suspects, which is what model and readers differ on.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final, get_args

import polars as pl

from radloop.catalog.rule import Rule
from radloop.feedback import audit, matching, queue, reading_times, reliability, suspects, weighing
from radloop.feedback.places import Places
from radloop.feedback.queue import Measured
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.tables import QUEUE, WORKLIST
from radloop.words import AUDIT, Worklist

KINDS: Final[tuple[Worklist, ...]] = get_args(Worklist)
CLAIM_SECONDS: Final = 1800.0

_DRAW: Final = (
    "read twice "  # apart from the audit's lot, or the images that tell how often the model is wrong were these
)
_DEFAULT: Final = Rule()
_PLACES: Final = Places()
_UNKNOWN: Final = Measured()
_NOBODY: Final = pl.Series([[]], dtype=pl.List(pl.String))


def waiting(
    judged: pl.DataFrame,
    reviewed: Reviews,
    detections: pl.DataFrame,
    *,
    seed: int,
    read_twice: float,
    held_out: bool = False,
    rule: Rule = _DEFAULT,
) -> pl.DataFrame:
    """The feedback that a review could still make something of (`queue.candidates`), one row an image.

    With `disputed`, `state`, `readers` (who has read the image; simulated ones where no person has), `last` (who spoke
    last of a disputed one) and `owed` (whose review of it cannot be read). The states:

    unread: nobody has read the image. second: one has, and the lot has drawn it (`read_twice` of all images, by id and
    seed) to be read by somebody else, too. disputed: its readers differ, or a review of it cannot be read; a final
    (adjudicated) read ends that. `held_out` takes in held-out images, whose reviews train nothing. That an image is one
    of the audit's is not said: it is to be read like any other.
    """
    standing, refused, unreadable = matching.match(reviewed, judged, detections, rule)
    sound = reviewed.reviews.join(refused, on="file", how="anti", maintain_order="left")
    read = weighing.heard(sound).drop("image_id").join(judged.select("feedback_id", "image_id"), on="feedback_id")
    read = read.filter(~pl.col("simulated") | pl.col("simulated").all().over("image_id"))
    by_image = read.group_by("image_id").agg(
        readers=pl.col("reviewer").unique().sort(), final=pl.col("adjudicates").any()
    )
    once = by_image.filter(pl.col("readers").list.len() == 1, ~pl.col("final"))["image_id"]
    again = once.filter(audit.lots(once, seed, _DRAW) < read_twice)
    last = read.sort("timestamp", "review_id", "file").group_by("feedback_id").agg(last=pl.col("reviewer").last())
    owed = (
        unreadable.select("feedback_id", owed=pl.col("file").str.split("/").list.last().str.split(".").list.get(1))
        .group_by("feedback_id")
        .agg(pl.col("owed").unique().sort())
    )
    state = pl.when("disputed").then(pl.lit("disputed")).when(pl.col("readers").is_null()).then(pl.lit("unread"))
    return (
        queue.candidates(judged, standing, unreadable, again=again, held_out=held_out)
        .join(by_image.drop("final"), on="image_id", how="left", maintain_order="left")
        .join(last, on="feedback_id", how="left", maintain_order="left")
        .join(owed, on="feedback_id", how="left", maintain_order="left")
        .with_columns(
            state=state.otherwise(pl.lit("second")),
            held_out=pl.when(pl.col("held_out") != AUDIT).then("held_out"),
        )
        .with_columns(pl.col("readers", "owed").fill_null(_NOBODY.first()))
    )


def measured(judged: pl.DataFrame, records: Records, readings: pl.DataFrame, reviewed: Reviews) -> Measured:
    """What orders and suspicions go by: how far detectors can be believed, and how long people read."""
    return Measured(
        reliability.of(judged, records.every_box, readings), reading_times.of(reviewed.reviews, reviewed.findings)
    )


def suspected(
    waits: pl.DataFrame,
    records: Records,
    readings: pl.DataFrame,
    known: Measured,
    *,
    seed: int,
    audit_share: float = audit.SHARE,
) -> pl.DataFrame:
    """SUSPECTS of what `waiting` says, at most one an image: the most probable error in the labels that there are.

    Of images that nobody has read through the loop, and that the lot has not drawn (`audit_share`): those come by their
    lot alone, or what is reviewed of them were no longer like what is not.
    """
    free = waits.filter(pl.col("state") == "unread", audit.lots(waits["image_id"], seed) >= audit_share)
    free = free.filter(pl.col("split").ne_missing(AUDIT))
    return suspects.worst(suspects.find(free, records.every_box, readings, known.reliable))


def ordered(
    waits: pl.DataFrame,
    records: Records,
    readings: pl.DataFrame,
    *,
    known: Measured = _UNKNOWN,
    places: Places = _PLACES,
    seed: int,
    doubted: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """WORKLIST of all that `waiting` says, by the order and the shares of `places` (`queue.order`).

    doubted: what `suspected` says of the same, where that is known already.
    """
    if doubted is None:
        doubted = suspected(waits, records, readings, known, seed=seed, audit_share=places.audit_share)
    queued = queue.order(
        waits,
        records.detections,
        readings,
        low=records.low,
        suspects=doubted,
        measured=known,
        places=places,
        seed=seed,
    )
    told = waits.join(doubted, on="feedback_id", how="left").select(
        "feedback_id", *(name for name in WORKLIST if name not in QUEUE)
    )
    return queued.join(told, on="feedback_id", maintain_order="left").match_to_schema(WORKLIST)


def worklist(
    kind: Worklist,
    reader: str,
    work: pl.DataFrame,
    *,
    adjudicates: bool = True,
    mine: Collection[str] = (),
    busy: Collection[str] = (),
) -> pl.DataFrame:
    """What of WORKLIST `work` is this reader's, in its order, with places from 1.

    unread: what nobody has read. twice: what waits for a second reader, and this one is not the first. disputed: what
    waits for a final (adjudicated) read, for a reader who `adjudicates` and has not spoken last. mine: of these what
    the reader has begun (`mine`, image ids); and disputes of the reader's own reads in which another spoke last, or
    whose review by this reader cannot be read. next: what to read now, that is unread, twice, and behind them those
    disputes that this reader adjudicates and has said nothing of. suspects: what nobody has read and whose labels are
    suspected, the most suspected first, by the kind of that. all: everything that waits for anybody.

    `busy` are images that others have on the desk: nobody else is given them, but in `all` they stand.
    """
    ours = pl.col("readers").list.contains(reader)
    others_spoke = pl.col("last").ne_missing(reader)
    state = pl.col("state")
    unread, second, disputed = (state == name for name in ("unread", "second", "disputed"))
    final = disputed & others_spoke & pl.lit(adjudicates)
    open_to = unread | (second & ~ours) | final
    begun, taken = (pl.col("image_id").is_in(pl.Series(ids, dtype=pl.String).implode()) for ids in (mine, busy))
    waits_for_word = disputed & ((ours & others_spoke) | pl.col("owed").list.contains(reader))
    lists: dict[Worklist, pl.Expr] = {
        "all": pl.lit(value=True),
        "next": open_to & ~(disputed & ours) & ~taken,
        "mine": (open_to & begun & ~taken) | waits_for_word,
        "unread": unread & ~taken,
        "twice": second & ~ours & ~taken,
        "disputed": final & ~taken,
        "suspects": unread & pl.col("suspicion").is_not_null() & ~taken,
    }
    chosen = work.filter(lists[kind])
    if kind == "next":  # a final read is no blind one: it comes when those are done
        chosen = chosen.sort(disputed, maintain_order=True)
    if kind == "suspects":
        chosen = chosen.sort("suspected", descending=True, maintain_order=True).with_columns(kind="suspicion")
    return chosen.with_columns(place=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


class Claims:
    """Who has which image on the desk, so that no two are given the same one unawares.

    In the memory of one server. A claim ends when it is released, or `seconds` after it was last renewed. Nothing is
    forbidden by one: whoever opens an image by its address is told who has it. Safe for any number of threads.
    """

    def __init__(self, seconds: float = CLAIM_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, str, float]] = {}  # image -> reader, session, until

    def claim(self, image_id: str, reader: str, session: str = "") -> str | None:
        """Take or renew the image; None: this session of the reader has it now. Else who has it, and it stays theirs.

        Of two sessions of one reader the second is answered with the reader's own id.
        """
        with self._lock:
            return self._claim(image_id, reader, session)

    def first(self, image_ids: Iterable[str], reader: str, session: str = "") -> str | None:
        """Take the first of the images that is free, or that this session has already; None where there is none."""
        with self._lock:
            return next((one for one in image_ids if self._claim(one, reader, session) is None), None)

    def release(self, image_id: str, reader: str, session: str = "") -> None:
        """Give the image back, if this session has it."""
        with self._lock:
            if self._holder(image_id) == (reader, session):
                del self._held[image_id]

    def of(self, reader: str) -> list[str]:
        """The images that the reader has, in any session, sorted."""
        return self._where(lambda holder, _: holder == reader)

    def others(self, reader: str, session: str = "") -> list[str]:
        """The images that anybody else has, or another session of the same reader, sorted."""
        return self._where(lambda *holder: holder != (reader, session))

    def _where(self, holds: Callable[[str, str], bool]) -> list[str]:
        with self._lock:
            now = self._clock()
            self._held = {image: held for image, held in self._held.items() if held[2] > now}
            return sorted(image for image, (reader, session, _) in self._held.items() if holds(reader, session))

    def _claim(self, image_id: str, reader: str, session: str) -> str | None:
        holder = self._holder(image_id)
        if holder not in (None, (reader, session)):
            return holder[0]
        self._held[image_id] = (reader, session, self._clock() + self._seconds)
        return None

    def _holder(self, image_id: str) -> tuple[str, str] | None:
        reader, session, until = self._held.get(image_id, ("", "", self._clock()))
        return (reader, session) if until > self._clock() else None

"""Feedback -> what deserves a radiologist's look, or the reviews of simulated radiologists."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from radloop import files
from radloop.catalog import chains, truth, version
from radloop.catalog.rule import Rule
from radloop.catalog.version import Version
from radloop.errors import UsageError
from radloop.feedback import audit, guard, matching, queue, radiologists, reliability, reviews, worklists
from radloop.feedback.logged import Writer
from radloop.feedback.queue import Measured
from radloop.feedback.reviews import Review as Written
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import NEEDED, Records
from radloop.options import Review
from radloop.pipelines import coming_back
from radloop.progress import Progress, silent
from radloop.tables import EDGES, FINDINGS, TRUTH
from radloop.taxonomy import Taxonomy
from radloop.words import Order, Worklist

# No select: that would start threads of polars when the module is imported, which a fork does not survive.
_NO_READINGS: Final = pl.Schema(
    {name: FINDINGS[name] for name in ("image_id", "rad_id", "class_id", *EDGES)}
).to_frame()
_DRAW: Final = "simulated "  # a lot of its own for which images simulated radiologists are given


@dataclass(frozen=True)
class Queued:
    """What is most worth a look."""

    # WORKLIST; split and file of the feedback, class_id, class_name and confidence of its top box; for a reader only
    # what does not tell what the model said
    queue: pl.DataFrame
    feedback: int
    reviews: int
    disputed: int
    worklist: Worklist
    reader: str | None  # whose
    order: Order
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reviewed:
    """What the simulated radiologists wrote, or with --dry-run would write."""

    folder: Path
    looked_at: int  # feedback files
    written: int  # reviews
    verdicts: Mapping[str, int]
    disputed: int  # feedback files on which they differ now
    done: bool = True  # False with --dry-run
    notes: tuple[str, ...] = ()


def review(options: Review, *, progress: Progress = silent) -> Queued | Reviewed:
    """Order the feedback, or let simulated radiologists review it. Raises UsageError where not one of them is asked."""
    if options.simulated == options.queue:
        raise UsageError("radloop review takes --queue or --simulated. People review in the dashboard.")
    of_a_reader = options.worklist not in ("all", "suspects")
    if (options.simulated and options.worklist != "all") or (of_a_reader and not options.reader):
        raise UsageError(f"--worklist {options.worklist} is a reader's: give --queue and --reader ID.")
    return order(options, progress=progress) if options.queue else simulate(options, progress=progress)


def order(options: Review, *, progress: Progress = silent) -> Queued:
    """Order the feedback that a review could still make something of; nothing is written."""
    known, found, said, judged = _look(options, progress)
    waits = worklists.waiting(
        judged,
        said,
        found.detections,
        seed=options.seed,
        read_twice=options.read_twice,
        held_out=options.held_out,
    )
    measured = worklists.measured(judged, found, known.readings, said)
    work = worklists.ordered(waits, found, known.readings, known=measured, places=options.places, seed=options.seed)
    reader = options.reader or ""
    chosen = worklists.worklist(options.worklist, reader, work, adjudicates=options.may_adjudicate(reader))
    return Queued(
        _told_to_reader(chosen) if options.reader else _told(chosen, waits, known.taxonomy),
        found.feedback.height,
        said.reviews.height,
        waits.filter("disputed").height,
        options.worklist,
        options.reader,
        options.order,
        _of_unknown_detectors(measured, waits.join(known.readings, on="image_id", how="semi")),
    )


def _of_unknown_detectors(measured: Measured, labelled: pl.DataFrame) -> tuple[str, ...]:
    if measured.reliable or labelled.is_empty():
        return ()
    splits = ",".join(reliability.SPLITS)
    return (
        f"no label is suspected of an error: no detector is known well enough. `radloop simulate --splits {splits}` "
        f"shows it images whose truth is known; it takes {reliability.LEAST} boxes of that truth, and of its own",
    )


def _told(chosen: pl.DataFrame, waits: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    class_id = pl.col("class_id")
    shown = waits.select(
        "feedback_id",
        "split",
        classes.to_file(class_id),
        classes.named(class_id).alias("class_name"),
        "confidence",
        "file",
    )
    return chosen.join(shown, on="feedback_id", maintain_order="left")


def _told_to_reader(chosen: pl.DataFrame) -> pl.DataFrame:
    """Without what would tell a reader what the model said, or who else has read the image."""
    return chosen.select("place", "feedback_id", "image_id", "state", "held_out")


def simulate(
    options: Review, *, share: float = 1.0, readings: pl.DataFrame = _NO_READINGS, progress: Progress = silent
) -> Reviewed:
    """Let simulated radiologists look at all feedback that a review could make something of.

    Of all images they are given a `share`, drawn by lot. They see the truth of each image (`catalog.truth`), and err
    like the dataset's readers. The second run settles what the first left disputed, and completes what it was killed
    in.

    Of an incoming image nobody knows the truth: it is not looked at, and the notes say so, but where `readings`
    (image_id, rad_id, class_id and EDGES) tell it, as of generated patients.
    """
    folder, writing = options.reviews_folder, not options.dry_run
    playing = coming_back.wait(options, progress)
    with files.locked(options.out, writing=writing, durable=options.durable):
        known, found, said, judged = _look(options, progress)
        standing, _, unreadable = matching.match(said, judged, found.detections, Rule())
        waits = judged.join(unreadable, on="feedback_id", how="semi")  # for a person's review: nobody else decides
        everything, started = (
            table.join(waits, on="image_id", how="anti").filter(_drawn(pl.col("image_id"), options.seed, share))
            for table in (queue.candidates(judged, standing), _begun(judged, standing))
        )
        told = pl.concat([known.readings, readings.join(known.readings, on="image_id", how="anti")], how="diagonal")
        open_feedback, begun = (table.join(told, on="image_id", how="semi") for table in (everything, started))
        wanted = pl.concat([open_feedback, begun])
        there_is = _truth(told.join(wanted, on="image_id", how="semi"))
        planned = list(radiologists.review(wanted, found.detections, there_is, known.taxonomy, seed=options.seed))
        written = _new(planned, begun["feedback_id"], said, folder, known.taxonomy)
        writer = Writer(folder, known.taxonomy, "radloop review", durable=options.durable) if writing else None
        for done, review in enumerate(written, 1):
            if writer is not None:
                writer.write(review)
            if done % 100 == 0 or done == len(written):
                progress("reviews", done, len(written))
    said = reviews.read(folder, known.taxonomy, convention=options.convention, now=datetime.now(UTC))
    standing, *_ = matching.match(said, judged, found.detections, Rule())
    return Reviewed(
        folder,
        open_feedback.height,
        len(written),
        dict(Counter(review.verdict for review in written).most_common()),
        standing.filter("disputed").height,
        done=writing,
        notes=(*playing, *_of_unknown_truth(everything.height - open_feedback.height)),
    )


def _new(planned: Sequence[Written], begun: pl.Series, said: Reviews, folder: Path, classes: Taxonomy) -> list[Written]:
    """Those that are not there, as they follow their readers' last ones; in an order of their own, for a killed run.

    begun: the feedback files that one reader has read; where that was another than these, nobody reads on.
    """
    about = said.reviews.filter(pl.col("feedback_id").is_in([one.feedback_id for one in planned]))
    there: dict[str, list[Written]] = {}
    for feedback_id, file in about.select("feedback_id", "file").iter_rows():
        written = reviews.decode((folder / file).read_bytes(), classes, name=Path(file).name)
        there.setdefault(feedback_id, []).append(written)
    again = {
        id(one): any(reviews.says_again(_plain(one), each) for each in there.get(one.feedback_id, ()))
        for one in planned
    }
    others = set(begun) - {one.feedback_id for one in planned if again[id(one)]}
    left = [one for one in planned if not again[id(one)] and one.feedback_id not in others]
    ordered = sorted(left, key=lambda one: (datetime.fromisoformat(one.timestamp), one.feedback_id, one.reviewer))
    return list(reviews.following(ordered, chains.newest(said.links, said.forgotten)))


def _plain(review: Written) -> Written:
    """The review as it is read again."""
    return msgspec.json.decode(reviews.encode(review), type=Written)


def _of_unknown_truth(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    what = "incoming image has feedback" if count == 1 else "incoming images have feedback"
    return (f"{count:,} {what} and no truth that anybody knows: simulated radiologists were not given them",)


def _drawn(image_id: pl.Expr, seed: int, share: float) -> pl.Expr:
    return image_id.map_batches(lambda ids: audit.lots(ids, seed, _DRAW), pl.Float64) < share


def _begun(judged: pl.DataFrame, standing: pl.DataFrame) -> pl.DataFrame:
    """Feedback that one simulated radiologist has reviewed: a killed run may owe it a second."""
    once = standing.filter(pl.col("simulated"), ~pl.col("adjudicates"), pl.col("reviewers") == 1)
    return judged.join(once, on="feedback_id", how="semi").with_columns(disputed=pl.lit(value=False))


def _truth(readings: pl.DataFrame) -> pl.DataFrame:
    """TRUTH, and a row without class for each image in which nobody saw anything."""
    drawn = readings.filter(pl.col("class_id").is_not_null())
    normal = readings.join(drawn, on="image_id", how="anti").select(TRUTH.names()).unique()
    return pl.concat([truth.of(readings), normal])


def _look(options: Review, progress: Progress) -> tuple[Version, Records, Reviews, pl.DataFrame]:
    known = version.read(options.dataset_folder)
    classes = known.taxonomy
    found = coming_back.feedback(
        options, known, keep=not options.dry_run, columns=NEEDED, jobs=options.jobs, progress=progress
    )
    said = reviews.read(options.reviews_folder, classes, convention=options.convention, now=datetime.now(UTC))
    return known, found, said, guard.judge(found.feedback, known.images)

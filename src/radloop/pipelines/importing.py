"""What people drew in another tool -> reviews of the feedback that they began from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from radloop import files, spreadsheets
from radloop.catalog import chains, version
from radloop.catalog.classes import wishes
from radloop.dataset.export.cvat import FEEDBACK
from radloop.errors import UNDECODABLE, AnnotationError, FeedbackError, StrictError
from radloop.feedback import elsewhere, reviews
from radloop.feedback.elsewhere import Drawn, Opinion
from radloop.feedback.logged import Writer
from radloop.feedback.reviews import Review
from radloop.options import Import
from radloop.pipelines import coming_back
from radloop.progress import Progress, silent
from radloop.sources.bundle import Bundle
from radloop.sources.formats import cvat, label_studio
from radloop.sources.formats.readings import Export, Reading
from radloop.tables import SINGLE_READER
from radloop.taxonomy import Taxonomy, normal
from radloop.words import REVIEWED, several

_SPEAKING: Final = msgspec.json.Decoder(dict[str, dict[str, str]])

REFUSED_FILE: Final = "refused-import.csv"
REFUSED: Final = pl.Schema(
    {
        "place": pl.String,
        "line": pl.Int64,
        "feedback_id": pl.String,
        "image_id": pl.String,
        "reviewer": pl.String,
        "code": pl.String,
        "reason": pl.String,
    }
)


@dataclass(frozen=True)
class Imported:
    """What people said elsewhere, as reviews."""

    file: Path
    folder: Path
    readings: int  # that were submitted
    unread: int  # images that nobody submitted anything on
    written: int
    known: int  # of readings: said nothing new
    verdicts: Mapping[str, int]  # of what was written
    reviewers: int
    refused: pl.DataFrame  # REFUSED
    notes: tuple[str, ...] = ()
    done: bool = True  # False with --dry-run


def import_reviews(options: Import, *, progress: Progress = silent) -> Imported:
    """Write a review for each annotation that says something new; twice the same file is once.

    Raises AnnotationError for a file that is not the tool's, FeedbackError where a label is no class of the dataset or
    nothing in it speaks of this dataset's feedback, and StrictError where anything is refused and --strict was given.
    """
    folder, writing = options.reviews_folder, not options.dry_run
    with files.locked(options.out, writing=writing, durable=options.durable):
        known = version.read(options.dataset_folder)
        classes, now = known.taxonomy, datetime.now(UTC)
        export = _export(options)
        renamed = wishes(None, options.map).renamed
        labels = (box.class_name for one in export.readings for box in one.boxes)
        elsewhere.require_classes((renamed.get(normal(name), name) for name in labels), classes)
        feedback = coming_back.feedback(options, known, keep=writing, jobs=options.jobs, progress=progress)
        there = reviews.read(folder, classes, convention=options.convention, now=now)

        told = feedback.feedback.select("feedback_id", "image_id", "timestamp")
        about = {row["feedback_id"]: row for row in told.iter_rows(named=True)}
        shown = elsewhere.shown(feedback.detections, {one.feedback_id for one in export.readings if one.feedback_id})
        planned: list[Review] = []
        refused: list[tuple[Any, ...]] = []
        untouched = 0
        for one in export.readings:
            try:
                opinion = _opinion(one, export, classes, renamed, options, now)
                made = elsewhere.review(opinion, about, shown.get(opinion.feedback_id, ()))
                if made.verdict == "accept" and not one.is_submitted:
                    untouched += 1
                    continue
                planned.append(reviews.decode(reviews.encode(made), classes, name=reviews.file_name(made), now=now))
            except FeedbackError as wrong:
                refused += _refused(one, wrong)
        rejected = pl.DataFrame(refused, schema=REFUSED, orient="row")
        unusable = [one for one in export.readings if _leaves_waiting(one, about, there.reviews, options, now)]
        _require_any(options, export, len(planned) + untouched + len(unusable), rejected)
        heads = chains.newest(there.links, there.forgotten)
        written = elsewhere.new(planned, there.reviews, lambda name: _load(folder / name, classes), heads)

        if options.strict and rejected.height:
            raise StrictError(_strictly(rejected))
        if writing:
            _beside(options.out / REFUSED_FILE, rejected)
            _write(options, classes, written, unusable, progress)
    return Imported(
        file=options.file,
        folder=folder,
        readings=len(export.readings),
        unread=export.unread + untouched,
        written=len(written),
        known=len(planned) - len(written),
        verdicts=dict(Counter(review.verdict for review in written).most_common()),
        reviewers=len({review.reviewer for review in written}),
        refused=rejected,
        notes=(*export.notes, *_notes(unusable, untouched)),
        done=writing,
    )


def _write(
    options: Import, classes: Taxonomy, written: Sequence[Review], unusable: Sequence[Reading], progress: Progress
) -> None:
    writer = Writer(options.reviews_folder, classes, "radloop import", durable=options.durable)
    for one in unusable:
        writer.write_unusable(
            feedback_id=str(one.feedback_id),
            image_id=str(one.image_id),
            reviewer=one.reader,
            why=f"{options.format}: {one.refused[0].reason}",
        )
    for done, review in enumerate(written, 1):
        writer.write(review)
        if done % 100 == 0 or done == len(written):
            progress("reviews", done, len(written))


def _leaves_waiting(
    one: Reading, about: Mapping[str, Mapping[str, object]], there: pl.DataFrame, options: Import, now: datetime
) -> bool:
    """Whether somebody submitted on a feedback what no review can hold, and has said nothing else of it since."""
    if one.verdict != "void" or one.reader == SINGLE_READER or not one.feedback_id:
        return False
    if about.get(one.feedback_id, {}).get("image_id") != one.image_id:
        return False
    said = there.filter(feedback_id=one.feedback_id, reviewer=one.reader)["timestamp"]
    try:
        return bool((said < options.convention.utc(one.timestamp or "", now)[0]).all())
    except FeedbackError:  # it tells no time
        return said.is_empty()


def _export(options: Import) -> Export:
    if options.format == "label-studio":
        return label_studio.export(Bundle(options.file))
    export = cvat.export(Bundle(options.file))
    speaking = _speaking(options)
    return replace(export, readings=[_named(one, speaking) for one in export.readings])


def _speaking(options: Import) -> Mapping[str, Mapping[str, str]]:
    """{name of an image in CVAT: what it is of}: feedback.json beside the file, else in the folder of the export."""
    places = [options.file.parent / FEEDBACK, options.out / "export" / "cvat" / FEEDBACK]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FeedbackError(
            f"there is no {FEEDBACK} beside {options.file} or in {places[1].parent}: it says which feedback an image "
            "of CVAT is of. `radloop export --format cvat` wrote it; put that one beside the file."
        )
    try:
        return _SPEAKING.decode(path.read_bytes())
    except UNDECODABLE as broken:
        raise FeedbackError(f"{path} is not what `radloop export` wrote: {broken}.") from broken


def _named(one: Reading, speaking: Mapping[str, Mapping[str, str]]) -> Reading:
    told = speaking.get(one.file) or speaking.get(one.file.rpartition("/")[2]) or {}
    return replace(one, image_id=told.get("image_id"), feedback_id=told.get("feedback_id"))


def _opinion(
    one: Reading, export: Export, classes: Taxonomy, renamed: Mapping[str, str], options: Import, now: datetime
) -> Opinion:
    """A reading in the dataset's own terms. Raises FeedbackError."""
    if one.verdict == "void":
        raise FeedbackError("what was drawn cannot be used", code="reading-void")
    if not one.feedback_id or not one.image_id:
        raise FeedbackError(
            "it is not known which feedback the image is of: `radloop export` makes tasks that tell. As labels of a "
            f"new dataset the file is read by `radloop extract --format {options.format}`",
            code="feedback-missing",
        )
    if one.reader == SINGLE_READER:
        raise FeedbackError("it does not tell whose it is: assign the task to its reader", code="reader-missing")
    if one.timestamp is None:
        raise FeedbackError("it tells no time", code="bad-timestamp")
    time, _ = options.convention.utc(one.timestamp, now)
    return Opinion(
        feedback_id=one.feedback_id,
        image_id=one.image_id,
        reviewer=one.reader,
        kind=one.verdict,
        findings=_drawn(one.boxes, one, export, classes, renamed),
        timestamp=time,
        seconds=one.seconds,
        comment=one.comment,
        within=one.within,
        began_from=None if one.shown is None else _drawn(one.shown, one, export, classes, renamed),
    )


def _drawn(listed: Iterable[Any], one: Reading, export: Export, classes: Taxonomy, renamed: Mapping[str, str]) -> Drawn:
    """Boxes as fractions of the picture; what has no class here has the number -1."""
    if export.boxes == "percent":
        width, height = 100.0, 100.0
    elif one.width and one.height:
        width, height = float(one.width), float(one.height)
    else:
        raise FeedbackError("it does not tell the picture's size", code="size-missing")
    drawn = []
    for box in listed:
        number = classes.number(renamed.get(normal(box.class_name), box.class_name))
        x_min, y_min, x_max, y_max = box.xyxy
        edges = (x_min / width, y_min / height, x_max / width, y_max / height)
        drawn.append((-1 if number is None else number, edges))
    return drawn


def _load(path: Path, classes: Taxonomy) -> Review:
    return reviews.decode(path.read_bytes(), classes, name=path.name)


def _refused(one: Reading, wrong: FeedbackError) -> list[tuple[Any, ...]]:
    """What of a reading cannot be used: each of its parts, or the whole."""
    whose = (one.feedback_id, one.image_id, one.reader or None)
    if one.verdict == "void":
        return [(lost.place, lost.line, *whose, lost.code, lost.reason) for lost in one.refused]
    return [(one.place, one.line, *whose, wrong.code, str(wrong))]


def _require_any(options: Import, export: Export, usable: int, refused: pl.DataFrame) -> None:
    """Raise where the file holds nothing of this dataset: it is another's, or the wrong export."""
    if export.readings and not usable:
        raise FeedbackError(
            f"{options.file}: none of {several(len(export.readings), 'annotation')} can be a review here, such as "
            f"{refused['place'][0]}: {refused['reason'][0]}. Nothing was written.",
            code="nothing-imported",
        )
    if not export.readings and not export.unread:
        raise AnnotationError(f"{options.file} holds no task. Export the project again.")


def _strictly(refused: pl.DataFrame) -> str:
    return (
        f"{several(refused.height, 'annotation')} refused, such as {refused['place'][0]}: {refused['reason'][0]}. "
        "With --strict nothing is written."
    )


def _beside(path: Path, refused: pl.DataFrame) -> None:
    """OUT/refused-import.csv: what could not be used, until an import has nothing to refuse."""
    if refused.is_empty():
        path.unlink(missing_ok=True)
    else:
        files.write_atomic(path, spreadsheets.csv(refused))


def _notes(unusable: Sequence[Reading], untouched: int) -> tuple[str, ...]:
    without = len({one.feedback_id for one in unusable})
    said = (
        (
            untouched,
            f"{several(untouched, 'image')} with the boxes as they were exported and no tag: taken for not read. "
            f"A tag {REVIEWED!r} says that they are right",
        ),
        (
            without,
            f"{several(without, 'feedback file')} with an annotation that no review can hold: it waits for its "
            "reader's next one, and trains nothing meanwhile",
        ),
    )
    blind = "the tool shows the boxes at once: no read is blind, and who was shown boxes follows them"
    return (blind, *(sentence for count, sentence in said if count))

"""The images that filters ask for, and the boxes of a detector on them: true, false and missed."""

import polars as pl

from radloop import people
from radloop.catalog.rule import Rule
from radloop.dashboard import loop, samples
from radloop.dashboard.filters import Filters
from radloop.dashboard.loading import Dataset, Feedback, measured
from radloop.dashboard.loop import LOOKED_AT, Where
from radloop.measures import drift
from radloop.tables import CLASS_ID, DETECTOR, EDGES
from radloop.taxonomy import NOTHING, Taxonomy

MISSED = "missed"
_READ = pl.col("readers").list.len() > 0  # of what nobody has read it is unknown whether there is a finding
BOXES = pl.Schema(
    {"image_id": pl.String(), "class_id": CLASS_ID, "confidence": pl.Float64()}
    | dict.fromkeys(EDGES, pl.Float64())
    | {"outcome": pl.String()}
)  # of a detector; of what it missed, confidence is null; outcome is null where no truth is known


def where(asked: Filters) -> Where:
    """Which feedback is asked for, whatever it says."""
    return Where(asked.site, asked.device, asked.since, asked.until)


def images(found: Dataset, said: Feedback | None, asked: Filters) -> pl.DataFrame:
    """The rows of `samples.images` that are asked for, in the order that is asked for."""
    listed = samples.images(found)
    if asked.split is not None:
        listed = listed.filter(split=asked.split)
    for reader in asked.readers:
        listed = listed.filter(pl.col("readers").list.contains(reader))
    if asked.group is not None:
        own = found.images.filter(group=asked.group) if "group" in found.rows.columns else found.rows.clear()
        listed = listed.join(own, on="image_id", how="semi")
    if asked.boxes is not None:
        listed = listed.filter(_READ, boxes=asked.boxes)
    if asked.contains:
        listed = listed.filter(pl.col("image_id").str.contains(asked.contains, literal=True))
    if asked.finding is not None or asked.seen_by is not None or asked.at is not None:
        listed = _drawn(listed, found, asked)
    listed = _of_feedback(listed, found, said, asked) if asked.of_feedback else _labelled(listed, found, asked)
    if asked.measure is not None:
        listed = listed.join(_measured(found, said, asked), on="image_id", how="semi")
    return _ordered(listed, asked)


def _labelled(listed: pl.DataFrame, found: Dataset, asked: Filters) -> pl.DataFrame:
    """By the classes of the labels in use; with readers, of what one of them drew."""
    rows = _rows(found, asked)
    for name in asked.classes:
        if name == NOTHING:
            listed = listed.filter(_READ).join(rows.filter(pl.col("class_id").is_not_null()), on="image_id", how="anti")
        else:
            own = rows.filter(class_id=found.taxonomy.names.index(name))
            listed = listed.join(own, on="image_id", how="semi")
    return listed


def _rows(found: Dataset, asked: Filters) -> pl.DataFrame:
    """The labels in use, of the readers that are asked for."""
    return found.labels.filter(pl.col("rad_id").is_in(asked.readers)) if asked.readers else found.labels


def _drawn(listed: pl.DataFrame, found: Dataset, asked: Filters) -> pl.DataFrame:
    """By whether, by how many people and where a box of the classes was drawn."""
    rows = _rows(found, asked).filter(pl.col("class_id").is_not_null())
    if asked.finding is not None:
        listed = listed.filter(_READ).join(rows, on="image_id", how="semi" if asked.finding == "yes" else "anti")
    own = rows
    if asked.classes and NOTHING not in asked.classes:
        own = rows.filter(pl.col("class_id").is_in([found.taxonomy.names.index(name) for name in asked.classes]))
    if asked.at is not None:
        x, y = asked.at
        over = [
            pl.lit(value).is_between(f"{axis}_min_norm", f"{axis}_max_norm") for axis, value in (("x", x), ("y", y))
        ]
        listed = listed.join(own.filter(*over), on="image_id", how="semi")
    if asked.seen_by is not None:
        seen = people.persons(own).group_by("image_id", "class_id").agg(persons=pl.col("rad_id").n_unique())
        listed = listed.join(seen.filter(pl.col("persons") >= asked.seen_by), on="image_id", how="semi")
    return listed


def _of_feedback(listed: pl.DataFrame, found: Dataset, said: Feedback | None, asked: Filters) -> pl.DataFrame:
    """By what a detector said, where that is asked; else by the labels of images that have such feedback."""
    if said is None:
        return listed.clear()
    needed = said.records.feedback.select(*DETECTOR, *LOOKED_AT, "feedback_id", "image_id", "class_id", "confidence")
    given = where(asked).of(needed)
    if asked.model is not None:
        detector = {"model": asked.model, "model_version": asked.version or ""}
        given = given.with_columns(pl.col(tuple(detector)).fill_null("")).filter(**detector)
    listed = listed.join(given, on="image_id", how="semi")
    if asked.outcome is not None:
        return _with_boxes(listed, boxes(found, said, asked).filter(outcome=asked.outcome), asked, found.taxonomy)
    if asked.of_boxes:
        return _with_boxes(listed, _said_boxes(said, given, asked), asked, found.taxonomy)
    if asked.model is not None and asked.classes and NOTHING not in asked.classes:
        return _with_boxes(listed, boxes(found, said, asked), asked, found.taxonomy)
    return _labelled(listed, found, asked)


def _said_boxes(said: Feedback, given: pl.DataFrame, asked: Filters) -> pl.DataFrame:
    """image_id, class_id, confidence: the boxes of that feedback in the range, or its "No finding"."""
    above, up_to = asked.min_confidence, 1 if asked.max_confidence is None else asked.max_confidence
    confident = pl.col("confidence") <= up_to
    if above is not None:
        confident &= pl.col("confidence") > above
    if NOTHING in asked.classes:
        nothing = pl.lit(said.taxonomy.nothing, CLASS_ID)
        told = given.filter(pl.col("class_id").is_null()).with_columns(class_id=nothing)
    else:
        told = said.records.detections.join(given, on="feedback_id", how="semi")
    return told.filter(confident)


def _with_boxes(listed: pl.DataFrame, known: pl.DataFrame, asked: Filters, classes: Taxonomy) -> pl.DataFrame:
    for name in asked.classes or (None,):
        own = known if name is None else known.filter(class_id=_number(classes, name))
        listed = listed.join(own, on="image_id", how="semi")
    return listed


def _number(classes: Taxonomy, name: str) -> int:
    return classes.nothing if name == NOTHING else classes.names.index(name)


def boxes(found: Dataset, said: Feedback, asked: Filters) -> pl.DataFrame:
    """BOXES: those of the detector in the range of confidence, and what it missed of the truth from there on.

    Of each image its newest feedback of those that are asked for. Without a range, boxes that a reader is shown (from
    the rule's `doubtful` on).
    """
    return _boxes(found, said, detector(asked, said), where(asked), asked.min_confidence, asked.max_confidence)


def detector(asked: Filters, said: Feedback) -> tuple[str, str]:
    """Whose boxes are meant: those of the one that is asked for, else of the newest feedback."""
    newest = said.records.feedback.tail(1)  # the table is by time
    first = (newest["model"][0] or "", newest["model_version"][0] or "") if newest.height else ("", "")
    return first if asked.model is None else (asked.model, asked.version or "")


@measured
def _boxes(
    found: Dataset, said: Feedback, own: tuple[str, str], here: Where, above: float | None, up_to: float | None
) -> pl.DataFrame:
    judged, known = _judged(found, said, own, here)
    confident = pl.col("confidence") >= Rule().doubtful if above is None else pl.col("confidence") > above
    inside = confident & (pl.col("confidence") <= (1 if up_to is None else up_to))
    missed = judged.filter(pl.col("outcome") == "truth", (~confident).fill_null(value=True)).with_columns(
        confidence=pl.lit(None, pl.Float64), outcome=pl.lit(MISSED)
    )
    told = judged.filter(pl.col("outcome") != "truth", inside)
    rest = _unjudged(said, own, here).join(known, on="image_id", how="anti")
    return pl.concat([part.select(BOXES.names()) for part in (told, missed, rest.filter(inside))])


def _judged(found: Dataset, said: Feedback, own: tuple[str, str], here: Where) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`loop.outcomes`; nothing where a table alone does not tell which picture is held out."""
    if loop.has_images(found):
        return loop.outcomes(found, said, own, here)
    return pl.DataFrame(schema=BOXES), pl.DataFrame(schema={"image_id": pl.String})


def _unjudged(said: Feedback, own: tuple[str, str], here: Where) -> pl.DataFrame:
    """BOXES of the newest feedback on each image, whether they are right or not is not asked."""
    newest = _given(said, own, here).sort("timestamp", "feedback_id").unique("image_id", keep="last")
    told = said.records.every_box.join(newest, on="feedback_id", how="semi")
    return told.with_columns(outcome=pl.lit(None, pl.String))


def _given(said: Feedback, own: tuple[str, str], here: Where, *columns: str) -> pl.DataFrame:
    """The feedback of one detector from there: who gave it, LOOKED_AT, feedback_id, image_id and these columns."""
    needed = said.records.feedback.select(*DETECTOR, *LOOKED_AT, "feedback_id", "image_id", *columns)
    given = here.of(needed).with_columns(pl.col(DETECTOR).fill_null(""))
    return given.filter(model=own[0], model_version=own[1])


def _measured(found: Dataset, said: Feedback | None, asked: Filters) -> pl.DataFrame:
    """image_id: where a measure of `measures.drift` lies in the range: of feedback if that is asked, or of labels."""
    if said is not None and asked.of_feedback:
        table = _summaries(found, said, detector(asked, said), where(asked))
    else:
        table = _labels(found)
    if asked.measure not in table.columns or asked.measure == "image_id" or table[asked.measure].dtype == pl.String:
        return table.clear()
    value = pl.col(asked.measure).cast(pl.Float64)
    low = value >= asked.low if asked.low is not None else pl.lit(value=True)
    high = value < asked.high if asked.high is not None else pl.lit(value=True)
    return table.filter(value.is_not_null(), low, high).select("image_id")


@measured
def _labels(found: Dataset) -> pl.DataFrame:
    return drift.of_annotations(found.labels, found.taxonomy)


@measured
def _summaries(found: Dataset, said: Feedback, own: tuple[str, str], here: Where) -> pl.DataFrame:
    given = _given(said, own, here, "mean", "std", "sharpness")
    return drift.of_feedback(given, said.records.detections, said.taxonomy)


def _ordered(listed: pl.DataFrame, asked: Filters) -> pl.DataFrame:
    if asked.order == "boxes":
        return listed.sort("boxes", "image_id", descending=[True, False])
    if asked.order == "id":
        return listed.sort("image_id")
    by = ["disagreement", "boxes", "image_id"]
    return listed.sort(by, descending=[True, True, False], nulls_last=True)

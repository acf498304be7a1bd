"""How it reads what became of feedback: simulated, reviewed, evaluated, made into re-training data, explained."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from radloop import tree
from radloop.catalog import judging, kept, rule
from radloop.display import Grid, Summary
from radloop.feedback import arrivals
from radloop.feedback.orders import ORDERS
from radloop.measures import calibration
from radloop.measures.intervals import LEAST_FOR_DRAWS
from radloop.measures.latency import PERCENTILES
from radloop.pipelines.evaluating import Evaluated, Evaluation
from radloop.pipelines.explaining import Explanation
from radloop.pipelines.online import Simulation
from radloop.pipelines.retraining import Retrained
from radloop.pipelines.reviewing import Queued, Reviewed
from radloop.summaries import capacity
from radloop.summaries.figures import interval, percentile, short
from radloop.summaries.registry import of, status
from radloop.tables import DETECTOR
from radloop.words import Exit, Order, several

MOST_IN_QUEUE = 20
_LABEL_FIGURES = ("precision", "recall", "ap")
_SURE = f" above {rule.Rule().doubtful:g}"  # of the boxes that calibration takes

_COLUMNS = {
    "requests": "sent",
    "errors": "errors",
    "late": "late",
    "dropped": "dropped",
    "per_second": "/s",
    "p50_ms": "p50",
    "p95_ms": "p95",
    "p99_ms": "p99",
    "max_ms": "max",
}


@of.register
def _simulated(record: Simulation) -> Summary:
    shown = f"{record.pictures:,} pictures of {record.address} to {record.pacs or record.detector}"
    show, showed = ("send", "sent") if record.pacs else ("show", "showed")
    if not record.ran:
        return Summary(f"would {show} {shown}; nothing was sent", notes=record.notes)
    if record.capacity is not None:
        return capacity.summary(record, record.capacity)
    stages = [(f"{row['stage']} × {row['load']}", row) for row in record.stages.iter_rows(named=True)]
    rows: list[tuple[str, Mapping[str, Any]]] = [*stages, ("all", record.total)]
    # late and dropped are for arrivals on a clock
    columns = [name for name in _COLUMNS if name not in ("late", "dropped") or record.total[name]]
    head = ("stage × load", *(_COLUMNS[name] for name in columns))
    cells = [
        (stage, *(percentile(row, name) if name in PERCENTILES else short(row[name]) for name in columns))
        for stage, row in rows
    ]
    return Summary(
        f"{showed} {shown}{', stopped by a signal' if record.stopped else ''}",
        facts=(
            ("run", record.run_id),
            ("stored", f"{record.total['feedback']:,} studies of one image")
            if record.pacs
            else ("feedback", f"{record.total['feedback']:,} files in {record.feedback}"),
            ("errors", ", ".join(f"{times:,}× {kind}" for kind, times in record.errors.items()) or "none"),
            ("retries", f"{record.total['retries']:,}"),
            ("log", str(record.log)),
        ),
        grids=(Grid("requests; latencies in ms", (head, *cells)),),
        notes=(*([record.failure] if record.failure else []), *record.notes),
    )


@status.register
def _answered(record: Simulation) -> Exit:
    return Exit.FAILED if record.failure else Exit.DONE


@of.register
def _queued(record: Queued) -> Summary:
    head, rows, facts = _for_reader(record) if record.reader else _for_all(record)
    whose = f" of {record.reader}, {record.worklist}" if record.reader else ""
    return Summary(
        f"to look at{whose}: {several(record.queue.height, 'feedback')}",
        facts=(
            ("feedback", f"{record.feedback:,}, with {several(record.reviews, 'review')}"),
            ("disputed", f"{record.disputed:,}"),
            ("order", "most suspected first" if record.worklist == "suspects" else _order(record.order)),
            *facts,
        ),
        grids=(Grid("most worth a radiologist's look", (head, *rows)),) if rows else (),
        notes=(
            *(("a review of a held-out image trains nothing",) if record.queue["held_out"].count() else ()),
            *record.notes,
        ),
        following=("radloop dashboard",) if rows else (),
    )


_Facts = tuple[tuple[str, str], ...]
_Table = tuple[tuple[str, ...], list[tuple[str, ...]], _Facts]


def _for_all(record: Queued) -> _Table:
    rows: list[tuple[str, ...]] = [
        (
            f"{row['place']}",
            row["feedback_id"],
            row["image_id"],
            f"{row['class_name']} {row['confidence']:.2f}",
            f"{_figure(row):.3f}",
            row["kind"],
            row["state"],
        )
        for row in record.queue.head(MOST_IN_QUEUE).iter_rows(named=True)
    ]
    head = ("place", "feedback", "image", "top finding", "score", "place by", "state")
    return head, rows, (("places", _counted(record.queue["kind"])), ("states", _counted(record.queue["state"])))


def _order(name: Order) -> str:
    return f"{name}: {ORDERS[name].says}"


def _figure(row: Mapping[str, Any]) -> float:
    """What the place of an image goes by."""
    by_suspicion = row["kind"] == row["suspicion"]
    figure = row["suspected"] if by_suspicion else row["score"] if row["missed"] is None else row["missed"]
    return float(figure)


def _for_reader(record: Queued) -> _Table:
    """Nothing here tells a reader what the model said."""
    shown = record.queue.head(MOST_IN_QUEUE).select("place", "feedback_id", "image_id", "state", "held_out")
    rows: list[tuple[str, ...]] = [
        (f"{place}", feedback_id, image_id, state, held_out or "")
        for place, feedback_id, image_id, state, held_out in shown.iter_rows()
    ]
    return ("place", "feedback", "image", "state", "held out"), rows, (("states", _counted(record.queue["state"])),)


def _counted(values: pl.Series) -> str:
    counts = values.alias("of").value_counts().sort("count", "of", descending=[True, False])
    return ", ".join(f"{count:,} {value}" for value, count in counts.iter_rows()) or "none"


@of.register
def _reviewed(record: Reviewed) -> Summary:
    verdicts = ", ".join(f"{times:,} {verdict}" for verdict, times in record.verdicts.items())
    return Summary(
        f"simulated radiologists {'wrote' if record.done else 'would write'} {several(record.written, 'review')} "
        f"on {several(record.looked_at, 'feedback')}",
        facts=(("verdicts", verdicts or "none"), ("disputed", f"{record.disputed:,}"), ("folder", str(record.folder))),
        notes=(
            *record.notes,
            *(("run it again, and a third reader adjudicates what is disputed",) if record.disputed else ()),
        ),
        following=("radloop retrain",),
    )


@of.register
def _retrained(record: Retrained) -> Summary:
    report = record.report
    fates = " + ".join(f"{count:,} {fate}" for fate, count in report["fates"].items())
    sources = ", ".join(f"{count:,} {source}" for source, count in report["rows"].items())
    why = [(fate, code, f"{count:,}", example) for fate, code, count, example in record.reasons.iter_rows()]
    classes = [(name, f"{count:,}") for name, count in report["classes"].items()]
    flatters = "--include-held-out was used: figures on the held-out splits flatter from here on"
    trains = report["rows_that_train"]
    return Summary(
        f"re-training data {record.version}{'' if record.done else '; nothing was written'}"
        if record.version
        else "no re-training data",
        facts=(
            ("feedback", f"{report['feedback']:,} = {fates}"),
            ("rows", f"{sources or 'none'}, of {several(report['images'], 'image')}; {trains:,} train"),
            ("reviews", f"{report['reviews_used']:,} used, {sum(report['reviews_refused'].values()):,} refused"),
            *((("incoming", arrivals.words(report["incoming"])),) if "incoming" in report else ()),
            ("boxes", f"{report['boxes_fused']:,} fused, {report['boxes_cut_at_the_edge']:,} cut at the edge"),
            *((("folder", str(record.folder)),) if record.version else ()),
            *((("published", record.published.address),) if record.published else ()),
        ),
        grids=tuple(
            Grid(title, (head, *rows))
            for title, head, rows in (
                ("why feedback does not train", ("fate", "code", "feedback", "for example"), why),
                ("rows of retrain.csv", ("class", "rows"), classes),
            )
            if rows
        )
        + _proven(record.thresholds, report[rule.KEY]["precision"]),
        notes=(*record.notes, *((flatters,) if report[rule.KEY]["include_held_out"] else ())),
        following=_after_retraining(record),
    )


def _proven(thresholds: pl.DataFrame, wish: float) -> tuple[Grid, ...]:
    """From which confidence on each class of each model is a label; nothing where one confidence is for all."""
    head = ("class", "labels above", "boxes", "groups", "right", "at least", "most at any")
    return tuple(
        Grid(
            f"{judging.name(*model)}: thresholds at which {wish:g} are right on validation images",
            (head, *(_proven_class(row) for row in own.iter_rows(named=True))),
        )
        for model, own in thresholds.group_by(*DETECTOR, maintain_order=True)
    )


def _proven_class(row: Mapping[str, Any]) -> tuple[str, ...]:
    above = f"{row['above']:g}" if row["above"] is not None else "none"
    least = "too few" if row["too_few"] else f"{row['low']:.2f}"
    most = "–" if row["reach"] is None else f"{row['reach']:.2f}"
    return row["class_name"], above, f"{row['boxes']:,}", f"{row['groups']:,}", f"{row['precision']:.2f}", least, most


def _after_retraining(record: Retrained) -> tuple[str, ...]:
    """What to do with the table: only rows that train can be added."""
    if not record.version:
        return ()
    if not record.report["rows_that_train"]:
        return ("radloop dashboard: a row trains once a person has reviewed it",)
    return (f"radloop etl --source … --previous … --add {record.folder / tree.RETRAIN_TABLE}",)


@of.register
def _explained(record: Explanation) -> Summary:
    first, *rest = record.tree.lines()
    return Summary(first, lines=tuple(rest))


@of.register
def _evaluated(record: Evaluation) -> Summary:
    names = {each.model for each in record.models}
    return Summary(
        f"{len(names)} detector{'s' * (len(names) > 1)} judged by what two readers of an image drew, or its only one",
        facts=(
            ("dataset", f"version {record.version}"),
            *(
                ("left out", f"{several(each.feedback, 'feedback')}{_on_images(each.images)}: {each.reason}")
                for each in record.left_out
            ),
        ),
        grids=tuple(
            grid
            for grids in (*map(_judged, record.models), [_by_month(record)], [_following(record.following)])
            for grid in grids
            if len(grid.rows) > 1
        ),
        notes=record.notes,
    )


def _judged(each: Evaluated) -> list[Grid]:
    return [_scores(each), _as_labels(each), _calibrated(each)]


def _by_month(record: Evaluation) -> Grid:
    """The audit images of each month, and beside them the test split."""
    rows = [
        (
            judging.name(row["model"], row["model_version"]),
            f"audit, {row['month'] or 'all months'}",
            f"{row['read']:,} of {row['images']:,}" + f" ({row['simulated']:,} simulated)" * bool(row["simulated"]),
            f"{row['truth']:,}",
            interval(row, "ap") if row["read"] else "unknown: none is read",
        )
        for row in record.audit.iter_rows(named=True)
    ]
    tested = [
        (each.model, "test split", f"{each.images:,}", f"{each.truth:,}", interval(each.map_40, "ap"))
        for each in record.models
        if each.split == "test" and rows
    ]
    head = ("detector", "images", "read", "boxes", "mAP@0.4")
    return Grid("on this hospital's audit images, which never train, by what people read there", (head, *rows, *tested))


def _following(followed: pl.DataFrame) -> Grid:
    rows = [
        (
            row["reviewer"] or ("all simulated readers" if row["simulated"] else "all readers"),
            f"{row['reads']:,}",
            f"{row['asked']:,}",
            *(interval(row, name) for name in ("follow", "follow_right", "follow_wrong", "mistaken")),
        )
        for row in followed.filter(pl.col("asked") > 0).iter_rows(named=True)
    ]
    head = ("reader", "reads", "classes", "followed", "model right", "model wrong", "followed, wrong")
    return Grid("how often readers follow the model where their blind read said something else", (head, *rows))


def _on_images(images: int | None) -> str:
    return "" if images is None else f" on {several(images, 'image')}"


def _scores(each: Evaluated) -> Grid:
    classes = each.classes.filter(pl.col("class_id").is_not_null(), pl.col("truth") > 0)
    rows = (
        ("images", f"{each.images:,} of the split {each.split}, in {several(each.groups, 'group')}"),
        ("boxes of the truth", f"{each.truth:,}"),
        ("boxes that count", kept.words(each.cut, told=each.cut_told, top_box_only=each.top_box_only)),
        ("classes with truth", f"{classes.height:,}; mAP is their mean"),
        ("mAP@0.4", interval(each.map_40, "ap")),
        ("mAP@0.5", interval(each.map_50, "ap")),
        ("mAP@0.4 against each reader alone", _alone(each)),
        ("found at 1 false box an image", _found(each)),
        ("calibration error", calibration_error(each.calibration_error, each.calibration_floor)),
    )
    return Grid(f"{each.model} on {each.split}, with 95 % intervals", (("figure", "value"), *rows))


def _alone(each: Evaluated) -> str:
    """The range over the readers who drew enough."""
    drew = each.readers.drop_nulls("map")
    if drew.is_empty():
        return "–"
    enough = drew.filter(~pl.col("few"))["map"].to_list()
    few = drew.height - len(enough)
    spread = f"{min(enough):.2f} to {max(enough):.2f} ({len(enough)} readers)" if enough else "too few"
    return f"{spread}; {few} more drew on fewer than {LEAST_FOR_DRAWS} groups" if few and enough else spread


def _found(each: Evaluated) -> str:
    """The sensitivity of all classes together at one false box an image, or what it is at least."""
    at_one = each.froc.sensitivity.filter(pl.col("class_id").is_null(), rate=1)
    if at_one.is_empty():
        return "–"
    row = at_one.row(0, named=True)
    least = f"at least {row['at_least']:.2f}: the boxes that were kept make fewer"
    return least if row["sensitivity"] is None else interval(row, "sensitivity")


def calibration_error(error: float | None, floor: tuple[float, float] | None) -> str:
    """The calibration error beside what a perfectly calibrated detector shows on as many boxes."""
    said = calibration.words(error, floor)
    return said if error is None else f"{error:.3f} of the boxes{_SURE}; {said}"


def _as_labels(each: Evaluated) -> Grid:
    rows = [
        (
            row["class_name"] or "all",
            f"{row['truth']:,}",
            f"{row['labels']:,}",
            *(interval(row, name) for name in _LABEL_FIGURES),
        )
        for row in each.classes.iter_rows(named=True)
    ]
    head = ("class", "truth", "labels", "precision", "recall", "AP@0.4")
    title = f"{each.model} on {each.split}: what is {each.label_words}, taken as labels"
    return Grid(title, (head, *rows))


def _calibrated(each: Evaluated) -> Grid:
    rows = [
        (
            f"{row['low']:.1f}–{row['high']:.1f}{_trains(row, each)}",
            f"{row['predictions']:,}",
            interval(row, "correct"),
        )
        for row in each.calibration.filter(pl.col("predictions") > 0).iter_rows(named=True)
    ]
    title = f"{each.model} on {each.split}: how often its boxes{_SURE} are right"
    return Grid(title, (("confidence", "predictions", "right"), *rows))


def _trains(row: Mapping[str, Any], each: Evaluated) -> str:
    """Whether what lies in a bin of confidence would be a label: all of it, a part, or nothing."""
    least = each.min_confidence
    if each.label_words != f"above {least:g}":
        return ""
    if row["low"] >= least:
        return " trains"
    return f" trains {each.label_words}" if row["high"] > least else ""

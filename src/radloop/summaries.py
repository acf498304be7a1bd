"""How each pipeline's result reads on a terminal."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import polars as pl

from radloop import tree
from radloop.catalog import rule
from radloop.catalog.version import Difference
from radloop.display import Grid, Summary, size
from radloop.pipelines.checking import Report
from radloop.pipelines.demo import Demonstration
from radloop.pipelines.evaluating import Evaluated, Evaluation
from radloop.pipelines.explaining import Explanation
from radloop.pipelines.offline import Extracted, Loaded, Transformed
from radloop.pipelines.online import Simulation
from radloop.pipelines.retraining import Retrained
from radloop.pipelines.reviewing import Queued, Reviewed
from radloop.storage.publish import Published
from radloop.storage.pull import Pulled
from radloop.tables import SPLITS

MOST_REASONS = 10
MOST_VIOLATIONS = 20
MOST_IN_QUEUE = 20
_LABEL_FIGURES = ("precision", "recall", "ap")
LARGE = 100  # from here on a measure is shown without decimals

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


@singledispatch
def of(record: Any) -> Summary:
    """The summary of what a pipeline returned."""
    raise TypeError(f"no summary for {type(record).__name__}")


@of.register
def _extracted(record: Extracted) -> Summary:
    if record.rows is None:
        return Summary(f"{record.name} can be extracted; nothing was written")
    return Summary(
        f"extracted {record.name}",
        facts=(
            ("annotations", f"{record.annotations} ({record.rows:,} rows of {record.images:,} images)"),
            ("pictures", str(record.pictures) if record.pictures else "none: --annotations-only"),
        ),
        following=() if record.pictures is None else ("radloop transform",),
    )


@of.register
def _transformed(record: Transformed) -> Summary:
    reasons = [(code, f"{rows:,}", example) for code, rows, example in record.refused.head(MOST_REASONS).iter_rows()]
    rest = record.refused.height - len(reasons)
    grids = [Grid("images by split", (SPLITS, tuple(f"{record.images[split]:,}" for split in SPLITS)))]
    if reasons:
        more = [(f"… and {rest} more reasons", "", "")] if rest else []
        head = ("reason", "rows", "for example")
        grids.append(Grid("refused rows, all of them in rejected.csv", (head, *reasons, *more)))
    if record.difference:
        grids += _differences(record.difference)
    worst = record.worst
    return Summary(
        f"dataset version {record.version}",
        facts=(
            ("folder", f"{record.organized}{'' if record.written else ' (nothing was written)'}"),
            ("images", f"{sum(record.images.values()):,} with {record.labels:,} label files"),
            ("rows", f"{record.rows_in:,} in = {record.rows_out:,} out + {record.rows_refused:,} refused"),
            (
                "left out",
                f"{record.unlabelled_pictures:,} pictures without rows, {record.lost_readings:,} readings lost",
            ),
            (
                "balance",
                f"worst is {worst['class_name']} in {worst['split']}: {worst['images']} images, "
                f"its share is {worst['expected']:.1f}",
            ),
        ),
        grids=tuple(grids),
        notes=record.notes,
    )


def _differences(found: Difference) -> list[Grid]:
    """What changed since the version that --previous names."""
    images = Grid(
        "against the version before",
        (
            ("images", "before", "after", "added", "removed", "other labels", "moved"),
            (
                "",
                *(f"{count:,}" for count in found.images),
                *(f"{len(ids):,}" for ids in (found.added, found.removed, found.changed, found.moved)),
            ),
        ),
    )
    changed = found.labels.filter(pl.col("before") != pl.col("after"))
    rows = [(name, f"{before:,}", f"{after:,}") for name, before, after in changed.iter_rows()]
    return [images, *([Grid("rows in use, by class", (("class", "before", "after"), *rows))] if rows else [])]


@of.register
def _published(record: Published) -> Summary:
    before = f" (was {record.previous_version})" if record.previous_version else ""
    return Summary(
        f"published {record.version} to {record.address}{before}",
        facts=(
            ("sent", f"{record.sent_files:,} files, {size(record.sent_bytes)}"),
            ("copied there", f"{record.copied:,} files, no bytes sent"),
            ("unchanged", f"{record.unchanged:,} files"),
            ("removed", f"{record.removed:,} files"),
        ),
        notes=record.notes,
    )


@of.register
def _pulled(record: Pulled) -> Summary:
    return Summary(
        f"pulled version {record.version}" if record.version else "pulled a dataset without a manifest",
        facts=(
            ("files", f"{record.files:,}"),
            ("received", f"{record.received_files:,} files, {size(record.received_bytes)}"),
        ),
        notes=record.notes,
    )


@of.register
def _loaded(record: Loaded) -> Summary:
    parts = [of(record.extracted), of(record.transformed), of(record.published)]
    return Summary(
        parts[1].title,
        facts=tuple(fact for part in parts for fact in part.facts),
        grids=tuple(grid for part in parts for grid in part.grids),
        notes=tuple(note for part in parts for note in part.notes),
        following=(f"radloop check {record.published.address}",),
    )


@of.register
def _simulated(record: Simulation) -> Summary:
    shown = f"{record.pictures:,} pictures of {record.address} to {record.detector}"
    if not record.ran:
        return Summary(f"would show {shown}; nothing was sent", notes=record.notes)
    stages = [(f"{row['stage']} × {row['load']}", row) for row in record.stages.iter_rows(named=True)]
    rows: list[tuple[str, Mapping[str, Any]]] = [*stages, ("all", record.total)]
    # late and dropped are for arrivals on a clock
    columns = [name for name in _COLUMNS if name not in ("late", "dropped") or record.total[name]]
    head = ("stage × load", *(_COLUMNS[name] for name in columns))
    cells = [(stage, *(_short(row[name]) for name in columns)) for stage, row in rows]
    return Summary(
        f"showed {shown}{', stopped by a signal' if record.stopped else ''}",
        facts=(
            ("run", record.run_id),
            ("feedback", f"{record.total['feedback']:,} files in {record.feedback}"),
            ("errors", ", ".join(f"{times:,}× {kind}" for kind, times in record.errors.items()) or "none"),
            ("retries", f"{record.total['retries']:,}"),
            ("log", str(record.log)),
        ),
        grids=(Grid("requests; latencies in ms", (head, *cells)),),
        notes=record.notes,
    )


def _short(value: float | None) -> str:
    """A count, or a measure as far as a person reads it."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if value < LARGE else f"{value:,.0f}"


@of.register
def _checked(record: Report) -> Summary:
    rows = record.violations.head(MOST_VIOLATIONS)
    lines = [
        (rule, f"{key}:{line}" if line else key, detail, consequence)
        for rule, key, line, detail, consequence in rows.iter_rows()
    ]
    grids = [Grid("violations", (("rule", "where", "what", "consequence"), *lines))] if lines else []
    if record.violations.height > rows.height:
        counts = record.violations.group_by("rule").len().sort("len", "rule", descending=[True, False])
        grids.append(
            Grid("all of them", (("rule", "times"), *((rule, f"{times:,}") for rule, times in counts.iter_rows())))
        )
    verdict = "sound" if record.sound else f"{record.violations.height:,} violations"
    return Summary(
        f"{record.place}: {verdict}",
        facts=(
            ("version", record.version or "none: no manifest"),
            *(("checked", sentence) for sentence in record.checked),
            *((name, f"{count:,}") for name, count in record.counts.items()),
        ),
        grids=tuple(grids),
    )


@of.register
def _queued(record: Queued) -> Summary:
    rows = [
        (
            f"{row['place']}",
            row["feedback_id"],
            row["image_id"],
            f"{row['class_name']} {row['confidence']:.2f}",
            f"{row['score']:.3f}",
            "disputed" if row["disputed"] else "audit" if row["audit"] else "",
        )
        for row in record.queue.head(MOST_IN_QUEUE).iter_rows(named=True)
    ]
    head = ("place", "feedback", "image", "top finding", "score", "why")
    return Summary(
        f"{record.queue.height:,} feedbacks deserve a look",
        facts=(
            ("feedback", f"{record.feedback:,}, with {record.reviews:,} reviews"),
            ("disputed", f"{record.disputed:,}"),
        ),
        grids=(Grid("most worth a radiologist's look", (head, *rows)),) if rows else (),
        following=("radloop dashboard",) if rows else (),
    )


@of.register
def _reviewed(record: Reviewed) -> Summary:
    verdicts = ", ".join(f"{times:,} {verdict}" for verdict, times in record.verdicts.items())
    return Summary(
        f"simulated radiologists wrote {record.written:,} reviews on {record.looked_at:,} feedbacks",
        facts=(("verdicts", verdicts or "none"), ("disputed", f"{record.disputed:,}"), ("folder", str(record.folder))),
        notes=("run it again, and a third reader adjudicates what is disputed",) if record.disputed else (),
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
    return Summary(
        f"re-training data {record.version}" if record.version else "no re-training data",
        facts=(
            ("feedback", f"{report['feedback']:,} = {fates}"),
            ("rows", f"{sources or 'none'}, of {report['images']:,} images"),
            ("reviews", f"{report['reviews_used']:,} used, {sum(report['reviews_refused'].values()):,} refused"),
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
        ),
        notes=(*record.notes, *((flatters,) if report[rule.KEY]["include_held_out"] else ())),
        following=(f"radloop etl --source … --previous … --add {record.folder / tree.RETRAIN_TABLE}",)
        if record.version
        else (),
    )


@of.register
def _evaluated(record: Evaluation) -> Summary:
    many = "s" if len(record.models) > 1 else ""
    return Summary(
        f"{len(record.models)} detector{many} judged by what two readers of an image drew, or its only one",
        facts=tuple(("left out", f"{count:,} {reason}") for reason, count in record.left_out.items()),
        grids=tuple(grid for each in record.models for grid in (_scores(each), _as_labels(each), _calibrated(each))),
        notes=record.notes,
    )


def _scores(each: Evaluated) -> Grid:
    alone = each.readers["map"].drop_nulls().to_list()
    rows = (
        ("images", f"{each.images:,}"),
        ("boxes of the truth", f"{each.truth:,}"),
        ("mAP@0.4", _interval(each.map_40, "ap")),
        ("mAP@0.5", _interval(each.map_50, "ap")),
        ("mAP@0.4 against each reader alone", f"{min(alone):.2f} to {max(alone):.2f}" if alone else ""),
        ("calibration error", _two(each.calibration_error)),
    )
    return Grid(f"{each.model}, with 95 % intervals", (("figure", "value"), *rows))


def _as_labels(each: Evaluated) -> Grid:
    rows = [
        (row["class_name"], f"{row['truth']:,}", f"{row['labels']:,}", *(_two(row[name]) for name in _LABEL_FIGURES))
        for row in each.classes.iter_rows(named=True)
    ]
    total = each.pseudo_labels
    last = (
        "all",
        f"{total['truth']:,}",
        f"{total['labels']:,}",
        _interval(total, "precision"),
        _interval(total, "recall"),
        "",
    )
    head = ("class", "truth", "labels", "precision", "recall", "AP@0.4")
    return Grid(f"{each.model}: what is above {each.min_confidence:g}, taken as labels", (head, *rows, last))


def _calibrated(each: Evaluated) -> Grid:
    rows = [
        (
            f"{row['low']:.1f}–{row['high']:.1f}{_trains(row, each.min_confidence)}",
            f"{row['predictions']:,}",
            _interval(row, "correct"),
        )
        for row in each.calibration.iter_rows(named=True)
    ]
    return Grid(f"{each.model}: how often it is right", (("confidence", "predictions", "right"), *rows))


def _trains(row: Mapping[str, Any], min_confidence: float) -> str:
    """Whether what lies in a bin of confidence would be a label: all of it, a part, or nothing."""
    if row["low"] >= min_confidence:
        return " trains"
    return f" trains above {min_confidence:g}" if row["high"] > min_confidence else ""


def _interval(row: Mapping[str, Any], name: str) -> str:
    low, high = _two(row[f"{name}_low"]), _two(row[f"{name}_high"])
    return f"{_two(row[name])} ({low}–{high})" if low and high else _two(row[name])


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@of.register
def _explained(record: Explanation) -> Summary:
    first, *rest = record.tree.lines()
    return Summary(first, lines=tuple(rest))


@of.register
def _demonstrated(record: Demonstration) -> Summary:
    first, report = record.offline.transformed, record.retrained.report
    judged = record.evaluated.models[0]
    fates = ", ".join(f"{count:,} {fate}" for fate, count in report["fates"].items() if count)
    told = sum(each.written for each in record.reviewed)
    loop = [
        ("dataset", f"version {first.version}: {sum(first.images.values()):,} images, {first.labels:,} labels"),
        ("hospital", f"{record.simulated.total['feedback']:,} feedbacks of {record.simulated.detector}"),
        ("detector", f"mAP@0.4 {_interval(judged.map_40, 'ap')} on {judged.images:,} images"),
        ("reviews", f"{told:,} by simulated radiologists, {record.reviewed[-1].disputed:,} feedbacks still disputed"),
        ("feedback", f"{report['feedback']:,} = {fates}"),
        ("re-training", f"{sum(report['rows'].values()):,} rows of {report['images']:,} images"),
        ("next dataset", _next_version(record.following)),
        ("check", "sound: no group in two splits, every file as the manifest says"),
    ]
    labels = [
        (name, f"{each['images']:,}", f"{each['labels']:,}", _interval(each, "precision"), _interval(each, "recall"))
        for name, each in record.labels.items()
    ]
    return Summary(
        f"the demo is done: {record.out}",
        grids=(
            Grid("the whole loop", (("step", "what came of it"), *loop)),
            Grid(
                "how good the labels are against what two readers agree on",
                (("labels", "images", "boxes", "precision", "recall"), *labels),
            ),
        ),
        notes=(
            "Everything here is made up: patients, films, readers, detector and reviews.",
            *record.offline.transformed.notes,
        ),
        following=(
            f"look at it: radloop dashboard --out {record.out}",
            f"where a box comes from: radloop explain --out {record.out} IMAGE_ID",
            f"the dataset, as a trainer takes it: {first.organized / 'data.yaml'}",
            f"the store it was published to: {record.store}",
        ),
    )


def _next_version(following: Loaded | None) -> str:
    if following is None or following.transformed.difference is None:
        return "none: nothing trains"
    changes = following.transformed.difference
    return (
        f"version {following.transformed.version}: {len(changes.moved):,} images moved to training, "
        f"{len(changes.changed):,} with other labels"
    )


def refused_rows(record: Any) -> int:
    """How many rows or files a run refused; 0 for what has none."""
    if isinstance(record, Retrained):
        return record.refused.height
    transformed = record.transformed if isinstance(record, Loaded) else record
    return transformed.rows_refused if isinstance(transformed, Transformed) else 0

"""Feedback and reviews in order of time -> has anything changed, and is a round due?"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, manifest, monitor_options
from radloop.catalog import models, rounds, version
from radloop.catalog import monitor as reports
from radloop.catalog.models import Models
from radloop.catalog.monitor import Alarm, Due, Figure, Reference, Report
from radloop.catalog.version import Version
from radloop.errors import FeedbackError
from radloop.feedback import guard, months, reviews, stream
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.feedback.stream import Watched
from radloop.measures import sequential
from radloop.options import Monitor
from radloop.pipelines import coming_back
from radloop.progress import Progress, silent
from radloop.words import several

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Monitored:
    """What came of a look, and where its report lies, or with --dry-run would lie."""

    report: Report
    path: Path
    done: bool
    notes: tuple[str, ...] = ()

    @property
    def is_due(self) -> bool:
        """Whether it is time to look, or to train again."""
        return any(one.due for one in self.report.due)


@dataclass(frozen=True)
class Stream:
    """What there is to look at."""

    known: Version
    records: Records
    judged: pl.DataFrame
    looks: pl.DataFrame  # `stream.looks` of every model
    reviewed: Reviews
    said: pl.DataFrame  # `stream.usable`
    out: Path

    @cached_property
    def models(self) -> Models:
        """Which model is the champion, and since when."""
        return models.read(self.out / manifest.MODELS)


def monitor(options: Monitor, *, now: datetime | None = None, progress: Progress = silent) -> Monitored:
    """Follow every figure from the reference on, and say what makes a round due; write OUT/monitor/report.json.

    Everything is computed anew from all feedback since the reference, up to the last whole day: the answer does not
    depend on how often it is asked. Raises FeedbackError where there is no feedback of the model that is named.
    """
    now = now or datetime.now(UTC)
    return of_stream(options, read(options, now, progress), now)


def of_stream(options: Monitor, there: Stream, now: datetime) -> Monitored:
    """The same of what was read."""
    name, notes = _watched(options, there)
    reference = _reference(options, name, there)
    seen = there.looks.filter(name=name)
    figures = list(_figures(options, there, seen, reference.since, now))
    alarms = tuple(
        Alarm(at=one.alarm_at, figure=one.figure, says=one.says)
        for one in sorted(figures, key=lambda one: one.alarm_at or now)
        if one.alarm_at is not None
    )
    report = Report(
        looked_at=now,
        reference=reference,
        figures=tuple(figures),
        alarms=alarms,
        due=(*_of_rounds(options, there, now), _of_drift(alarms), _of_audit(options, there, name)),
        rate=options.false_alarms,
    )
    path = options.monitor_folder / reports.NAME
    if not options.dry_run:
        files.write_atomic(path, reports.encode(report))
    return Monitored(report, path, not options.dry_run, notes)


def read(options: Monitor, now: datetime, progress: Progress = silent) -> Stream:
    """All that there is to look at; of feedback only what is new is opened."""
    known = version.read(options.dataset_folder)
    records = coming_back.feedback(options, known, keep=not options.dry_run, jobs=options.jobs, progress=progress)
    judged = guard.judge(records.feedback, known.images)
    reviewed = reviews.read(options.reviews_folder, known.taxonomy, convention=options.convention, now=now)
    looks = stream.looks(judged, records.feedback["split"], known.images)
    said = stream.usable(reviewed, judged, records.detections, simulated=known.synthetic)
    return Stream(known, records, judged, looks, reviewed, said, options.out)


def _watched(options: Monitor, there: Stream) -> tuple[str, tuple[str, ...]]:
    """The model whose feedback is looked at, and what there is to say of that."""
    names = there.looks["name"].unique().sort().to_list()
    if options.model is not None:
        if options.model not in names:
            raise FeedbackError(
                f"there is no feedback of model {options.model!r} on images at work. It is of: "
                f"{', '.join(names) or 'none'}."
            )
        return options.model, ()
    newest = str(there.looks["name"][-1]) if names else ""
    champion = there.models.aliases.get(models.CHAMPION)
    if champion in names:
        return str(champion), ()
    notes = (f"the champion {champion} has given no feedback: {newest} is watched",) if champion and newest else ()
    return newest, notes


def _reference(options: Monitor, name: str, there: Stream) -> Reference:
    first = there.looks.filter(name=name)["timestamp"].min()
    since, why = first, "the first feedback of the model"
    if options.since == "promotion":
        history = there.models.history.filter(alias=models.CHAMPION, model=name)
        if not history.is_empty():
            since, why = history["at"][-1], "the model became the champion"
    elif options.since == "round":
        newest = _last_round(there.known)
        if newest is not None:
            since, why = newest, "the last round of re-training"
    elif options.since != "first":
        since, why = monitor_options.moment(options.since), "as --since says"
    images = sequential.LEARNING * sequential.LEAST_UNITS
    return Reference(since=since, why=why, model=name, images=images)  # type: ignore[arg-type]


def _last_round(known: Version) -> datetime | None:
    """When the newest feedback or review was given that the last round knew."""
    table, _ = rounds.read(known.root / manifest.RETRAIN)
    newest: datetime | None = table["newest"].max()  # type: ignore[assignment]
    return newest


def _figures(
    options: Monitor, there: Stream, seen: pl.DataFrame, since: datetime | None, now: datetime
) -> Iterator[Figure]:
    """Every figure, up to the last day that has ended."""
    seconds, classes = options.block.seconds, there.known.taxonomy
    today = datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
    whole = pl.col("timestamp").is_between(since or now, today, closed="left")
    said = there.said.filter(whole).join(seen, on="feedback_id", how="semi", maintain_order="left")
    values = pl.concat(
        [
            stream.of_feedback(seen.filter(whole), there.records.detections, classes),
            stream.of_reviews(said, there.reviewed, seen, there.records, classes),
        ]
    )
    for name, watched in stream.watch(values, rate=options.false_alarms, day_seconds=seconds).items():
        yield _figure(name, watched, seconds)


def _figure(name: str, watched: Watched, seconds: float) -> Figure:
    came, share = watched.came, watched.share

    def shown(value: float) -> str:
        return f"{value:.1%}" if share else f"{value:.4g}"

    alarm = None if came.alarm is None else datetime.fromtimestamp((came.blocks[came.alarm].last + 1) * seconds, UTC)
    if not came.enough:
        says = sequential.missing(watched.days, share=share)
    elif came.begin is None:
        says = f"{shown(came.usual)}; no change found"
    else:
        begin = datetime.fromtimestamp(came.blocks[came.begin].first * seconds, UTC)
        says = f"{shown(came.usual)} before {_short(begin, seconds)}, {shown(came.lately)} since"
    return Figure(
        figure=name,
        kind=watched.kind,  # type: ignore[arg-type]
        n=came.units,
        statistic=came.statistic if came.enough else None,
        threshold=watched.limit,
        alarm_at=alarm,
        direction=came.direction,
        says=says,
    )


def _short(time: datetime, seconds: float) -> str:
    return time.strftime("%Y-%m-%d" if seconds >= _DAY.total_seconds() else "%Y-%m-%d %H:%M:%S")


def _of_rounds(options: Monitor, there: Stream, now: datetime) -> tuple[Due, Due]:
    """Whether enough was reviewed since the last round, and whether it is long ago."""
    last = _last_round(there.known)
    after = pl.lit(True) if last is None else pl.col("timestamp") > last
    free = there.judged.filter(pl.col("held_out").is_null(), pl.col("split").is_not_null())
    new = there.said.filter(after).join(free, on="feedback_id", how="semi")["image_id"].n_unique()
    since = "the last round" if last is not None else "the beginning: there was no round yet"
    reviewed = Due(
        rule="reviews",
        value=new,
        limit=options.due_reviews,
        due=new >= options.due_reviews,
        says=f"{several(new, 'image')} reviewed since {since}; a round is due from {options.due_reviews:,} on",
    )
    begin = last if last is not None else there.looks["timestamp"].min()
    fresh = not there.looks.filter(after).is_empty()
    if begin is None:
        return reviewed, Due(rule="days", value=None, limit=options.due_days, due=False, says="there is no feedback")
    passed = max(0.0, (now - begin) / _DAY)  # type: ignore[operator]
    says = f"{passed:.1f} days since {since}; a round is due from {options.due_days:g} on"
    if not fresh:
        says = f"{says}, if there is new feedback, and there is none"
    due = fresh and passed >= options.due_days
    return reviewed, Due(rule="days", value=round(passed, 2), limit=options.due_days, due=due, says=says)


def _of_drift(alarms: tuple[Alarm, ...]) -> Due:
    if not alarms:
        return Due(rule="drift", value=0, limit=1, due=False, says="no alarm stands")
    named = ", ".join(one.figure for one in alarms)
    return Due(rule="drift", value=len(alarms), limit=1, due=True, says=f"{several(len(alarms), 'alarm')}: {named}")


def _of_audit(options: Monitor, there: Stream, name: str) -> Due:
    """Whether the model has become worse on the audit images: of the first month and the newest, by their intervals."""
    read = months.readings(
        there.records, there.judged, there.reviewed, there.known.images, simulated=there.known.synthetic
    )
    table = months.of(there.records, there.judged, read, there.known.incoming, there.known.taxonomy, seed=options.seed)
    named = [models.model_id(*row) == name for row in table.select("model", "model_version").rows()]
    told = table.filter(pl.Series(named, dtype=pl.Boolean)).drop_nulls(["month", "ap_low", "ap_high"]).sort("month")
    if told.height < 2:
        says = f"too few to say: {several(told.height, 'month')} of audit images with an interval, and 2 are needed"
        return Due(rule="audit", value=None, limit=None, due=False, says=says)
    first, newest = told.row(0, named=True), told.row(-1, named=True)
    fell = newest["ap_high"] < first["ap_low"]
    says = (
        f"mAP {newest['ap']:.3f} ({newest['ap_low']:.3f} to {newest['ap_high']:.3f}) of {newest['month']}, "
        f"{first['ap']:.3f} ({first['ap_low']:.3f} to {first['ap_high']:.3f}) of {first['month']}: "
        f"{'worse' if fell else 'the intervals do not say worse'}"
    )
    return Due(rule="audit", value=newest["ap_high"], limit=first["ap_low"], due=fell, says=says)

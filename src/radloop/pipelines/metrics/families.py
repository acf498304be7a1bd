"""What Prometheus is told, by its own conventions: base units, counters that end in _total, times in seconds of 1970.

Ages are told as times: `time() - radloop_newest_feedback_timestamp_seconds` is right also between two looks. Words in
labels are few: splits, states, codes, rules and figures, never an image, a patient or a path.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from radloop.catalog.monitor import Figure, Report
from radloop.pipelines.metrics.lines import BUCKETS_S, Counts
from radloop.pipelines.metrics.state import State

MOST_FIGURES: Final = 200  # told of, those with an alarm first


def of(state: State) -> Iterator[Metric]:
    """All that one look found."""
    yield _info("radloop_dataset", "Version of the dataset.", version=state.version)
    if state.champion:
        yield _info("radloop_champion", "Model in use.", model=state.champion)
        since = {} if state.champion_since is None else {"": state.champion_since.timestamp()}
        yield _gauge("radloop_champion_since_timestamp_seconds", "When the model in use became it.", since)
    yield _gauge("radloop_dataset_images", "Images of the dataset.", state.images, "split")
    yield _gauge("radloop_feedback_documents", "Feedback that can be read.", {"": state.feedback})
    yield _gauge("radloop_review_documents", "Reviews that can be read.", {"": state.reviews})
    yield _gauge("radloop_rounds", "Rounds of re-training that stand.", {"": state.rounds})
    yield from _times(state.newest)
    yield _gauge("radloop_audit_log_sound", "Whether a log ends as its head says.", state.audit, "log")
    refused = GaugeMetricFamily(
        "radloop_refused_files", "Files of feedback and reviews that are refused.", labels=["kind", "code"]
    )
    for kind, codes in state.refused.items():
        for code, number in codes.items():
            refused.add_metric([kind, code], number)
    yield refused
    yield _gauge("radloop_queue_images", "Images that wait for a review.", state.queue, "state")
    yield from _report(state.report)


def _times(newest: Mapping[str, datetime | None]) -> Iterator[Metric]:
    for what, at in newest.items():
        told = {} if at is None else {"": at.timestamp()}
        yield _gauge(f"radloop_newest_{what}_timestamp_seconds", f"When the newest {what} was given.", told)


def _report(report: Report) -> Iterator[Metric]:
    ordered = sorted(report.figures, key=lambda one: (one.alarm_at is None, -(one.statistic or 0.0) / one.threshold))
    shown = ordered[:MOST_FIGURES]
    labels = ["figure", "kind"]
    alarm = GaugeMetricFamily("radloop_figure_alarm", "Whether a figure that is watched alarms.", labels=labels)
    near = GaugeMetricFamily(
        "radloop_figure_evidence_ratio", "Evidence of a change in a figure; it alarms at 1.", labels=labels
    )
    images = GaugeMetricFamily("radloop_figure_images", "Images that a figure is of.", labels=labels)
    for one in shown:
        named = [one.figure, one.kind]
        images.add_metric(named, one.n)
        if one.statistic is not None:
            alarm.add_metric(named, one.alarm_at is not None)
            near.add_metric(named, one.statistic / one.threshold)
    yield from (alarm, near, images)
    yield _gauge("radloop_figures", "Figures that are watched.", _tested(report.figures), "state")
    yield _gauge("radloop_due", "Whether a round is due, by rule.", {one.rule: one.due for one in report.due}, "rule")


def _tested(figures: Iterable[Figure]) -> dict[str, float]:
    counted: dict[str, float] = {"tested": 0, "too few": 0}
    for one in figures:
        counted["too few" if one.statistic is None else "tested"] += 1
    return counted


def of_logs(told: Mapping[str, Counts]) -> Iterator[Metric]:
    """What the logs count, by program."""
    requests = CounterMetricFamily(
        "radloop_requests", "Requests to a detector by their outcome.", labels=["program", "outcome"]
    )
    failures = CounterMetricFamily("radloop_request_failures", "Requests that failed.", labels=["program", "kind"])
    refused = CounterMetricFamily("radloop_refused_objects", "Objects of a PACS refused.", labels=["program", "code"])
    runs = CounterMetricFamily("radloop_runs", "Runs by what became of them.", labels=["program", "outcome"])
    waits = CounterMetricFamily("radloop_waits", "Times that something was gone and waited for.", labels=["program"])
    latency = HistogramMetricFamily(
        "radloop_request_latency_seconds", "How long answered requests took.", labels=["program"]
    )
    for program, counts in told.items():
        requests.add_metric([program, "answered"], counts.answered)
        requests.add_metric([program, "failed"], counts.failures.total())
        waits.add_metric([program], counts.waits)
        for family, by in ((failures, counts.failures), (refused, counts.refused), (runs, counts.runs)):
            for word, number in by.items():
                family.add_metric([program, word], number)
        latency.add_metric([program], list(_cumulated(counts)), counts.total_s)
    yield from (requests, failures, refused, runs, waits, latency)


def _cumulated(counts: Counts) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, number in zip((*map(str, BUCKETS_S), "+Inf"), counts.seconds, strict=True):
        total += number
        yield bound, total


def of_looks(
    version: str, *, up: bool, every_s: float, seconds: float, failures: int, at: datetime | None
) -> Iterator[Metric]:
    """How it stands with the looks themselves."""
    yield _info("radloop_build", "Version of radloop.", version=version)
    yield _gauge("radloop_up", "Whether the last look could read the loop, not too long ago.", {"": up})
    yield _gauge("radloop_look_interval_seconds", "Time between two looks.", {"": every_s})
    yield _gauge("radloop_look_duration_seconds", "How long the last look took.", {"": seconds})
    yield _gauge(
        "radloop_look_success_timestamp_seconds",
        "When the last look began that could read the loop.",
        {} if at is None else {"": at.timestamp()},
    )
    yield CounterMetricFamily("radloop_look_failures", "Looks that could not read the loop.", value=failures)


def _gauge(name: str, about: str, told: Mapping[str, float], label: str = "") -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=[label] if label else [])
    for word, value in told.items():
        family.add_metric([word] if label else [], value)
    return family


def _info(name: str, about: str, **told: str) -> InfoMetricFamily:
    return InfoMetricFamily(name, about, value=told)

"""How each pipeline's result reads on a terminal."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from radloop.display import Grid, Summary, size
from radloop.pipelines.checking import Report
from radloop.pipelines.demo import Demonstration
from radloop.pipelines.offline import Extracted, Loaded, Transformed
from radloop.pipelines.online import Simulation
from radloop.storage.publish import Published, Pulled
from radloop.tables import CLASS_NAMES, SPLITS

MOST_REASONS = 10
MOST_VIOLATIONS = 20
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
    reasons = [(reason, f"{rows:,}") for reason, rows in record.refused.head(MOST_REASONS).iter_rows()]
    rest = record.refused.height - len(reasons)
    grids = [Grid("images by split", (SPLITS, tuple(f"{record.images[split]:,}" for split in SPLITS)))]
    if reasons:
        more = [(f"… and {rest} more reasons", "")] if rest else []
        grids.append(Grid("refused rows, all of them in rejected.csv", (("reason", "rows"), *reasons, *more)))
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
                f"worst is {CLASS_NAMES[worst['class_id']]} in {worst['split']}: {worst['images']} images, "
                f"its share is {worst['expected']:.1f}",
            ),
        ),
        grids=tuple(grids),
        notes=record.notes,
    )


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
def _demonstrated(record: Demonstration) -> Summary:
    loaded, checked = of(record.offline), of(record.checked)
    return Summary(
        f"the demo is done: {record.out}",
        facts=(*loaded.facts, *checked.facts),
        grids=loaded.grids,
        notes=("Everything here is made up: patients, films and readers.", *loaded.notes),
        following=(
            f"the dataset, as a trainer takes it: {record.offline.transformed.organized / 'data.yaml'}",
            f"the proof of its splits: {record.offline.transformed.organized / 'splits.json'}",
            f"the store it was published to: {record.store}",
        ),
    )


def refused_rows(record: Any) -> int:
    """How many rows a run refused; 0 for what has no rows."""
    transformed = record.transformed if isinstance(record, Loaded) else record
    return transformed.rows_refused if isinstance(transformed, Transformed) else 0

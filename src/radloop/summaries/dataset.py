"""How it reads what became of a dataset: extracted, transformed, published, pulled, exported, checked."""

import polars as pl

from radloop.catalog.version import Difference
from radloop.display import Grid, Summary, size
from radloop.pipelines.checking import Report
from radloop.pipelines.exporting import Exported
from radloop.pipelines.offline import EtlPreview, Extracted, Loaded, Transformed
from radloop.storage.publish import Published
from radloop.storage.pull import Pulled
from radloop.summaries.registry import of, status
from radloop.tables import SPLITS
from radloop.words import Exit, several

MOST_REASONS = 10
MOST_VIOLATIONS = 20


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
    judged = f", {record.judged:,} of them the consensus of all but training" if record.judged else ""
    return Summary(
        f"dataset version {record.version}",
        facts=(
            ("folder", f"{record.organized}{'' if record.written else ' (nothing was written)'}"),
            ("continues", record.continues),
            ("images", f"{sum(record.images.values()):,} with {record.labels:,} label files{judged}"),
            ("rows", f"{record.rows_in:,} in = {record.rows_out:,} out + {record.rows_refused:,} refused"),
            (
                "left out",
                f"{record.unlabelled_pictures:,} pictures without rows, {record.lost_readings:,} readings lost",
            ),
            (
                "balance",
                f"worst is {worst['class_name']} in {worst['split']}: {several(worst['images'], 'image')}, "
                f"its share is {worst['expected']:.1f}",
            ),
        ),
        grids=tuple(grids),
        notes=record.notes,
    )


def _differences(found: Difference) -> list[Grid]:
    """What changed since the version that it continues."""
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
        f"{'published' if record.done else 'would publish'} {record.version} to {record.address}{before}",
        facts=(
            ("sent", f"{record.sent_files:,} files, {size(record.sent_bytes)}"),
            ("copied there", f"{record.copied:,} files, no bytes sent"),
            ("unchanged", f"{record.unchanged:,} files"),
            ("removed", f"{record.removed:,} files"),
            *((("kept", several(record.kept, "version")),) if record.kept else ()),
        ),
        notes=record.notes,
    )


@of.register
def _pulled(record: Pulled) -> Summary:
    what = f"version {record.version}" if record.version else "a dataset without a manifest"
    return Summary(
        f"pulled {what}" if record.done else f"would pull {what}; nothing was written",
        facts=(
            ("files", f"{record.files:,}"),
            (
                "received" if record.done else "would travel",
                f"{record.received_files:,} files, {size(record.received_bytes)}",
            ),
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
def _foreseen(record: EtlPreview) -> Summary:
    built = of(record.transformed) if record.transformed else Summary("")
    held = f"version {record.held}" if record.held else "no dataset of radloop"
    return Summary(
        f"would publish {record.extracted.name} to {record.store}; nothing was written",
        facts=(
            *((("version", record.transformed.version),) if record.transformed else ()),
            *built.facts,
            ("store", f"{record.store} holds {held}"),
        ),
        grids=built.grids,
        notes=(*built.notes, *record.notes),
    )


@of.register
def _exported(record: Exported) -> Summary:
    head = ("split", "images", "labels")
    rows = [(split, f"{count:,}", record.labels[split]) for split, count in record.images.items()]
    return Summary(
        f"{'exported' if record.done else 'would export'} version {record.version} for {record.format}"
        f"{'' if record.done else '; nothing was written'}",
        facts=(
            ("folder", str(record.folder)),
            ("images", f"{sum(record.images.values()):,}"),
            ("boxes", f"{record.boxes:,}"),
        ),
        grids=(Grid("by split", (head, *rows)),),
        notes=record.notes,
    )


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


@status.register
def _soundness(record: Report) -> Exit:
    return Exit.DONE if record.sound else Exit.FAILED

"""How it reads which versions there are, and what became of them."""

from collections.abc import Iterable, Iterator
from typing import Any

from radloop.catalog.changes import Changes
from radloop.display import Grid, Summary, size
from radloop.pipelines.versioning import Listed, RolledBack
from radloop.storage.publish import Pruned
from radloop.summaries.registry import of
from radloop.tables import CHANGED
from radloop.words import several

_HEAD = ("version", "published", "images", "labels", "boxes", "")
_CHANGED = ("version", "by", "images +", "−", "moved", "labels +", "−", "moved")


@of.register
def _listed(record: Listed) -> Summary:
    told = list(record.history.reverse().iter_rows(named=True))
    grids = []
    if told:
        grids.append(Grid("versions, the newest first", (_HEAD, *_rows(told, record.current))))
        changed = [(one["version"], one["action"], *_numbers(one["changes"])) for one in told]
        grids.append(Grid("what each changed to the one before", (_CHANGED, *changed)))
    if record.changes is not None and record.compared is not None:
        grids.append(_compared(record.changes, record.compared))
    return Summary(
        f"{several(record.history.filter('kept')['version'].n_unique(), 'version')} kept in {record.address}",
        facts=(
            ("current", record.current),
            ("kept beside it", f"{several(record.kept_files, 'object')}, {size(record.kept_bytes)}"),
        ),
        grids=tuple(grids),
        notes=() if told else ("this store has no history yet: the next `radloop load` begins one",),
    )


def _rows(told: Iterable[dict[str, Any]], current: str) -> Iterator[tuple[str, ...]]:
    """A row each time that a version was published; what became of it stands at the last time."""
    seen = set()
    for one in told:
        state = "current" if one["version"] == current else "kept" if one["kept"] else "not kept"
        counts = ("?" if one[what] is None else f"{one[what]:,}" for what in ("images", "labels", "boxes"))
        yield (
            one["version"],
            f"{one['published_at']:%Y-%m-%d %H:%M}",
            *counts,
            "" if one["version"] in seen else state,
        )
        seen.add(one["version"])


def _numbers(changed: dict[str, int] | None) -> tuple[str, ...]:
    return tuple("" if changed is None else f"{changed[what]:,}" for what in CHANGED)


def _compared(told: Changes, ids: tuple[str, str]) -> Grid:
    rows = [
        (name, split, *(f"{count:,}" for count in counts))
        for name, split, *counts in told.classes.iter_rows()
        if counts[0] != counts[1] or counts[2] != counts[3]
    ]
    head = ("class", "split", "images", "images then", "boxes", "boxes then")
    labels = dict(told.labels.group_by("change").len().iter_rows())
    title = (
        f"{ids[0]}, then {ids[1]}: {told.images[0]:,} and {several(told.images[1], 'image')}, {told.both:,} in both; "
        f"labels {labels.get('added', 0):,} added, {labels.get('gone', 0):,} removed, {labels.get('moved', 0):,} moved"
    )
    return Grid(title, (head, *rows))


@of.register
def _rolled_back(record: RolledBack) -> Summary:
    done = record.published
    facts = [("folder", str(record.organized))]
    if done is not None:
        facts += [
            ("sent", f"{done.sent_files:,} files, {size(done.sent_bytes)}"),
            ("copied there", f"{done.copied:,} files, no bytes sent"),
            ("removed", f"{done.removed:,} files"),
        ]
    if record.pulled is not None:
        facts.append(("received", f"{record.pulled.received_files:,} files, {size(record.pulled.received_bytes)}"))
    was = f" (was {done.previous_version})" if done and done.previous_version else ""
    title = f"{'rolled back' if done else 'would roll back'} to {record.version}{was}"
    return Summary(title, facts=tuple(facts), notes=() if done is None else done.notes)


@of.register
def _pruned(record: Pruned) -> Summary:
    return Summary(
        f"{'pruned' if record.done else 'would prune'} {several(len(record.pruned), 'version')} of {record.address}",
        facts=(
            ("kept", ", ".join(record.kept) or "none"),
            ("pruned", ", ".join(record.pruned) or "none"),
            ("removed", f"{several(record.removed, 'object')}, {size(record.removed_bytes)}"),
        ),
    )

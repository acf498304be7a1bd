"""Feedback and reviews -> re-training data in the dataset and its store: extract, transform, load."""

import hashlib
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import files, manifest, storage, tree
from radloop.catalog import version
from radloop.catalog.rule import KEY, Rule
from radloop.dataset import retrain as unit
from radloop.dataset import yolo
from radloop.errors import DatasetError
from radloop.feedback import cache, guard, retraining, reviews
from radloop.feedback.retraining import Decided
from radloop.options import Retrain
from radloop.progress import Progress, silent
from radloop.storage import Store, publish
from radloop.storage.publish import Published
from radloop.tables import HELD_OUT
from radloop.taxonomy import Taxonomy

UNIT: Final = f"{manifest.UNIT}/{manifest.RETRAIN}"


@dataclass(frozen=True)
class Retrained:
    """What the next model could learn from, and what became of every feedback."""

    folder: Path
    version: str | None  # None where nothing trains; then nothing was written
    round: str | None
    report: Mapping[str, Any]  # what report.json holds
    reasons: pl.DataFrame  # fate, code, feedback (how many), example (one of their sentences): of what does not train
    refused: pl.DataFrame  # kind (feedback or review), file, image_id, code, reason
    published: Published | None  # None also with --dry-run
    notes: tuple[str, ...]
    done: bool = True  # False with --dry-run


def retrain(options: Retrain, *, progress: Progress = silent) -> Retrained:
    """Build the re-training data in the dataset's `retrain/` and publish them to STORE/organized/retrain.

    Where nothing trains nothing is written or published, and what was there stays. Raises what the steps raise; the old
    re-training data then stand as they were.
    """
    feedback, reviewed = options.feedback_folder, options.reviews_folder
    rule, writing = options.rule, not options.dry_run
    with files.locked(options.out, writing=writing), closing(storage.open_store(options.store_address)) as target:
        target.preflight()
        known = version.read(options.dataset_folder)
        classes = known.taxonomy
        kept = cache.path(options.out, feedback, classes) if writing else None
        found = cache.read(feedback, classes, kept, jobs=options.jobs, progress=progress)

        judged = guard.judge(found.feedback, known.images)
        decided = retraining.decide(found, judged, reviews.read(reviewed, classes), rule)
        report = _report(decided, classes, rule, dataset_version=known.id)
        folder = known.root / manifest.RETRAIN
        why, refused = _reasons(decided), _refused(decided)
        if decided.rows.is_empty():
            return Retrained(folder, None, None, report, why, refused, None, (_why_nothing(decided, feedback),))

        round_id, documents = _documents(decided, reviewed, report, classes)
        if writing:
            documents = _earlier_rounds(folder, target) | documents
        built = unit.build(decided.rows, known, documents, include_held_out=rule.include_held_out)

        published = None
        if writing:
            yolo.write(built, folder, pictures=known.root, progress=progress)
            published = publish.publish(folder, target, prefix=UNIT, progress=progress)
        return Retrained(folder, built.version, round_id, report, why, refused, published, (), done=writing)


def _report(decided: Decided, classes: Taxonomy, rule: Rule, *, dataset_version: str) -> dict[str, Any]:
    """What became of every feedback, in numbers; nothing of a time or a path, so that the same input says the same."""
    fates, rows = decided.fates, decided.rows
    return {
        "dataset": dataset_version,
        KEY: rule.document(),
        "feedback": fates.height,
        "fates": retraining.count(fates),
        "withheld": _counted(fates.filter(fate="withheld"), "split"),
        "included_although_held_out": fates.filter(pl.col("split").is_in(HELD_OUT), fate="kept").height,
        "refused": _counted(fates.filter(fate="refused"), "code"),
        "unused": _counted(fates.filter(fate="unused"), "code"),
        "images": rows["image_id"].n_unique(),
        "rows": _counted(rows, "source"),
        "classes": _by_class(rows, classes),
        "boxes_fused": decided.fused,
        "boxes_cut_at_the_edge": decided.cut,
        "reviews_used": decided.reviews.height,
        "reviews_refused": _counted(decided.refused_reviews, "code"),
    }


def _counted(table: pl.DataFrame, column: str) -> dict[Any, int]:
    return dict(table.group_by(column).len().sort("len", column, descending=[True, False]).iter_rows())


def _by_class(rows: pl.DataFrame, classes: Taxonomy) -> dict[str, int]:
    """How many rows each class has, in the order of the classes."""
    counts = rows.group_by("class_id").len().sort("class_id", nulls_last=True)
    return {classes.name(class_id): count for class_id, count in counts.iter_rows()}


def _reasons(decided: Decided) -> pl.DataFrame:
    """Why feedback does not train, the most frequent reason first; what is disputed is one reason."""
    return (
        decided.fates.filter(pl.col("fate") != "kept")
        .sort("file")
        .group_by("fate", "code", maintain_order=True)
        .agg(pl.len().alias("feedback"), example=pl.col("reason").first())
        .sort("feedback", "code", descending=[True, False])
    )


def _refused(decided: Decided) -> pl.DataFrame:
    return pl.concat(
        [
            table.select(pl.lit(kind).alias("kind"), "file", "image_id", "code", "reason")
            for kind, table in (
                ("feedback", decided.fates.filter(fate="refused")),
                ("review", decided.refused_reviews.with_columns(image_id=pl.lit(None, pl.String))),
            )
        ]
    ).sort("kind", "file")


def _why_nothing(decided: Decided, feedback: Path) -> str:
    if decided.fates.is_empty():
        return f"no feedback in {feedback} yet: nothing was written or published"
    return "no feedback trains: nothing was written or published"


def _documents(
    decided: Decided, reviewed: Path, report: Mapping[str, Any], classes: Taxonomy
) -> tuple[str, dict[str, bytes]]:
    """The id of this round, and every document of the unit by its key."""
    table = retraining.csv(decided.rows, classes)
    said = {name: (reviewed / name).read_bytes() for name in decided.reviews["file"].sort()}
    round_id = hashlib.sha256(b"\0".join([table, *(name.encode() for name in said)])).hexdigest()[:12]
    told = tree.json_file(report)
    held_out = decided.fates.filter(pl.col("split").is_in(HELD_OUT)).sort("file")
    documents = {
        tree.RETRAIN_TABLE: table,
        tree.REPORT: told,
        "refused.csv": _refused(decided).write_csv().encode(),
        "withheld.csv": held_out.select(
            "file", "feedback_id", "image_id", "split", "code", "reason", included=pl.col("fate") != "withheld"
        )
        .write_csv()
        .encode(),
    }
    return round_id, documents | {
        f"{tree.ROUNDS}{round_id}/{name}": data for name, data in {tree.REPORT: told, **said}.items()
    }


def _earlier_rounds(folder: Path, store: Store) -> dict[str, bytes]:
    """The documents of every round before, from this disk and else from the store: no review that trained is lost."""
    found = {key: (folder / key).read_bytes() for key in _round_keys(manifest.read(folder)) if (folder / key).is_file()}
    data = store.get(f"{UNIT}/{manifest.NAME}")
    with suppress(DatasetError):  # a damaged manifest leads nowhere; publishing says so and replaces it
        for key in _round_keys(manifest.decode(data, name=UNIT) if data else None):
            if key not in found and (document := store.get(f"{UNIT}/{key}")) is not None:
                found[key] = document
    return found


def _round_keys(listed: pl.DataFrame | None) -> list[str]:
    return [] if listed is None else listed.filter(pl.col("key").str.starts_with(tree.ROUNDS))["key"].to_list()

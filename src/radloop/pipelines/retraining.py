"""Feedback and reviews -> re-training data in the dataset and its store: extract, transform, load."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from radloop import files, formats, manifest, slices, spreadsheets, storage, tree
from radloop.catalog import audit_lines, chains, judging, proven, rounds, tombstones, truth, version
from radloop.catalog.audit_log import Deed
from radloop.catalog.rule import KEY, Rule
from radloop.catalog.version import Version
from radloop.dataset import retrain as unit
from radloop.dataset import yolo
from radloop.dataset.plan import Plan
from radloop.errors import DatasetError, StrictError
from radloop.feedback import arrivals, documents, guard, retraining, reviews, verifying
from radloop.feedback.retraining import Decided
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import NEEDED, Records
from radloop.options import Retrain
from radloop.pipelines import coming_back, deeds
from radloop.progress import Progress, silent
from radloop.storage import Store, publish
from radloop.storage.publish import Published
from radloop.tables import HELD_OUT, PREDICTION
from radloop.taxonomy import Taxonomy
from radloop.words import AUDIT, INCOMING, SPLITS, WITHHELD, several


@dataclass(frozen=True)
class Retrained:
    """What the next model could learn from, and what became of every feedback."""

    folder: Path
    version: str | None  # None where nothing trains; then nothing was written
    round: str | None
    report: Mapping[str, Any]  # what report.json holds
    thresholds: pl.DataFrame  # PROVEN of `catalog.proven`; none where one confidence is for all
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
    rule, writing, durable = options.rule, not options.dry_run, options.durable
    playing = coming_back.wait(options, progress)
    with (
        files.locked(options.out, writing=writing, durable=durable),
        closing(storage.open_store(options.store_address, durable=durable)) as target,
    ):
        target.preflight()
        known = version.read(options.dataset_folder)
        classes = known.taxonomy
        stones = _stones(options.out, target)
        found, reviewed, heads, silent = _read(options, known, stones, progress)
        before = verifying.known(options.out)
        gone = verifying.gone(options.feedback_folder, before)  # all: it was of another folder

        judged = guard.judge(found.feedback, known.images if rule.include_held_out else known.guarded)
        rule = proven.by(rule, judged, found.every_box, known.readings)
        decided = retraining.decide(found, judged, reviewed, rule, synthetic=known.synthetic)
        proven.require(decided.unproven)
        report = _report(decided, known, rule) | _incoming(decided, reviewed, known)
        report |= rounds.since(found.feedback, reviewed.reviews) | rounds.pins(heads)
        folder = known.root / manifest.RETRAIN
        why, refused, thresholds = _reasons(decided), _refused(decided), proven.table(rule, classes)
        if writing:
            _beside(options.out, refused)
        _require_strictly(options, refused)
        notes = (
            *playing,
            *silent,
            *proven.out_of_reach(rule, classes),
            *_broken(folder, reviewed, options, gone),
            *_waiting(decided, options.reviews_folder),
            *_idle(decided, rule, synthetic=known.synthetic),
            *_elsewhere(decided, found.feedback, known),
            *coming_back.zoneless(found, reviewed.zoneless, options.time_zone),
            *spreadsheets.warning(tree.RETRAIN_TABLE, decided.rows["image_id"], pl.Series(classes.names)),
        )
        if decided.rows.is_empty():
            notes = (*notes, _why_nothing(decided, options.feedback_folder))
            return Retrained(folder, None, None, report, thresholds, why, refused, None, notes, done=writing)

        round_id, documents = _documents(decided, options.reviews_folder, report, classes)
        after = target.get(f"{manifest.RETRAIN_UNIT}/{manifest.NAME}")
        if writing:
            documents = _earlier_rounds(folder, target, after, stones) | documents
        built = unit.build(decided.rows, known, documents, include_held_out=rule.include_held_out)
        published = None
        seen = verifying.encode_known(found.feedback, before if gone.height < before.height else None)
        with _deed(options, folder, built.version, heads, seen) as deed:
            if writing:
                published = _publish(built, known, target, after, durable=durable, progress=progress)
                deed.old = published.previous_version
                files.write_atomic(verifying.known_path(options.out), seen, durable=durable, mode=files.OWN_FILE)
        told = report, thresholds, why, refused, published, notes
        return Retrained(folder, built.version, round_id, *told, done=writing)


def _publish(
    built: Plan, known: Version, target: Store, after: bytes | None, *, durable: bool, progress: Progress
) -> Published:
    folder = known.root / manifest.RETRAIN
    yolo.write(built, folder, pictures=known.root, progress=progress, durable=durable)
    expected = publish.digest(after)
    return publish.publish(folder, target, prefix=manifest.RETRAIN_UNIT, after=expected, progress=progress)


def _read(
    options: Retrain, known: Version, stones: pl.DataFrame, progress: Progress
) -> tuple[Records, Reviews, pl.DataFrame, tuple[str, ...]]:
    """Feedback and reviews but for what was forgotten elsewhere, the heads of all chains, and a note."""
    keep, now = not options.dry_run, datetime.now(UTC)
    found = coming_back.feedback(options, known, keep=keep, columns=NEEDED, jobs=options.jobs, progress=progress)
    reviewed = reviews.read(options.reviews_folder, known.taxonomy, convention=options.convention, now=now)
    found, remaining, silent = _without_forgotten(found, reviewed, stones)
    return found, remaining, reviewed.heads, silent


def _deed(
    options: Retrain, folder: Path, version: str, heads: pl.DataFrame, seen: bytes
) -> AbstractContextManager[Deed]:
    """The round in the audit log, with the hashes of the heads that it pins and of the feedback that it has seen."""
    pinned, known = rounds.pins_sha256(rounds.pins(heads)), hashlib.sha256(seen).hexdigest()
    told = {"version": version, "heads": pinned, "feedback": known}
    current = deeds.version_of(folder)
    return deeds.deed(
        options.out,
        "retrain",
        manifest.RETRAIN_UNIT,
        current=current,
        new=told,
        writing=not options.dry_run,
        durable=options.durable,
    )


def _broken(folder: Path, reviewed: Reviews, options: Retrain, gone: pl.DataFrame) -> Iterator[str]:
    """What is not as earlier rounds have known it: chains of reviews, and feedback that is `gone` (KNOWN)."""
    lines = tuple(audit_lines.lines(options.out / audit_lines.FOLDER))
    pinned = rounds.binding(folder, lines)
    wrong = chains.unlike(pinned.select(chains.HEADS.names()), reviewed.links, reviewed.forgotten)
    if wrong.height:
        yield (
            f"{several(wrong.height, 'chain')} of reviews not as an earlier round has pinned them, such as: "
            f"{wrong['reason'][0]}. `radloop audit verify` has all"
        )
    if gone.height:
        yield (
            f"{gone.height:,} feedback that an earlier round knew is not in {options.feedback_folder} any more, such "
            f"as {gone['file'][0]}. `radloop audit verify` has all"
        )


def _stones(out: Path, store: Store) -> pl.DataFrame:
    """TOMBSTONES of this machine and of the store, which may have been told of elsewhere."""
    data = store.get(f"{manifest.UNIT}/{tree.TOMBSTONES}")
    return tombstones.union(tombstones.read(out), tombstones.decode(data, name=store.address))


def _without_forgotten(
    found: Records, reviewed: Reviews, stones: pl.DataFrame
) -> tuple[Records, Reviews, tuple[str, ...]]:
    """Feedback and reviews but for those on images that were forgotten elsewhere, and how many of these there are."""
    feedback, said = (tombstones.remain(table, stones) for table in (found.feedback, reviewed.reviews))
    left_out = found.feedback.height + reviewed.reviews.height - feedback.height - said.height
    if not left_out:
        return found, reviewed, ()
    note = (
        f"{left_out:,} files of feedback and reviews left out: they are on images that were forgotten. "
        "`radloop forget` takes them away on this machine, too"
    )
    return replace(found, feedback=feedback), replace(reviewed, reviews=said), (note,)


def _beside(out: Path, refused: pl.DataFrame) -> None:
    """OUT/refused.csv: also where nothing trains it can be read what is wrong with which file."""
    path = out / tree.REFUSED
    if refused.is_empty():
        path.unlink(missing_ok=True)
    else:
        files.write_atomic(path, spreadsheets.csv(refused))


def _require_strictly(options: Retrain, refused: pl.DataFrame) -> None:
    """Raise StrictError where files were refused and --strict was given."""
    if options.strict and refused.height:
        listed = "" if options.dry_run else f" {options.out / tree.REFUSED} has all of them."
        raise StrictError(
            f"{refused.height:,} files of feedback and reviews were refused, such as {refused['file'][0]}: "
            f"{refused['reason'][0]}. With --strict nothing is published.{listed}"
        )


def _waiting(decided: Decided, reviewed: Path) -> tuple[str, ...]:
    if decided.waiting.is_empty():
        return ()
    waiting, file = decided.waiting["feedback_id"].n_unique(), decided.waiting["file"][0]
    many = "feedback waits for a review that" if waiting == 1 else f"{waiting:,} feedback files wait for reviews that"
    return (
        f"{many if waiting > 1 else f'1 {many}'} can be read: {reviewed / file} cannot "
        f"({_reason_of(decided, file)}). Mend or remove the file, or review the feedback again",
    )


def _reason_of(decided: Decided, file: str) -> str:
    return str(decided.refused_reviews.filter(file=file)["reason"].first())


def _elsewhere(decided: Decided, feedback: pl.DataFrame, known: Version) -> tuple[str, ...]:
    """What is to be said of feedback on images that came in on another machine."""
    said = feedback.filter(pl.col("split").is_in([INCOMING, AUDIT])).select("feedback_id")
    unknown = decided.fates.filter(code=guard.UNKNOWN[0]).join(said, on="feedback_id", how="semi").height
    if not unknown:
        return ()
    unit = known.root / manifest.INCOMING
    return (
        f"{several(unknown, 'feedback file')} on incoming images that are not in {unit}: where they came in elsewhere, "
        f"`radloop pull --splits {','.join((*SPLITS, INCOMING))}` brings them",
    )


def _idle(decided: Decided, rule: Rule, *, synthetic: bool) -> tuple[str, ...]:
    """What is kept and does not train; and that simulated data may."""
    allowed = (
        ("--allow-simulated was used: what was simulated trains on real data",)
        if rule.allow_simulated and not synthetic
        else ()
    )
    codes = _counted(decided.fates.filter(pl.col("fate") == "kept", pl.col("code").is_not_null()), "code")
    ways = {
        "bare-feedback": "it tells one box of perhaps many: a review makes it a label",
        "simulated": "it was simulated, and the dataset is not synthetic: a review by a person makes it a label, "
        "--allow-simulated lets it be one",
        "doubtful-regions": "they have boxes to ignore, which YOLO's labels have no place for: "
        "`radloop export --format coco --splits retrain` has",
    }
    return (
        *allowed,
        *(f"{count:,} feedback files are in the table and do not train: {ways[code]}" for code, count in codes.items()),
    )


def _report(decided: Decided, known: Version, rule: Rule) -> dict[str, Any]:
    """What became of every feedback, in numbers; nothing of a time or a path, so that the same input says the same."""
    fates, rows, classes = decided.fates, decided.rows, known.taxonomy
    return {
        "dataset": known.id,
        "synthetic": known.synthetic,
        KEY: rule.document(),
        "feedback": fates.height,
        "fates": retraining.count(fates),
        "withheld": _counted(fates.filter(fate="withheld"), "split"),
        "included_although_held_out": fates.filter(pl.col("split").is_in(HELD_OUT), fate="kept").height,
        "refused": _counted(fates.filter(fate="refused"), "code"),
        "unused": _counted(fates.filter(fate="unused"), "code"),
        "disputed": _counted(fates.filter(fate="disputed"), "code"),
        "waiting_for_a_review": dict(decided.waiting.group_by("file").len().sort("file").iter_rows()),
        "images": rows["image_id"].n_unique(),
        "rows_that_train": int(rows["trains"].sum()),
        **({"rows_to_ignore": int(rows["ignore"].sum())} if rule.policy != "threshold" else {}),
        "kept_without_training": _counted(fates.filter(pl.col("code").is_not_null(), fate="kept"), "code"),
        "rows": _counted(rows, "source"),
        "classes": _by_class(rows, classes),
        "boxes_fused": decided.fused,
        "boxes_cut_at_the_edge": decided.cut,
        "predictions_against_readers": _against_readers(rows, known),
        "reviews_used": decided.reviews.height,
        "reviews_refused": _counted(decided.refused_reviews, "code"),
    }


def _incoming(decided: Decided, reviewed: Reviews, known: Version) -> dict[str, Any]:
    """What became of the images that came in so far; nothing where none ever did."""
    if known.incoming.is_empty():
        return {}
    read = decided.fates.join(reviewed.reviews, on="feedback_id", how="semi")["image_id"]
    return {"incoming": arrivals.count(known, decided.rows.filter("trains")["image_id"], read)}


def _against_readers(rows: pl.DataFrame, known: Version) -> dict[str, int]:
    """Of the rows that the rule took from a model, on images that readers have read: how many are right.

    images, labels and correct; all of them images that nobody may train on before (production), so that it is known.
    """
    own = rows.filter("trains", source=PREDICTION)
    readings = known.readings.join(own, on="image_id", how="semi")
    found = judging.labels(own, truth.of(readings), readings.select("image_id", "group"), known.taxonomy)
    return {name: int(found[name]) for name in ("images", "labels", "correct")}


def _counted(table: pl.DataFrame, column: str) -> dict[Any, int]:
    return dict(table.group_by(column).len().sort("len", column, descending=[True, False]).iter_rows())


def _by_class(rows: pl.DataFrame, classes: Taxonomy) -> dict[str, int]:
    """How many rows each class has, in the order of the classes."""
    counts = rows.group_by("class_id").len().sort("class_id", nulls_last=True)
    return {classes.name(class_id): count for class_id, count in counts.iter_rows()}


def _reasons(decided: Decided) -> pl.DataFrame:
    """Why feedback does not train, the most frequent reason first; what is disputed is one reason."""
    why = decided.fates.select("fate", "code", "reason", "file")
    parts = [_by_reason(some, pl.len()) for some in slices.of(why)]
    counted = _by_reason(pl.concat(parts), pl.col("feedback").sum()).filter(pl.col("fate") != "kept")
    ordered = counted.sort("feedback", "code", "file", descending=[True, False, False])
    return ordered.select("fate", "code", "feedback", example="reason")


def _by_reason(rows: pl.DataFrame, count: pl.Expr) -> pl.DataFrame:
    """One row for each fate and code, with the first file that met it."""
    first = pl.col("reason").get(pl.col("file").arg_min())
    return rows.group_by("fate", "code").agg(first, pl.col("file").min(), feedback=count.cast(pl.UInt32))


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
    return "no feedback trains: nothing was written or published, and what was there stays"


def _documents(
    decided: Decided, reviewed: Path, report: Mapping[str, Any], classes: Taxonomy
) -> tuple[str, dict[str, bytes]]:
    """The id of this round, and every document of the unit by its key."""
    table = retraining.csv(decided.rows, classes)
    said = {name: (reviewed / name).read_bytes() for name in decided.reviews["file"].sort()}
    round_id = hashlib.sha256(b"\0".join([table, *(name.encode() for name in said)])).hexdigest()[:12]
    told = tree.json_file(formats.numbered(report))
    documents = {
        tree.RETRAIN_TABLE: table,
        tree.REPORT: told,
        tree.REFUSED: spreadsheets.csv(_refused(decided)),
        tree.WITHHELD: _withheld(decided),
    }
    return round_id, documents | {
        f"{tree.ROUNDS}{round_id}/{name}": data for name, data in {tree.REPORT: told, **said}.items()
    }


def _withheld(decided: Decided) -> bytes:
    """withheld.csv: the feedback on held-out images, and whether it trains all the same."""
    said = ("file", "feedback_id", "image_id", "split", "code", "reason")
    held_out = decided.fates.filter(pl.col("split").is_in(WITHHELD))
    return spreadsheets.csv(held_out.select(*said, included=pl.col("fate") != "withheld").sort("file"))


def _earlier_rounds(folder: Path, store: Store, standing: bytes | None, stones: pl.DataFrame) -> dict[str, bytes]:
    """The documents of every round before, from this disk and else from the store: no review that trained is lost.

    But for reviews of what was forgotten elsewhere. standing: the manifest of the store's unit.
    """
    found = {key: (folder / key).read_bytes() for key in _round_keys(manifest.read(folder)) if (folder / key).is_file()}
    unit = manifest.RETRAIN_UNIT
    with suppress(DatasetError):  # a damaged manifest leads nowhere; publishing says so and replaces it
        for key in _round_keys(manifest.decode(standing, name=unit) if standing else None):
            if key not in found and (document := store.get(f"{unit}/{key}")) is not None:
                found[key] = document
    images = {key: documents.plain(data) or {} for key, data in found.items() if not key.endswith(f"/{tree.REPORT}")}
    named = {key: str(told.get("image_id", "")) for key, told in images.items()}
    forgotten = tombstones.forgotten(stones, named.values())
    return {key: data for key, data in found.items() if named.get(key) not in forgotten}


def _round_keys(listed: pl.DataFrame | None) -> list[str]:
    return [] if listed is None else listed.filter(pl.col("key").str.starts_with(tree.ROUNDS))["key"].to_list()

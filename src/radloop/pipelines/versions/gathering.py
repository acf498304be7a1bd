"""All rows of a new version: the source's, those that the version before holds beside them, and those to add."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from radloop.catalog import classes, tombstones
from radloop.catalog.classes import Resolved, Wishes
from radloop.catalog.version import Earlier
from radloop.dataset import additions, findings, identity, ids, kept_splits, pictures, suspicion
from radloop.dataset.additions import Added
from radloop.dataset.findings import Validated
from radloop.options import Transform
from radloop.pipelines.versions import refusing
from radloop.pipelines.versions.continuing import Continued
from radloop.pipelines.versions.joining import Joining
from radloop.sources import formats, raw
from radloop.sources.formats import csv
from radloop.sources.raw import RawData
from radloop.taxonomy import Taxonomy
from radloop.words import several


@dataclass(frozen=True)
class Gathered:
    """The rows, validated, with the classes that they speak of."""

    valid: Validated
    taxonomy: Taxonomy
    number: int  # rows in
    moved: frozenset[str]  # images that have to be in training now
    notes: tuple[str, ...]
    found: pl.DataFrame  # image_id, path, problem: the pictures of the source, and incoming ones that rows are of
    kept_splits: pl.DataFrame | None = None  # image_id, split: as the table has them


def gather(
    data: RawData,
    found: pl.DataFrame,
    wishes: Wishes,
    continued: Continued,
    options: Transform,
    joining: Joining,
) -> Gathered:
    """The rows of the `data`, of the version before and of the retrain.csv to add, for the pictures `found`.

    Rows beside the source's may be of incoming pictures (`joining`).
    """
    name, labels = data.title, formats.read(data)
    matched = ids.match(labels.rows["image_id"], found, name=name)
    rows, ragged, found = (
        tombstones.remain(table, continued.stones) for table in (matched.apply(labels.rows), labels.rejected, found)
    )
    kept = kept_splits.read(rows, name=name) if options.keep_splits else None
    earlier = continued.earlier
    resolved = classes.resolve(rows, wishes, previous=earlier.taxonomy if earlier else None, own=labels.classes)
    headers = _headers(data, found)
    valid = findings.validate(
        rows,
        resolved,
        sizes=_sizes(data, rows, found, headers),
        pictures=headers,
        boxes=labels.boxes if data.boxes == "auto" else data.boxes,
        boxes_why="" if data.boxes != "auto" else f"the format {data.format} has them so",
        decimal=labels.decimal,
        source=data.name,
        name=name,
        broken=matched.apply(ragged),
        limit=refusing.limit(options),
    )
    same = joining.same_people(rows).join(valid.findings, on="image_id", how="semi")
    valid = replace(valid, patients=pl.concat([valid.patients, same]), rejected=pl.concat([ragged, valid.rejected]))
    suspicion.refuse(valid, name=name)
    new, silent = _added(options.add, resolved, wishes, continued.stones) if options.add else (None, ())
    carried = _carried(earlier, resolved, wishes) if earlier else None
    settled = joining.assignment(continued)
    joined, pictured = _joined(carried, new, found, settled, joining)
    merged, moved = additions.merge(
        valid,
        carried,
        new,
        previous=settled,
        pictures=pictured,
        blind=additions.blinded(earlier.annotations if earlier else None) if options.blind_production else None,
    )
    found = pl.concat([found, joined])
    merged = refusing.with_pictures(options, merged, found, name=name, hint=matched.hint)
    notes = (
        *_of_ids(labels.rows, rows, matched),
        *labels.notes,
        *_of_columns(rows, options),
        *resolved.notes,
        *silent,
        *joining.of_other_recipes(joined["image_id"], earlier.summary.get("recipe") if earlier else None),
    )
    return Gathered(merged, resolved.taxonomy, len(merged.findings) + len(merged.rejected), moved, notes, found, kept)


def _joined(
    carried: Added | None, new: Added | None, found: pl.DataFrame, settled: pl.DataFrame | None, joining: Joining
) -> tuple[pl.DataFrame, pl.Series]:
    """The incoming pictures that rows beside the source's are of, and every image that has a picture.

    Of what never trains no picture is asked for: its rows are refused for that.
    """
    beside = {one for part in (carried, new) if part is not None for one in part.valid.findings["image_id"]}
    never = additions.withheld(settled).keys()
    joined = joining.pictures(beside - never - set(found["image_id"]))
    return joined, pl.concat([found["image_id"], joining.pictured(beside & never), joined["image_id"]])


def without_forgotten(
    gathered: Gathered, inspected: pl.DataFrame, stones: pl.DataFrame
) -> tuple[Gathered, pl.DataFrame]:
    """The rows and PICTURES without those whose gray values were forgotten: the same picture under another name."""
    left = tombstones.remain(inspected, stones)
    gone = inspected.join(left, on="image_id", how="anti")["image_id"].to_list()
    if not gone:
        return gathered, inspected
    valid, found = gathered.valid, gathered.found.filter(~pl.col("image_id").is_in(gone))
    stays = ~pl.col("image_id").is_in(gone).fill_null(value=False)
    valid = replace(
        valid,
        findings=valid.findings.filter(stays),
        origins=valid.origins.filter(valid.findings.select(stays).to_series()),
        rejected=valid.rejected.filter(stays),
        patients=valid.patients.filter(stays),
        lost=valid.lost.filter(stays),
    )
    note = f"{several(len(gone), 'picture')} left out: the same gray values were forgotten, under another name"
    number = valid.findings.height + valid.rejected.height
    return replace(gathered, valid=valid, found=found, number=number, notes=(*gathered.notes, note)), left


def _of_ids(rows: pl.DataFrame, left: pl.DataFrame, matched: ids.Matched) -> Iterator[str]:
    """That ids were matched with pictures, and that rows are left out for good; of whom stands nowhere."""
    yield from filter(None, [matched.note])
    if left.height < rows.height:
        images = matched.apply(rows)["image_id"].n_unique() - left["image_id"].n_unique()
        yield f"{several(rows.height - left.height, 'row')} of {several(images, 'image')} left out: they were forgotten"


def _headers(data: RawData, found: pl.DataFrame) -> pl.DataFrame | None:
    """The sizes of the pictures. Those that a recipe made tell nothing: their shape is what the recipe says."""
    own = data.recipe is not None and data.boxes != "picture"
    return None if data.pictures is None or own else pictures.read_headers(data.pictures, found)


def _of_columns(rows: pl.DataFrame, options: Transform) -> Iterator[str]:
    """What is to be said of the table's columns."""
    if "split" in rows.columns and not options.keep_splits:
        yield "the splits that the source has are not used, the images are assigned anew; --keep-splits keeps them"
    yield from identity.warnings(rows)


def _sizes(data: RawData, rows: pl.DataFrame, found: pl.DataFrame, headers: pl.DataFrame | None) -> pl.DataFrame | None:
    """The frame of each image for where its rows do not say: train_meta.csv, else the pictures' headers.

    Headers never fill the gaps of columns or of train_meta.csv: they are of the stretched pictures, and a small box in
    original pixels would pass with the wrong scale.
    """
    if data.sizes:
        return ids.of_sizes(raw.read_sizes(data.sizes), found, name=data.sizes.name)
    return None if {"width", "height"} <= set(rows.columns) else headers


def _carried(earlier: Earlier, resolved: Resolved, wishes: Wishes) -> Added | None:
    """What the version before holds beside its readers' rows."""
    rows = additions.of_version(earlier.annotations)
    return _own(rows, resolved, wishes, source=additions.CARRIED, name=additions.CARRIED) if rows.height else None


def _added(add: Path, resolved: Resolved, wishes: Wishes, stones: pl.DataFrame) -> tuple[Added | None, tuple[str, ...]]:
    """The rows of a retrain.csv that become labels, and a sentence about the others; what is refused names the file."""
    rows, ragged = csv.read_annotations(add, source=additions.SOURCE, also=additions.COLUMNS)
    rows = tombstones.remain(rows, stones)
    training = additions.training(rows)
    left = rows.height - training.height
    notes = (f"{left} of {rows.height} rows of {add.name} do not train (`trains` is false) and are not added",)
    if training.is_empty() and ragged.is_empty():
        return None, notes
    added = _own(training, resolved, wishes, source=additions.SOURCE, name=add.name)
    added = replace(added, valid=replace(added.valid, rejected=pl.concat([ragged, added.valid.rejected])))
    return added, notes if left else ()


def _own(rows: pl.DataFrame, resolved: Resolved, wishes: Wishes, *, source: str, name: str) -> Added:
    """The rows of a table that radloop wrote, boxes in 1024×1024 pixels."""
    meant = classes.of_taxonomy(rows, resolved.taxonomy, renamed=wishes.renamed, left_out=resolved.left_out)
    valid = findings.validate(rows, meant, sizes=None, boxes="scaled", source=source, name=name, own=True)
    return additions.added(valid, rows)

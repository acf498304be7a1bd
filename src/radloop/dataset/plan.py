"""Every file of a dataset version, with its bytes or its source: all is decided here, nothing is written."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from radloop import formats, manifest, sealed, spreadsheets, sums, tree
from radloop.catalog import heldout, tombstones, version
from radloop.dataset import reading_files
from radloop.dataset.labelling import Labelling
from radloop.dataset.labelling import labels as labels_of
from radloop.dataset.made import Made
from radloop.dataset.reading_files import Part, Parts
from radloop.errors import DatasetError
from radloop.tables import (
    ANNOTATION_COLUMNS,
    ANNOTATIONS,
    EDGES,
    FINDINGS,
    MANIFEST,
    READER,
    SCALED_SIDE_PX,
    SPLITS,
    Split,
)
from radloop.taxonomy import Taxonomy


@dataclass(frozen=True)
class Ancestry:
    """The versions that one follows on, and what they held out."""

    lineage: str
    memory: pl.DataFrame  # HELDOUT, what this version holds out included
    previous: str | None = None  # the id of the version that it continues; None: it begins its lineage
    replaces: str | None = None  # the id of the one that --fresh set aside
    proof: Mapping[str, Any] = field(default_factory=dict)  # what splits.json tells of the way from `previous`
    stones: pl.DataFrame = field(default_factory=tombstones.NOTHING.clone)  # TOMBSTONES: what was taken away for good


@dataclass(frozen=True)
class Account:
    """Where a version comes from and what was left out of it, for its documents."""

    source: str
    settings: Mapping[str, Any]
    proof: Mapping[str, Any]  # of the splits
    rejected: pl.DataFrame  # REJECTED
    lost: pl.DataFrame  # image_id, rad_id of the readings that were lost
    ancestry: Ancestry | None = None
    standing: Mapping[str, Ancestry] = field(default_factory=dict)  # by id, of versions that this may turn out to be
    recipe: str | None = None  # that the pictures were made by of DICOM files
    radiographs: pl.DataFrame | None = None  # RADIOGRAPHS, of those files

    def ancestry_of(self, version_id: str) -> Ancestry | None:
        """That of a version which stands already is what it was: built again it tells the same."""
        return self.standing.get(version_id, self.ancestry)


@dataclass(frozen=True)
class Plan:
    """One dataset version: what to link, what to write, and the list of all."""

    images: pl.LazyFrame  # MANIFEST, and source: the picture's path in the folder of pictures; by key
    labels: pl.LazyFrame  # MANIFEST, and text; by key
    documents: dict[str, bytes]  # by key: every other file but the manifest and what is `large`
    manifest: pl.LazyFrame  # MANIFEST: all of the others, by key
    version: str
    large: Mapping[str, Made] = field(default_factory=dict)  # by key: documents that no memory need hold


def build(
    findings: pl.DataFrame,
    pictures: pl.DataFrame,
    assignment: pl.DataFrame,
    classes: Taxonomy,
    labelling: Labelling,
    account: Account,
) -> Plan:
    """Decide every file of the dataset from FINDINGS, PICTURES and ASSIGNMENT.

    Rows of `findings` with `used` false (`additions.merge` tells why) stay in annotations.parquet and make no label.
    "consensus" does not touch `used`: a box that too few readers drew was heard and outvoted, and consensus.parquet
    tells so.

    A label that would be empty is an empty file, or with `no_finding="class"` one box of the class "No finding" around
    the whole picture: the only box that claims no place for what is not there. An image of which a reading was lost
    gets no empty consensus: the lost reader may have seen something.

    Boxes may overhang the picture by the pixel that validation lets pass. Labels end at its edge, since trainers drop
    an image for a coordinate over 1; summary.json counts such boxes.

    Raises DatasetError where two readings would have one file name, or where training or validation would be empty.
    """
    parts = Parts(_marked(findings), assignment, pictures)
    files, documents, counted = _readings(parts, labelling, account, empty=labelling.empty(classes))
    yamls = _yamls(labelling, classes, set(files["folder"].unique()), assignment, account.recipe)
    image_files, label_files = reading_files.lists(files)
    del files  # the lists hold what is left of them
    version_id = manifest.version(_all_of(image_files, label_files, yamls))
    ancestry = account.ancestry_of(version_id)
    documents |= yamls | {
        tree.CLASSES: tree.classes_txt(labelling.names(classes)),
        tree.ANNOTATIONS: version.encode_parts(
            (_annotations(part, classes) for part in parts), findings.height, classes
        ),
        tree.REJECTED: spreadsheets.csv(account.rejected.sort(pl.all(), nulls_last=True)),
        tree.PROOF: tree.json_file(formats.numbered({**account.proof, **(ancestry.proof if ancestry else {})})),
    }
    documents |= _remembered(ancestry) | _of_radiographs(account, image_files)
    documents[tree.SUMMARY] = _summary(version_id, ancestry, account, classes, counted, findings.height)
    large = {tree.BOXES: Made.of(lambda: _boxes_csv(parts, classes))}
    every = _all_of(image_files, label_files, documents, large)
    return Plan(image_files, label_files, documents, every, version_id, large)


def _readings(
    parts: Parts, labelling: Labelling, account: Account, *, empty: str
) -> tuple[pl.DataFrame, dict[str, bytes], Counter[str]]:
    """The files of all readings (`reading_files.of`), the document that explains a consensus, and what to count."""
    files, consensus, counted = [], [], Counter[str]()
    for part in parts:
        used = _used(part)
        made, fused = labels_of(used, part.assignment, labelling, account.lost)
        files.append(reading_files.of(made, part.pictures, empty=empty))
        consensus += [] if fused is None else [fused]
        counted.update(_counted(part, used, made))
    documents = {tree.CONSENSUS: sealed.encode(pl.concat(consensus))} if consensus else {}
    return pl.concat(files), documents, counted


def _summary(
    version_id: str,
    ancestry: Ancestry | None,
    account: Account,
    classes: Taxonomy,
    counted: Counter[str],
    rows_kept: int,
) -> bytes:
    return tree.json_file(
        formats.numbered(
            {
                **_files_counted(counted),
                "version": version_id,
                **_descent(ancestry),
                **_origin(account),
                "classes": classes.names,
                "settings": account.settings,
                **_boxes_counted(counted),
                **_rows_counted(rows_kept, counted, account),
                **tombstones.counted(ancestry.stones if ancestry else tombstones.NOTHING),
            }
        )
    )


def _used(part: Part) -> pl.DataFrame:
    """The findings that make labels, boxes inside the picture."""
    return part.findings.filter("used").with_columns(pl.col(EDGES).clip(0, 1))


def _counted(part: Part, used: pl.DataFrame, labels: pl.DataFrame) -> dict[str, int]:
    judged = labels.filter(pl.col("folder") != pl.col("split"))
    outside = pl.any_horizontal((pl.col(EDGES) < 0) | (pl.col(EDGES) > 1))
    return {
        "readings": used.select("image_id", "rad_id").n_unique(),
        "files": labels.height,
        "boxes": int(labels["boxes"].sum()),
        "judged": judged.height,
        "judged boxes": int(judged["boxes"].sum()),
        "cut": part.findings.filter(outside, "used").height,
        **dict(labels.group_by("split").agg(pl.col("image_id").n_unique()).iter_rows()),
    }


def _marked(findings: pl.DataFrame) -> pl.DataFrame:
    """The rows with `used`, `source` and `final`; what does not tell is all the readers'."""
    own = {"used": pl.lit(value=True), "source": pl.lit(READER), "final": pl.lit(value=False)}
    return findings.with_columns(**{name: one for name, one in own.items() if name not in findings.columns})


def _remembered(ancestry: Ancestry | None) -> dict[str, bytes]:
    """The memory, and the tombstones where there are any."""
    if ancestry is None:
        return {}
    stones = {tree.TOMBSTONES: tombstones.encode(ancestry.stones)} if ancestry.stones.height else {}
    return {tree.HELDOUT: heldout.encode(ancestry.memory), **stones}


def _of_radiographs(account: Account, images: pl.LazyFrame) -> dict[str, bytes]:
    """What the DICOM files of the dataset's pictures tell, where they were made of some."""
    if account.radiographs is None:
        return {}
    told = account.radiographs.join(images.select("image_id").collect(), on="image_id", how="semi").sort("image_id")
    return {tree.RADIOGRAPHS: sealed.encode(told)}


def _origin(account: Account) -> dict[str, str]:
    """Where the pictures come from; where they were made of DICOM files, by which recipe."""
    return {"source": account.source} | ({tree.RECIPE: account.recipe} if account.recipe else {})


def _descent(ancestry: Ancestry | None) -> dict[str, str | None]:
    if ancestry is None:
        return {}
    return {"lineage": ancestry.lineage, "previous": ancestry.previous, "replaces": ancestry.replaces}


def _boxes_counted(counted: Counter[str]) -> dict[str, Any]:
    """How many boxes all labels hold, and what of the files is a consensus beside its readers' files."""
    apart = {"images": counted["judged"], "labels": counted["judged"], "boxes": counted["judged boxes"]}
    return {"boxes_written": counted["boxes"]} | ({"judged": apart} if counted["judged"] else {})


def _files_counted(counted: Counter[str]) -> dict[str, Any]:
    splits = {split: counted[split] for split in SPLITS}
    return {
        "total_unique_images": sum(splits.values()),
        "total_image_radiologist_combinations": counted["readings"],
        "labels_created": counted["files"],
        "images_copied": counted["files"],
        "splits": splits,
    }


def _rows_counted(kept: int, counted: Counter[str], account: Account) -> dict[str, int]:
    return {
        "boxes_cut_at_the_edge": counted["cut"],
        "rows_kept": kept,
        "rows_refused": account.rejected.height,
        "readings_lost": account.lost.height,
    }


def _all_of(
    images: pl.LazyFrame, labels: pl.LazyFrame, documents: Mapping[str, bytes], large: Mapping[str, Made] | None = None
) -> pl.LazyFrame:
    """MANIFEST of all files, by key: put together as it is read."""
    readings = images.select(MANIFEST.names()).merge_sorted(labels.select(MANIFEST.names()), key="key")
    return readings.merge_sorted(listed(documents, large).sort("key").lazy(), key="key")


def _require_filled(folders: set[str], assignment: pl.DataFrame, labelling: Labelling) -> None:
    """A trainer stops at an empty folder; an image of which a reading was lost may have no consensus."""
    for split in ("training", "validation"):
        if split in assignment["split"] and labelling.folder(split) not in folders:
            raise DatasetError(
                f"No image of {split} has a consensus: of each a reading was refused, and those that are left found "
                "nothing. Mend the rows in rejected.csv, or label and judge per reader."
            )


def _yamls(
    labelling: Labelling, classes: Taxonomy, filled: set[str], assignment: pl.DataFrame, recipe: str | None
) -> dict[str, bytes]:
    """The trainer's files, for its own three splits and one for each other split as `val`.

    A comment names the recipe of the pictures, so that it is part of the version id.
    A split without images has none: the trainer stops at an empty folder.
    """
    _require_filled(filled, assignment, labelling)
    place = {split: f"{labelling.folder(split)}/images" for split in SPLITS}
    others = [split for split in SPLITS if labelling.folder(split) in filled and split not in tree.TRAINERS_OWN]
    keys: dict[Split, str] = {"validation": tree.DATA, **{split: tree.data_of(split) for split in others}}
    test = {"test": place["test"]} if labelling.folder("test") in filled else {}
    comment = f"# {tree.RECIPE}: {recipe}\n" if recipe else ""
    return {
        key: tree.data_yaml(
            {"train": place["training"], "val": place[split]} | test, labelling.names(classes), comment=comment
        )
        for split, key in keys.items()
    }


def _annotations(part: Part, classes: Taxonomy) -> pl.DataFrame:
    """Every finding with its class's name, its split, group and picture (ANNOTATIONS)."""
    class_id = classes.to_file(pl.col("class_id"))
    order = [
        class_id if name == "class_id" else pl.col(name) for name in (*FINDINGS.names(), "used", "source", "final")
    ]
    return (
        part.findings.join(part.assignment, on="image_id", how="left")
        .join(part.pictures.select("image_id", "phash", "md5"), on="image_id", how="left")
        .with_columns(class_name=classes.named(pl.col("class_id")))
        .select(ANNOTATIONS.names())
        .sort(order)
    )


def _scaled(part: Part, classes: Taxonomy) -> pl.DataFrame:
    """train.csv's columns and split. A power of two as side: divided by it again, the very same boxes come out."""
    return (
        _used(part)
        .join(part.assignment, on="image_id")
        .select(
            "image_id",
            "rad_id",
            classes.to_file(pl.col("class_id")),
            "split",
            classes.named(pl.col("class_id")).alias("class_name"),
            *(pl.col(edge).alias(edge.removesuffix("_norm")) * SCALED_SIDE_PX for edge in EDGES),
        )
        .select(*ANNOTATION_COLUMNS, "split")
        .sort("image_id", "rad_id", "class_id", *ANNOTATION_COLUMNS[-4:])
    )


def _boxes_csv(parts: Parts, classes: Taxonomy) -> Iterator[bytes]:
    for number, part in enumerate(parts):
        yield _scaled(part, classes).write_csv(include_header=number == 0).encode()


def listed(documents: Mapping[str, bytes], large: Mapping[str, Made] | None = None) -> pl.DataFrame:
    """MANIFEST of files that are neither pictures nor labels."""
    told = [(key, len(data), sums.of(data)) for key, data in documents.items()]
    told += [(key, made.size, made.sums) for key, made in (large or {}).items()]
    rows = [(key, tree.document_kind(key), None, None, None, size, *both) for key, size, both in told]
    return pl.DataFrame(rows, schema=MANIFEST, orient="row")

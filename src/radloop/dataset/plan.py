"""Every file of a dataset version, with its bytes or its source: all is decided here, nothing is written."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from radloop import manifest, sealed, tree
from radloop.catalog import heldout, tombstones, truth, version
from radloop.errors import DatasetError, UsageError
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
from radloop.words import LabelKind


@dataclass(frozen=True)
class Labelling:
    """How labels are made of what the readers drew.

    With labels per reader and `judge` "consensus" every split but training has its consensus in a folder of its own
    beside its readers' files, and the trainer's files name that folder. Raises UsageError for the other way round.
    """

    labels: LabelKind = "per-reader"
    judge: LabelKind | None = None  # what is not training is judged by; None: by `labels`
    min_readers: int = 1  # of a consensus box; as many as have read the image, where those are fewer
    no_finding: Literal["background", "class"] = "background"

    def __post_init__(self) -> None:
        """Refuse what would judge by opinions what has learned the consensus."""
        if self.labels == "consensus" and self.judge == "per-reader":
            raise UsageError(
                "--labels consensus with --judge per-reader would show a trainer each picture of validation once for "
                "each of its readers, and score the consensus against opinions. Leave --judge out, or train per "
                "reader: --labels per-reader, with --judge consensus."
            )

    @property
    def judged_apart(self) -> bool:
        """Whether what is not training has its consensus beside its readers' files."""
        return self.labels == "per-reader" and self.judge == "consensus"

    def folder(self, split: str) -> str:
        """The folder that a trainer's file names for a split."""
        return tree.folder(split, consensus=self.judged_apart and split != "training")

    def names(self, classes: Taxonomy) -> tuple[str, ...]:
        """The classes that the detector is taught."""
        return classes.file_names(with_nothing=self.no_finding == "class")

    def empty(self, classes: Taxonomy) -> str:
        """The text of a label without a box."""
        return tree.whole_picture(classes.nothing) if self.no_finding == "class" else ""


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

    images: pl.DataFrame  # MANIFEST, and source: the picture's path in the folder of pictures
    labels: pl.DataFrame  # MANIFEST, and text
    documents: dict[str, bytes]  # by key: every other file but the manifest
    manifest: pl.DataFrame  # MANIFEST: all of the above
    version: str


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
    findings = _marked(findings)
    used = findings.filter("used").with_columns(pl.col(EDGES).clip(0, 1))
    files, documents = _labelled(used, assignment, labelling, account)
    _require_distinct(files)
    image_files = _images(files, pictures)
    label_files = _labels(files, empty=labelling.empty(classes))
    yamls = _yamls(labelling, classes, files, assignment, account.recipe)
    version_id = manifest.version(pl.concat([image_files, label_files, listed(yamls)], how="diagonal"))
    ancestry = account.ancestry_of(version_id)
    documents |= yamls | {
        tree.CLASSES: tree.classes_txt(labelling.names(classes)),
        tree.ANNOTATIONS: version.encode(_annotations(findings, assignment, pictures, classes), classes),
        tree.BOXES: _csv(_scaled(used, assignment, classes)),
        tree.REJECTED: _csv(account.rejected.sort(pl.all(), nulls_last=True)),
        tree.PROOF: tree.json_file({**account.proof, **(ancestry.proof if ancestry else {})}),
    }
    documents |= _remembered(ancestry) | _of_radiographs(account, files)
    documents[tree.SUMMARY] = tree.json_file(
        {
            **_files_counted(findings, files, image_files, label_files),
            "version": version_id,
            **_descent(ancestry),
            **_origin(account),
            "classes": classes.names,
            "settings": account.settings,
            **_boxes_counted(files),
            **_rows_counted(findings, account),
            **tombstones.counted(ancestry.stones if ancestry else tombstones.NOTHING),
        }
    )
    return Plan(
        images=image_files,
        labels=label_files,
        documents=documents,
        manifest=_all_of(image_files, label_files, documents),
        version=version_id,
    )


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


def _of_radiographs(account: Account, files: pl.DataFrame) -> dict[str, bytes]:
    """What the DICOM files of the dataset's pictures tell, where they were made of some."""
    if account.radiographs is None:
        return {}
    told = account.radiographs.join(files, on="image_id", how="semi").sort("image_id")
    return {tree.RADIOGRAPHS: sealed.encode(told)}


def _origin(account: Account) -> dict[str, str]:
    """Where the pictures come from; where they were made of DICOM files, by which recipe."""
    return {"source": account.source} | ({tree.RECIPE: account.recipe} if account.recipe else {})


def _descent(ancestry: Ancestry | None) -> dict[str, str | None]:
    if ancestry is None:
        return {}
    return {"lineage": ancestry.lineage, "previous": ancestry.previous, "replaces": ancestry.replaces}


def _labelled(
    used: pl.DataFrame, assignment: pl.DataFrame, labelling: Labelling, account: Account
) -> tuple[pl.DataFrame, dict[str, bytes]]:
    """The files to be (image_id, rad_id, split, folder, stem, text and boxes), and the documents that explain them.

    text and boxes are null of a file without boxes.
    """
    split = assignment.select("image_id", "split")
    beside = pl.format(tree.folder("{}", consensus=True), "split")
    if labelling.labels == "consensus":
        files, fused = _by_consensus(used, labelling, account.lost)
        return files.join(split, on="image_id").with_columns(folder="split"), {tree.CONSENSUS: sealed.encode(fused)}
    files = _by_reader(used).join(split, on="image_id").with_columns(folder="split")
    if not labelling.judged_apart:
        return files, {}
    held = used.join(split.filter(pl.col("split") != "training"), on="image_id", how="semi", maintain_order="left")
    judged, fused = _by_consensus(held, labelling, account.lost)
    judged = judged.join(split, on="image_id").with_columns(folder=beside)
    return pl.concat([files, judged]), {tree.CONSENSUS: sealed.encode(fused)}


def _by_reader(used: pl.DataFrame) -> pl.DataFrame:
    """image_id, rad_id, stem of every reading; text and boxes of those that found something."""
    named = used.with_columns(stem=pl.format("{}_{}", "image_id", "rad_id"))
    texts = tree.texts(named.filter(pl.col("class_id").is_not_null()))
    return named.select("image_id", "rad_id", "stem").unique().join(texts, on="stem", how="left")


def _by_consensus(used: pl.DataFrame, labelling: Labelling, lost: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same of every image that has a consensus, without a reader; and CONSENSUS."""
    fused = truth.fuse(used, min_readers=labelling.min_readers)
    kept = fused.filter("kept")
    doubtful = lost.join(kept, on="image_id", how="anti")
    images = used.select("image_id", pl.lit(None, pl.String).alias("rad_id"), stem="image_id").unique()
    named = images.join(doubtful, on="image_id", how="anti")
    return named.join(tree.texts(kept.with_columns(stem="image_id")), on="stem", how="left"), fused


def _boxes_counted(files: pl.DataFrame) -> dict[str, Any]:
    """How many boxes all labels hold, and what of the files is a consensus beside its readers' files."""
    judged = files.filter(pl.col("folder") != pl.col("split"))
    apart = {"images": judged.height, "labels": judged.height, "boxes": judged["boxes"].sum()}
    return {"boxes_written": files["boxes"].sum()} | ({"judged": apart} if judged.height else {})


def _files_counted(
    findings: pl.DataFrame, files: pl.DataFrame, images: pl.DataFrame, labels: pl.DataFrame
) -> dict[str, Any]:
    return {
        "total_unique_images": files["image_id"].n_unique(),
        "total_image_radiologist_combinations": findings.filter("used").select("image_id", "rad_id").n_unique(),
        "labels_created": labels.height,
        "images_copied": images.height,
        "splits": {split: files.filter(split=split)["image_id"].n_unique() for split in SPLITS},
    }


def _rows_counted(findings: pl.DataFrame, account: Account) -> dict[str, int]:
    outside = pl.any_horizontal((pl.col(EDGES) < 0) | (pl.col(EDGES) > 1))
    return {
        "boxes_cut_at_the_edge": findings.filter(outside, "used").height,
        "rows_kept": findings.height,
        "rows_refused": account.rejected.height,
        "readings_lost": account.lost.height,
    }


def _require_distinct(files: pl.DataFrame) -> None:
    twice = files.filter(pl.struct("folder", "stem").is_duplicated()).sort("stem", "folder", "image_id").head(2)
    if twice.height:
        both = " and ".join(
            f"image {image_id!r} of {rad_id!r}" for image_id, rad_id in twice["image_id", "rad_id"].rows()
        )
        raise DatasetError(f"{both} would both be the file {twice['stem'][0]}. Rename one in the annotations.")


def _require_filled(files: pl.DataFrame, assignment: pl.DataFrame, labelling: Labelling) -> None:
    """A trainer stops at an empty folder; an image of which a reading was lost may have no consensus."""
    for split in ("training", "validation"):
        if split in assignment["split"] and labelling.folder(split) not in files["folder"]:
            raise DatasetError(
                f"No image of {split} has a consensus: of each a reading was refused, and those that are left found "
                "nothing. Mend the rows in rejected.csv, or label and judge per reader."
            )


def _all_of(images: pl.DataFrame, labels: pl.DataFrame, documents: Mapping[str, bytes]) -> pl.DataFrame:
    """MANIFEST of all files."""
    kinds = [images.select(MANIFEST.names()), labels.select(MANIFEST.names()), listed(documents)]
    return pl.concat(kinds).sort("key")


def _images(files: pl.DataFrame, pictures: pl.DataFrame) -> pl.DataFrame:
    """MANIFEST and source of every picture file. A picture has one key for each of its readers."""
    sources = {path: os.path.splitext(path)[1].lower() for path in pictures["path"]}
    return (
        files.join(pictures.select("image_id", "bytes", "md5", source="path"), on="image_id")
        .with_columns(
            key=pl.format(
                "{}/images/{}{}", "folder", "stem", pl.col("source").replace_strict(sources, return_dtype=pl.String)
            ),
            kind=pl.lit("image"),
        )
        .select(*MANIFEST.names(), "source")
        .sort("key")
    )


def _labels(files: pl.DataFrame, *, empty: str) -> pl.DataFrame:
    """MANIFEST and text of every label file."""
    filled = files.with_columns(pl.col("text").fill_null(empty))
    distinct = filled["text"].unique()
    sums = pl.DataFrame({"text": distinct, "md5": [hashlib.md5(text.encode()).hexdigest() for text in distinct]})
    return (
        filled.join(sums, on="text")
        .with_columns(
            key=pl.format("{}/labels/{}.txt", "folder", "stem"),
            kind=pl.lit("label"),
            bytes=pl.col("text").str.len_bytes().cast(pl.Int64),
        )
        .select(*MANIFEST.names(), "text")
        .sort("key")
    )


def _yamls(
    labelling: Labelling, classes: Taxonomy, files: pl.DataFrame, assignment: pl.DataFrame, recipe: str | None
) -> dict[str, bytes]:
    """The trainer's files, for its own three splits and one for each other split as `val`.

    A comment names the recipe of the pictures, so that it is part of the version id.
    A split without images has none: the trainer stops at an empty folder.
    """
    _require_filled(files, assignment, labelling)
    filled = set(files["folder"])
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


def _annotations(
    findings: pl.DataFrame, assignment: pl.DataFrame, pictures: pl.DataFrame, classes: Taxonomy
) -> pl.DataFrame:
    """Every finding with its class's name, its split, group and picture (ANNOTATIONS)."""
    class_id = classes.to_file(pl.col("class_id"))
    order = [
        class_id if name == "class_id" else pl.col(name) for name in (*FINDINGS.names(), "used", "source", "final")
    ]
    return (
        findings.join(assignment, on="image_id", how="left")
        .join(pictures.select("image_id", "phash", "md5"), on="image_id", how="left")
        .with_columns(class_name=classes.named(pl.col("class_id")))
        .select(ANNOTATIONS.names())
        .sort(order)
    )


def _scaled(used: pl.DataFrame, assignment: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """train.csv's columns and split. A power of two as side: divided by it again, the very same boxes come out."""
    return (
        used.join(assignment, on="image_id")
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


def _csv(table: pl.DataFrame) -> bytes:
    return table.write_csv().encode()


def listed(documents: Mapping[str, bytes]) -> pl.DataFrame:
    """MANIFEST of files that are neither pictures nor labels."""
    rows = [
        (key, tree.document_kind(key), None, None, None, len(data), hashlib.md5(data).hexdigest())
        for key, data in documents.items()
    ]
    return pl.DataFrame(rows, schema=MANIFEST, orient="row")

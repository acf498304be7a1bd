"""A dataset version as it stands in a folder or a store: what is to be known of it, and how two of them differ."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import formats, manifest, sealed, taxonomy, tree
from radloop.catalog import heldout
from radloop.catalog import incoming as unlabelled
from radloop.errors import DatasetError, TaxonomyError
from radloop.tables import ANNOTATIONS, CLASS_ID, EDGES, INCOMING, PREDICTION, READER, REVIEW
from radloop.taxonomy import Taxonomy
from radloop.vindr import classes as vindr
from radloop.words import AUDIT

Get = Callable[[str], bytes | None]  # the bytes of a key of the unit; None where there is none

_LABEL: Final = ("rad_id", "class_id", *EDGES)


@dataclass(frozen=True)
class Version:
    """One version: where it stands, its id, classes, annotations, files and settings."""

    root: Path
    id: str
    taxonomy: Taxonomy
    annotations: pl.DataFrame  # ANNOTATIONS
    files: pl.DataFrame  # MANIFEST
    settings: Mapping[str, Any]
    memory: pl.DataFrame = field(default_factory=heldout.NOTHING.clone)  # HELDOUT: all that ever was, in its lineage
    synthetic: bool = False  # made up, so that what was simulated on it may train
    recipe: str | None = None  # that its pictures were made by; None where they came as pictures
    incoming: pl.DataFrame = field(default_factory=INCOMING.to_frame)  # INCOMING: of the unit beside it
    summary: Mapping[str, Any] = field(default_factory=dict)  # all that summary.json tells

    @property
    def whole_id(self) -> str:
        """The id of the whole version, as its summary tells it: a part that was pulled lists less."""
        return str(self.summary.get("version") or self.id)

    @property
    def own_images(self) -> pl.DataFrame:
        """One row an image of the dataset alone: image_id, split, group, md5, phash."""
        return images(self.annotations)

    @property
    def images(self) -> pl.DataFrame:
        """One row an image, those of the incoming unit that it has not itself, too: `images`."""
        return images(self.annotations, self.incoming)

    @property
    def guarded(self) -> pl.DataFrame:
        """The same, and of those that are remembered as held out and not here any more: their split is that one."""
        gone = self.memory.select("image_id", "split", "group", "md5", "phash").join(
            self.images, on="image_id", how="anti"
        )
        return pl.concat([self.images, gone.unique("image_id", keep="first", maintain_order=True)]).sort("image_id")

    @property
    def readings(self) -> pl.DataFrame:
        """The rows of the readers alone (ANNOTATIONS): re-training data that took their place in labels is left out."""
        return readings(self.annotations)

    def content(self, key: str) -> bytes | None:
        """The bytes of one of its files; None where it has none of that key. Raises DatasetError for a changed one."""
        return _verified(lambda key: _file(self.root / key), self.files, name=str(self.root))(key)


def images(annotations: pl.DataFrame, incoming: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row an image of ANNOTATIONS, and of INCOMING that it has not: image_id, split, group, md5, phash.

    An image that was added is the dataset's own, and the dataset names the groups that it has an image of. An audit
    image that came into production by the source, too, is still of the audit.
    """
    own = annotations.select("image_id", "split", "group", "md5", "phash").unique("image_id").sort("image_id")
    if incoming is None or incoming.is_empty():
        return own
    waiting, named = unlabelled.images(incoming), own.select("image_id", named="group")
    members = pl.concat([waiting.select("image_id", "group"), waiting.select(image_id="group", group="group")])
    renamed = members.join(named, on="image_id").group_by("group").agg(pl.col("named").min())
    new = waiting.join(own, on="image_id", how="anti").join(renamed, on="group", how="left")
    new = new.with_columns(group=pl.coalesce("named", "group")).select(own.columns)
    audit = pl.col("image_id").is_in(waiting.filter(split=AUDIT)["image_id"].implode())
    split = pl.when(audit & (pl.col("split") == "production")).then(pl.lit(AUDIT)).otherwise("split")
    return pl.concat([own.with_columns(split=split), new]).sort("image_id")


def readings(annotations: pl.DataFrame) -> pl.DataFrame:
    """The rows of ANNOTATIONS that are the readers' own, sorted; of an image that none of them has read, the reviews.

    What a model said is no reading.
    """
    if "source" not in annotations.columns:
        return annotations.sort("image_id", *_LABEL)
    own = annotations.filter(source=READER)
    reviewed = annotations.filter(~pl.col("source").is_in([READER, PREDICTION])).join(own, on="image_id", how="anti")
    return pl.concat([own, reviewed]).sort("image_id", *_LABEL)


def read(folder: Path) -> Version:
    """The version in `folder` or in its `organized/` child. Raises DatasetError where there is none of radloop's."""
    root = manifest.unit_root(folder)
    files = manifest.read(root)
    if files is None:
        raise DatasetError(f"{root} has no {manifest.NAME}: it was not written by radloop. Run `radloop transform`.")
    get = _verified(lambda key: _file(root / key), files, name=str(root))
    try:
        summary = _summary(get, name=str(root))
        settings = dict(summary["settings"])
        classes, annotations = _annotations(get, name=str(root))
    except (LookupError, ValueError, TypeError) as broken:
        raise DatasetError(f"{root} is damaged: {broken}. Run `radloop check {root}`.") from broken
    memory = _memory(get, annotations, summary, name=str(root))
    get(tree.PROOF)  # of no use here, but a changed one tells of a hand in the dataset
    made_up = str(summary.get("source", "")).startswith("synthetic:")
    recipe, unit = recipe_of(summary), unlabelled.read(root)
    return Version(
        root, manifest.version(files), classes, annotations, files, settings, memory, made_up, recipe, unit, summary
    )


@dataclass(frozen=True)
class Earlier:
    """The version that the next one continues."""

    id: str
    taxonomy: Taxonomy
    annotations: pl.DataFrame  # ANNOTATIONS
    memory: pl.DataFrame  # HELDOUT
    summary: Mapping[str, Any]
    proof: Mapping[str, Any]  # of its splits

    @property
    def assignment(self) -> pl.DataFrame:
        """ASSIGNMENT of its images."""
        return self.annotations.select("image_id", "group", "split").unique().sort("image_id")

    @property
    def recipe(self) -> str | None:
        """That its pictures were made by; None where they came as pictures."""
        return recipe_of(self.summary)

    @property
    def lineage(self) -> str:
        """The lineage that it belongs to; of one from before there were any, its own id."""
        return str(self.summary.get("lineage") or self.id)


def earlier(get: Get, *, name: str) -> Earlier | None:
    """The version whose files `get` brings; None where there is no manifest. Every file is checked against it.

    Raises DatasetError for a version that is damaged, was changed, or is not radloop's.
    """
    data = get(manifest.NAME)
    if data is None and get(tree.ANNOTATIONS) is not None:
        raise DatasetError(f"{name} has lost its {manifest.NAME}, without which nothing in it can be trusted.")
    if data is None:
        return None
    listed = manifest.decode(data, name=f"{name}: {manifest.NAME}")
    if tree.ANNOTATIONS not in listed["key"]:
        raise DatasetError(f"{name} holds no {tree.ANNOTATIONS}: it was not written by radloop.")
    get = _verified(get, listed, name=name)
    classes, annotations = _annotations(get, name=name)
    summary = _summary(get, name=name)
    memory = _memory(get, annotations, summary, name=name)
    proof = document(get(tree.PROOF), name=f"{name}: {tree.PROOF}")
    whole = str(summary.get("version") or manifest.version(listed))  # a part that was pulled lists less
    return Earlier(whole, classes, annotations, memory, summary, proof)


def published(get: Get, *, name: str) -> tuple[Taxonomy, pl.DataFrame] | None:
    """The classes and ANNOTATIONS of a version that lies in a store; None where it has no annotations.parquet.

    `get` brings a key of the unit, `name` is what an error calls the place. Raises DatasetError for what is not ours,
    or not what its manifest lists.
    """
    data = get(manifest.NAME)
    if data is not None:
        get = _verified(get, manifest.decode(data, name=f"{name}: {manifest.NAME}"), name=name)
    return None if get(tree.ANNOTATIONS) is None else _annotations(get, name=name)


def _verified(get: Get, listed: pl.DataFrame, *, name: str) -> Get:
    """The same files, each as the manifest lists it: one that was changed, also by radloop's own code, is refused."""
    sums = dict(listed.select("key", "md5").iter_rows())

    def verified(key: str) -> bytes | None:
        data = get(key) if key in sums else None
        if key in sums and (data is None or hashlib.md5(data).hexdigest() != sums[key]):
            raise DatasetError(
                f"{name}: {key} is damaged, or was changed after radloop wrote it: its MD5 is not the one that the "
                f"manifest lists. Run `radloop check {name}`."
            )
        return data

    return verified


def _file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as unreadable:
        raise DatasetError(f"{path} cannot be read: {unreadable.strerror}.") from unreadable


def _annotations(get: Get, *, name: str) -> tuple[Taxonomy, pl.DataFrame]:
    classes = taxonomy_of(get(tree.SUMMARY), name=name)
    return classes, decode(get(tree.ANNOTATIONS) or b"", classes, name=f"{name}: {tree.ANNOTATIONS}")


def _summary(get: Get, *, name: str) -> dict[str, Any]:
    return summary_of(get(tree.SUMMARY), name=name)


def summary_of(data: bytes | None, *, name: str) -> dict[str, Any]:
    """What the bytes of a summary.json tell; nothing where there is none. Raises DatasetError for a damaged one."""
    return document(data, name=f"{name}: {tree.SUMMARY}")


def document(data: bytes | None, *, name: str) -> dict[str, Any]:
    """What the bytes of a JSON document tell; nothing where there is none. Raises DatasetError for a damaged one."""
    formats.require_json(data, name=name)
    try:
        return dict(json.loads(data or b"{}"))
    except (ValueError, TypeError, RecursionError) as broken:
        raise DatasetError(f"{name} is damaged ({broken}). Write the dataset again.") from broken


def _memory(get: Get, annotations: pl.DataFrame, summary: Mapping[str, Any], *, name: str) -> pl.DataFrame:
    """HELDOUT of a version; a version from before there was a memory remembers what it holds out itself."""
    data = get(tree.HELDOUT)
    if data is not None:
        return heldout.decode(data, name=f"{name}: {tree.HELDOUT}")
    if "lineage" in summary:
        raise DatasetError(
            f"{name} has no {tree.HELDOUT}, the memory of what was ever held out. Run `radloop check {name}`."
        )
    return heldout.of_annotations(annotations)


def taxonomy_of(summary: bytes | None, *, name: str) -> Taxonomy:
    """The classes that the bytes of a summary.json tell; VinBigData's for one of before it told any."""
    formats.require_json(summary, name=f"{name}: {tree.SUMMARY}")
    try:
        return taxonomy.of_summary(dict(json.loads(summary or b"{}")), default=vindr.TAXONOMY)
    except (ValueError, TypeError, RecursionError, TaxonomyError) as broken:
        raise DatasetError(f"{name}: {tree.SUMMARY} is damaged ({broken}). Write the dataset again.") from broken


def recipe_of(summary: Mapping[str, Any]) -> str | None:
    """The name of the recipe that the pictures of a version were made by; None where they came as pictures."""
    told = summary.get("recipe")
    return None if told is None else str(told)


def lineage_of_summary(data: bytes) -> str | None:
    """The lineage that the bytes of a summary.json tell."""
    return document(data, name=tree.SUMMARY).get("lineage")


def encode(annotations: pl.DataFrame, classes: Taxonomy) -> bytes:
    """The bytes of annotations.parquet: ANNOTATIONS with "No finding" as files have it, in the order of the table."""
    return encode_parts([annotations], annotations.height, classes)


def encode_parts(parts: Iterable[pl.DataFrame], rows: int, classes: Taxonomy) -> bytes:
    """The same of a table that is given in parts, which have so many rows together."""
    as_in_files = (part.with_columns(classes.to_file(pl.col("class_id"))) for part in parts)
    return sealed.encode_parts(as_in_files, rows, ANNOTATIONS)


def decode(data: bytes, classes: Taxonomy, *, name: str) -> pl.DataFrame:
    """ANNOTATIONS from the bytes of annotations.parquet. Raises DatasetError for anything else."""
    table = sealed.decode(data, name=name)
    if table is None:
        raise DatasetError(f"{name} is not radloop's, or damaged ({len(data)} bytes). Write the dataset again.")
    if "class_id" in table.columns and table.schema["class_id"] == pl.Int8:  # as it was while there were 15 at most
        table = table.cast({"class_id": CLASS_ID})
    if not {"source", "final"} & set(table.columns):
        table = _of_before_sources(table)
    if dict(table.schema) != dict(ANNOTATIONS):
        raise DatasetError(f"{name} is not radloop's: its columns are {', '.join(table.columns)}.")
    if not table["class_id"].is_between(0, classes.nothing).all():
        raise DatasetError(f"{name} holds a class that the dataset has not. Write the dataset again.")
    return table.with_columns(classes.from_file(pl.col("class_id")).alias("class_id"))


def _of_before_sources(table: pl.DataFrame) -> pl.DataFrame:
    """The table of a version that did not tell whose a row is: beside rows that are not used it was no reader's."""
    if not {"image_id", "rad_id", "used"} <= set(table.columns):
        return table
    beside = pl.col("used") & (~pl.col("used")).any().over("image_id")
    of_model = pl.col("rad_id").str.starts_with("M-")
    source = pl.when(~beside).then(pl.lit(READER)).when(of_model).then(pl.lit(PREDICTION)).otherwise(pl.lit(REVIEW))
    return table.with_columns(source=source, final=pl.lit(value=False))


@dataclass(frozen=True)
class Difference:
    """What the next version has that the last one had not."""

    images: tuple[int, int]  # before, after
    labels: pl.DataFrame  # class_name, before, after: boxes in use, or readings in use that found nothing
    added: tuple[str, ...]  # images by id
    removed: tuple[str, ...]
    changed: tuple[str, ...]  # images with other labels
    moved: pl.DataFrame  # image_id, before, after: the splits


def compare(before: pl.DataFrame, after: pl.DataFrame) -> Difference:
    """How two versions differ, from their ANNOTATIONS; a class is the same where its name is."""
    old, new = (table.select("image_id", "split").unique("image_id") for table in (before, after))
    both = old.join(new, on="image_id", suffix="_after")
    moved = both.filter(pl.col("split") != pl.col("split_after")).rename({"split": "before", "split_after": "after"})
    order = (
        pl.concat([after, before])
        .select("class_name", "class_id")
        .unique("class_name", keep="first", maintain_order=True)
    )
    counts = [
        table.filter("used").group_by("class_name").agg(pl.len().alias(name))
        for table, name in ((before, "before"), (after, "after"))
    ]
    labels = order.sort("class_id", "class_name", nulls_last=True).select("class_name")
    for count in counts:
        labels = labels.join(count, on="class_name", how="left", maintain_order="left")
    label = ("rad_id", "class_name", *EDGES)
    used = [table.filter("used").select("image_id", *label) for table in (before, after)]
    one_sided = pl.concat(
        [one.join(other, on=one.columns, how="anti", nulls_equal=True) for one, other in (used, used[::-1])]
    )
    changed = one_sided.join(both, on="image_id", how="semi")["image_id"].unique().sort()
    return Difference(
        images=(old.height, new.height),
        labels=labels.with_columns(pl.col("before", "after").fill_null(0)),
        added=tuple(new.join(old, on="image_id", how="anti")["image_id"].sort()),
        removed=tuple(old.join(new, on="image_id", how="anti")["image_id"].sort()),
        changed=tuple(changed),
        moved=moved.select("image_id", "before", "after").sort("image_id"),
    )

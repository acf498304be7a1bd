"""The re-training data as a unit of files inside the dataset: what to link, what to write, nothing written yet."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import polars as pl

from radloop import manifest, sums, tree
from radloop.catalog.version import Version
from radloop.dataset.labelling import Labelling
from radloop.dataset.plan import Plan, listed
from radloop.errors import DatasetError
from radloop.tables import MANIFEST

_HELD_OUT_WARNING: Final = "# --include-held-out was used: figures on the held-out splits flatter from here on\n"


def build(
    rows: pl.DataFrame, dataset: Version, documents: Mapping[str, bytes], *, include_held_out: bool = False
) -> Plan:
    """Decide every file of the unit from RETRAINING rows and the `documents` beside them, by key.

    Only rows that train become labels; without one there is no file for a trainer.
    A picture is linked once for each reading of it; `source` in `images` is relative to the dataset's folder, in which
    the incoming unit lies, too. Classes and normal labels are as the dataset has them. Raises DatasetError where it
    lacks a picture.
    """
    classes, learned = dataset.taxonomy, rows.filter("trains")
    labelling = Labelling(
        judge="consensus" if dataset.settings.get("judge") == "consensus" else None,
        no_finding="class" if dataset.settings.get("no_finding") == "class" else "background",
    )
    places = {"train": "images", "val": f"../{labelling.folder('validation')}/images"}  # the dataset's, beside the unit
    warning = _HELD_OUT_WARNING if include_held_out else ""
    data = {tree.RETRAIN_DATA: tree.data_yaml(places, labelling.names(classes), comment=warning)}
    every = dict(documents) | (data if learned.height else {})

    shown = pictures(dataset).filter(pl.col("image_id").is_in(learned["image_id"].unique()))
    there = {row["image_id"]: row for row in manifest.filled(shown, dataset.root).iter_rows(named=True)}
    images, labels = [], []
    for image_id, rad_id, split, text in _texts(learned, labelling.empty(classes)):
        picture = there.get(image_id)
        if picture is None:
            raise no_picture(dataset, image_id)
        stem = tree.stem(image_id, rad_id)
        common = {"image_id": image_id, "rad_id": rad_id, "split": split}
        key = f"images/{stem}{PurePosixPath(picture['key']).suffix}"
        images.append(
            {"key": key, "kind": "image", "source": picture["key"]}
            | {name: picture[name] for name in ("bytes", *sums.Sums._fields)}
            | common
        )
        labels.append(_label(f"labels/{stem}.txt", text) | common)

    image_files = pl.DataFrame(images, schema={**MANIFEST, "source": pl.String}).sort("key")
    label_files = pl.DataFrame(labels, schema={**MANIFEST, "text": pl.String}).sort("key")
    files = pl.concat([image_files.select(MANIFEST.names()), label_files.select(MANIFEST.names()), listed(every)]).sort(
        "key"
    )
    return Plan(image_files.lazy(), label_files.lazy(), every, files.lazy(), manifest.version(files))


def pictures(dataset: Version) -> pl.DataFrame:
    """image_id, key, bytes and sums of a picture of each image, in the dataset's folder or the incoming unit in it."""
    own, incoming = (
        files.filter(kind="image").sort("key").unique("image_id", keep="first", maintain_order=True)
        for files in (dataset.files, _of_incoming(dataset))
    )
    both = pl.concat([own, incoming.join(own, on="image_id", how="anti")])
    return both.select("image_id", "key", "bytes", *sums.Sums._fields)


def no_picture(dataset: Version, image_id: str) -> DatasetError:
    """The error for an image that re-training rows are of, and no picture."""
    return DatasetError(
        f"{dataset.root} has no picture of image {image_id}. Was it pulled with --splits? Then pull all of it."
    )


def _of_incoming(dataset: Version) -> pl.DataFrame:
    """MANIFEST of the incoming unit, its keys as seen from the dataset's folder."""
    listed = manifest.read(dataset.root / manifest.INCOMING)
    if listed is None:
        return MANIFEST.to_frame()
    return listed.with_columns(pl.format(f"{manifest.INCOMING}/{{}}", "key").alias("key"))


def _texts(rows: pl.DataFrame, empty: str) -> list[tuple[str, str, str, str]]:
    """image_id, rad_id, split and text of the label of each reading, sorted."""
    named = rows.with_columns(stem=pl.format("{}_{}", "image_id", "rad_id"))
    texts = tree.texts(named.filter(pl.col("class_id").is_not_null()))
    return (
        named.select("image_id", "rad_id", "split", "stem")
        .unique(["image_id", "rad_id"])
        .join(texts, on="stem", how="left")
        .select("image_id", "rad_id", "split", pl.col("text").fill_null(empty))
        .sort("image_id", "rad_id")
        .rows()
    )


def _label(key: str, text: str) -> dict[str, Any]:
    data = text.encode()
    return {"key": key, "kind": "label", "bytes": len(data), **sums.of(data)._asdict(), "text": text}

"""The proof of the splits: what was wanted, what every split got of every class, and how far that is off."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from radloop.dataset import splits
from radloop.dataset.splits import BOXES, IMAGES, TOLERANCE_IMAGES, TOLERANCE_SHARE, Floats, Ints
from radloop.split_sizes import SplitSizes
from radloop.tables import ASSIGNMENT, SPLITS
from radloop.taxonomy import Taxonomy


def of(
    findings: pl.DataFrame,
    assignment: pl.DataFrame,
    sizes: SplitSizes,
    classes: Taxonomy,
    *,
    seed: int,
    previous: pl.DataFrame | None = None,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What splits.json holds: what was wanted, what every split got of every class, and how far that is off.

    `moves` are those from the `previous` version (ASSIGNMENT), `moved_before` those that its proof (`before`) tells, of
    images that are still here: together they say how far the splits may be from what was wanted.

    `expected` is the class's share of the images that the split got; `deviation` is in images, `percent` of expected.
    `worst` is the cell with the largest deviation, measured by what is tolerated: max(1 image, 5 %).
    """
    kept = pl.DataFrame(schema=ASSIGNMENT) if previous is None else previous
    moves = (
        assignment.join(kept.select("image_id", earlier="split").unique(), on="image_id")
        .filter(pl.col("split") != pl.col("earlier"))
        .sort("image_id")
    )
    return {
        "seed": seed,
        "wanted": asdict(sizes.scaled(assignment.height)),
        "continues": previous is not None,
        "moves": [
            {"image_id": image_id, "from": earlier, "to": split}
            for image_id, earlier, split in moves.select("image_id", "earlier", "split").iter_rows()
        ],
        "moved_before": _moved_before(before or {}, assignment),
        **_measure(findings, assignment, classes),
    }


def _moved_before(before: Mapping[str, Any], assignment: pl.DataFrame) -> list[dict[str, str]]:
    """The moves of all versions before, by image."""
    told = [*before.get("moved_before", []), *before.get("moves", [])]
    here = set(assignment["image_id"]) if told else set()
    return sorted((move for move in told if move["image_id"] in here), key=lambda move: str(move["image_id"]))


def verify(annotations: pl.DataFrame, proof: object, classes: Taxonomy) -> list[str]:
    """What is wrong with a dataset's splits by its own annotations (ANNOTATIONS): one sentence each, or none.

    Looks for images and groups in two splits, and counts everything again that the proof says.
    """
    if not isinstance(proof, dict):
        return ["the proof is no JSON object"]
    known = (
        pl.col("split").is_in(SPLITS)
        & pl.col("class_id").is_between(0, len(classes) - 1).fill_null(value=True)
        & pl.col("group").is_not_null()
    )
    strange = annotations.filter(~known.fill_null(value=False)).height
    if strange:
        return [f"{strange} rows of the annotations have no group, no known split or no known class"]
    images = annotations.select(ASSIGNMENT.names()).unique()
    counted = _measure(annotations, images, classes)
    return [*_in_two_splits(images), *_miscounted(proof, counted), *_of_another_size(proof, counted)]


def _in_two_splits(images: pl.DataFrame) -> Iterator[str]:
    for what, column in (("image", "image_id"), ("group", "group")):
        members = images.group_by(column).agg(pl.col("split").unique().sort()).sort(column)
        for name, where in members.filter(pl.col("split").list.len() > 1).iter_rows():
            yield f"{what} {name} is in {len(where)} splits: {', '.join(where)}"


def _miscounted(proof: dict[str, Any], counted: dict[str, Any]) -> Iterator[str]:
    for path, value in _leaves(counted):
        told: Any = proof
        for key in path:
            told = told.get(key) if isinstance(told, dict) else None
        if told != value:
            yield f"the proof says {'.'.join(path)} = {told}, the annotations {value}"


def _of_another_size(proof: dict[str, Any], counted: dict[str, Any]) -> Iterator[str]:
    """Splits that hold another number of images than was wanted; a version that continues another may."""
    if proof.get("continues"):
        return
    slack = counted["groups"]["largest"] if counted["groups"]["of_several_images"] else 0
    wanted = proof.get("wanted")
    for name in SPLITS:
        images = counted["splits"][name]["images"]
        images_wanted = wanted.get(name) if isinstance(wanted, dict) else None
        if not isinstance(images_wanted, int) or abs(images - images_wanted) > slack:
            yield f"split {name} holds {images} images where {images_wanted} were wanted"


def _measure(findings: pl.DataFrame, assignment: pl.DataFrame, classes: Taxonomy) -> dict[str, Any]:
    """The part of the proof that the annotations alone can give again."""
    images = assignment.sort("image_id").with_columns(number=pl.int_range(pl.len()))
    counts = splits.count(findings, images, classes)
    got = splits.sums(counts, splits.numbers(images["split"]))
    expected = np.outer(got[:, IMAGES], got.sum(axis=0)) / max(images.height, 1)
    strain = (np.abs(got - expected) / splits.tolerated(expected))[:, :IMAGES]
    at_split, at_class = (int(i) for i in np.unravel_index(np.argmax(strain), strain.shape))
    cells = _cells(got, expected)
    return {
        "images": images.height,
        "splits": {name: {"images": int(got[i, IMAGES]), "boxes": int(got[i, BOXES])} for i, name in enumerate(SPLITS)},
        "groups": _groups(images),
        "tolerance": {"images": TOLERANCE_IMAGES, "percent": 100 * TOLERANCE_SHARE},
        "even": bool(strain.max() <= 1),
        "worst": {
            "class_id": at_class,
            "split": SPLITS[at_split],
            **cells[at_class][SPLITS[at_split]],
            "of_tolerance": round(float(strain.max()), 3),
        },
        "classes": {
            str(label): {"name": name, "images": int(got[:, label].sum()), "splits": cells[label]}
            for label, name in enumerate(classes.file_names(with_nothing=True))
        },
    }


def _groups(images: pl.DataFrame) -> dict[str, int]:
    split = pl.Series("split", splits.numbers(images["split"]))
    members = (
        images.select("group", split)
        .group_by("group")
        .agg(images=pl.len(), splits=pl.col("split").min() != pl.col("split").max())
    )
    return {
        "number": members.height,
        "of_several_images": int((members["images"] > 1).sum()),
        "largest": int(members["images"].max() or 0),  # type: ignore[arg-type]
        "in_two_splits": int(members["splits"].sum()),
    }


def _cells(got: Ints, expected: Floats) -> list[dict[str, dict[str, Any]]]:
    """Of each class, what each split has of it and how far that is off."""
    deviation = got - expected
    percent = np.divide(100 * deviation, expected, out=np.zeros_like(deviation), where=expected > 0)
    return [
        {
            name: {
                "images": int(got[split, label]),
                "expected": round(float(expected[split, label]), 3),
                "deviation": round(float(deviation[split, label]), 3),
                "percent": round(float(percent[split, label]), 2),
            }
            for split, name in enumerate(SPLITS)
        }
        for label in range(got.shape[1] + IMAGES)
    ]


def _leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value

"""Is the data sound? What a glance can prove, and what deserves a look, in words."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop import manifest, tree
from radloop.dashboard.layout import listed
from radloop.dashboard.loading import Dataset, measured
from radloop.measures import counts

FEW_IMAGES: Final = 10  # with a class in a held-out split: below, a figure on it says little


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and how it is."""

    passed: bool
    says: str


@measured
def checks(dataset: Dataset) -> tuple[Check, ...]:
    """What can be proven from the manifest and the tables in a moment; `radloop check` reads every file."""
    found: list[Check] = []
    files, rows = dataset.manifest, dataset.rows
    if files is not None:
        version, said = manifest.version(files), dataset.summary.get("version")
        found.append(
            Check(version == said, f"the manifest's version {version} is the summary's")
            if version == said
            else Check(False, f"the manifest is of version {version}, the summary of {said}")
        )
        found.append(Check(True, f"{tree.ANNOTATIONS} is the file that the manifest lists (MD5)"))
    if "group" in rows.columns:
        groups = rows.group_by("group").agg(splits=pl.col("split").n_unique())
        torn = groups.filter(pl.col("splits") > 1).height
        says = f"{groups.height:,} groups of images (patients, near-duplicates), {torn or 'none'} in two splits"
        found.append(Check(torn == 0, says))
    if dataset.wanted:
        sizes = counts.split_sizes(rows, dataset.wanted)
        off = sizes.filter(pl.col("difference") != 0)
        says = "every split has the images it was to have"
        if off.height:
            parts = [f"{split} {difference:+}" for split, difference in off.select("split", "difference").iter_rows()]
            says = f"splits differ from their target: {', '.join(parts)}"
        found.append(Check(off.is_empty(), says))
    return tuple(found)


@measured
def attention(dataset: Dataset) -> tuple[str, ...]:
    """What of the dataset deserves a look before it is trained on."""
    said = list(dataset.notes)
    for reason, rows in dataset.refused.head(5).select("reason", "rows").iter_rows():
        said.append(f"Refused rows: {rows:,}, {reason}{', and the like' if rows > 1 else ''}.")
    lost = dataset.summary.get("readings_lost")
    if lost:
        said.append(f"{lost:,} readings kept no row: no label was written for them, so that none is a false normal.")
    if dataset.has_splits:
        said += _rare(dataset)
    silent = counts.readers(dataset.readings).filter(pl.col("boxes") == 0)
    if silent.height:
        names = listed(silent["rad_id"].to_list())
        said.append(f"Readers who drew no box at all: {names}. Who read an image predicts its label.")
    return tuple(said)


def _rare(dataset: Dataset) -> list[str]:
    classes = dataset.taxonomy
    shares = counts.class_shares(dataset.labels, classes).filter(
        pl.col("class_id") != classes.nothing, pl.col("images") < FEW_IMAGES
    )
    present = shares.filter(pl.col("expected_image_share") > 0)
    absent = shares.filter(pl.col("expected_image_share") == 0)["class_id"].unique().sort()
    said = []
    if len(absent):
        said.append(f"Classes that nobody saw: {listed([classes.name(class_id) for class_id in absent])}.")
    for (split,), part in present.group_by("split", maintain_order=True):
        names = [f"{name} ({images})" for name, images in part.select("class_name", "images").iter_rows()]
        said.append(f"In {split}, fewer than {FEW_IMAGES} images with {listed(names)}: figures on these waver.")
    return said

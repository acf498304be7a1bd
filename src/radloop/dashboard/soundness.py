"""Is the data sound? What a glance proves, finds wrong or cannot tell, and what deserves a look, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from radloop import manifest, people, tree
from radloop.catalog import heldout
from radloop.dashboard.layout import FEW_IMAGES, listed
from radloop.dashboard.loading import Dataset, document, measured
from radloop.errors import DatasetError
from radloop.measures import counts
from radloop.tables import HELD_OUT
from radloop.words import INCOMING, several

CHANCE: Final = 0.05

Verdict = Literal["proved", "wrong", "cannot tell", "as it is"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and how it is."""

    verdict: Verdict
    says: str


@measured
def checks(dataset: Dataset) -> tuple[Check, ...]:
    """What can be proven from the manifest and the tables in a moment; `radloop check` reads every file."""
    return (*_files(dataset), *_groups(dataset), *_sizes(dataset))


def _files(dataset: Dataset) -> Iterator[Check]:
    files = dataset.manifest
    if files is None:
        return
    version, said = manifest.version(files), dataset.summary.get("version")
    if version == said:
        yield Check("proved", f"the manifest's version {version} is the summary's")
    else:
        yield Check("wrong", f"the manifest is of version {version}, the summary of {said}")
    if "group" in dataset.rows.columns:  # it is read from there only where its MD5 is the listed one
        yield Check("proved", f"{tree.ANNOTATIONS} is the file that the manifest lists (MD5)")
    elif tree.ANNOTATIONS in files["key"]:
        yield Check("wrong", f"{tree.ANNOTATIONS}, which the manifest lists, is missing")


def _groups(dataset: Dataset) -> Iterator[Check]:
    """No group is in two splits; and whether that says anything of patients."""
    if "group" not in dataset.rows.columns:
        return
    images = dataset.rows.select("image_id", "group", "split").unique()
    groups = images.group_by("group").agg(images=pl.col("image_id").n_unique(), splits=pl.col("split").n_unique())
    torn, several = groups.filter(pl.col("splits") > 1).height, groups.filter(pl.col("images") > 1)
    if torn:
        yield Check("wrong", f"{torn:,} of {groups.height:,} groups of images are in two splits")
    elif several.height:
        says = f"{several.height:,} groups of several images ({several['images'].sum():,} images), none in two splits"
        yield Check("proved", says)
    told, held_out = _patients(dataset, images)
    if torn or (several.height and told):
        return
    if told and told == held_out:
        yield Check("proved", "the source names a patient for every held-out image, each with one image")
        return
    alone = "" if several.height else "every group is one image: "
    if told:
        which = f"the source names a patient for {told:,} of {held_out:,} held-out images"
        yield Check("cannot tell", f"{alone}{which}, so that no patient is in two splits is not known of the others")
        return
    rest = "near-duplicates are the only groups" + ("" if several.height else ", and there is none")
    which = "the source names no patients, so that no patient is in two splits is not known"
    yield Check("cannot tell", f"{alone}{which}; {rest}")


def _patients(dataset: Dataset, images: pl.DataFrame) -> tuple[int, int]:
    """Of how many held-out images the memory tells the patient, of how many."""
    held_out = images.filter(pl.col("split").is_in(HELD_OUT))
    path = None if dataset.root is None else dataset.root / tree.HELDOUT
    if path is None or not path.is_file():
        return 0, held_out.height
    try:
        memory = heldout.decode(path.read_bytes(), name=str(path))
    except (OSError, DatasetError):
        return 0, held_out.height
    known = memory.filter(pl.col("patients").is_not_null())
    return held_out.join(known, on="image_id", how="semi").height, held_out.height


def _sizes(dataset: Dataset) -> Iterator[Check]:
    """The splits against their target, and against what re-training moved since."""
    if not dataset.wanted or not dataset.has_splits:
        return
    off = counts.split_sizes(dataset.rows, dataset.wanted).filter(pl.col("difference") != 0)
    differences = dict(off.select("split", "difference").iter_rows())
    if not differences:
        yield Check("proved", "every split has the images it was to have")
        return
    proof = document(dataset.root / tree.PROOF) if dataset.root is not None else {}
    moved = _moved(dataset, proof)
    if moved == differences:
        says = f"training {moved['training']:+,} from production by re-training, as was meant"
        yield Check("proved", f"every other split has the images it was to have; {says}")
        return
    rest = {split: differences.get(split, 0) - moved.get(split, 0) for split in {**differences, **moved}}
    says = f"splits differ from their target: {_listed(differences)}"
    if moved:
        says += f", of which re-training moved {moved['training']:,} from production to training"
    if joined := _from(dataset, proof, INCOMING):
        says += f"; {joined:,} of the images of training came in from production since ({INCOMING})"
    slack = _largest_group(dataset)
    if proof.get("continues"):
        yield Check("as it is", f"{says}; this version continues another, whose images keep their splits")
    elif slack > 1 and all(abs(one) <= slack for one in rest.values()):
        yield Check("as it is", f"{says}; groups stay whole, of which the largest has {slack:,} images")
    else:
        yield Check("wrong", says)


def _moved(dataset: Dataset, proof: object) -> dict[str, int]:
    """By how many images the moves that splits.json records changed each split, in this version and those before."""
    number = _from(dataset, proof, "production")
    return {"training": number, "production": -number} if number else {}


def _from(dataset: Dataset, proof: object, origin: str) -> int:
    """How many images of training the moves that splits.json records brought there from `origin`."""
    moves = [*proof.get("moves", []), *proof.get("moved_before", [])] if isinstance(proof, dict) else []
    way = (origin, "training")
    told = {one.get("image_id") for one in moves if isinstance(one, dict) and (one.get("from"), one.get("to")) == way}
    return len(told & set(dataset.rows.filter(split="training")["image_id"]))


def _largest_group(dataset: Dataset) -> int:
    if "group" not in dataset.rows.columns:
        return 0
    return int(dataset.rows.group_by("group").agg(pl.col("image_id").n_unique())["image_id"].to_numpy().max(initial=0))


def _listed(differences: dict[str, int]) -> str:
    return ", ".join(f"{split} {difference:+,}" for split, difference in differences.items())


@measured
def attention(dataset: Dataset) -> tuple[str, ...]:
    """What of the dataset deserves a look before it is trained on."""
    said = list(dataset.notes)
    for reason, rows in dataset.refused.head(5).select("reason", "rows").iter_rows():
        said.append(f"Refused rows: {rows:,}, {reason}{', and the like' if rows > 1 else ''}.")
    lost = dataset.summary.get("readings_lost")
    if lost:
        said.append(
            f"{lost:,} readings kept no row: no label was written for them, so that none says “No finding” falsely."
        )
    if dataset.has_splits:
        said += _small(dataset)
        said += _rare(dataset)
    return (*said, *_silent(dataset))


def _silent(dataset: Dataset) -> list[str]:
    """Readers who drew nothing, where so many readers of as many images would hardly do so by chance."""
    read = counts.readers(people.readers(dataset.rows))
    usual = pl.col("images_with_finding").sum() / pl.col("images").sum()
    by_chance = (1 - usual) ** pl.col("images") * pl.len()  # Bonferroni
    silent = read.filter((pl.col("boxes") == 0) & (by_chance < CHANCE)).select("rad_id", "images")
    if silent.is_empty():
        return []
    names = listed([f"{rad_id} ({several(images, 'image')})" for rad_id, images in silent.iter_rows()])
    why = "which chance does not explain. Who read an image predicts its label."
    return [f"Readers who drew no box at all: {names}, {why}"]


def _small(dataset: Dataset) -> list[str]:
    """Splits of so few images that no figure on them says anything."""
    sizes = counts.split_sizes(dataset.rows, dataset.wanted)
    few = sizes.filter(pl.col("images") < FEW_IMAGES).select("split", "images")
    named = [f"{split} ({images})" for split, images in few.iter_rows()]
    return [f"Fewer than {FEW_IMAGES} images are in {listed(named)}: figures on them say nothing."] if named else []


def _rare(dataset: Dataset) -> list[str]:
    classes = dataset.taxonomy
    sizes = counts.split_sizes(dataset.rows)
    small = sizes.filter(pl.col("images") < FEW_IMAGES)["split"]
    shares = counts.class_shares(dataset.labels, classes).filter(
        pl.col("class_id") != classes.nothing, pl.col("images") < FEW_IMAGES
    )
    present = (
        shares.filter(pl.col("expected_image_share") > 0, ~pl.col("split").is_in(small.implode()))
        .group_by("split", maintain_order=True)
        .len()
    )
    absent = shares.filter(pl.col("expected_image_share") == 0)["class_id"].unique().sort()
    said = []
    if len(absent):
        said.append(f"Classes that are in no label: {listed([classes.name(class_id) for class_id in absent])}.")
    if present.height:
        told = listed([f"{split} ({several(classes, 'class')})" for split, classes in present.iter_rows()])
        said.append(f"Fewer than {FEW_IMAGES} images of a class are in {told}: figures on these waver (table below).")
    return said

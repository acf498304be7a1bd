"""Which image belongs to which split: whole groups, every class spread evenly."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from radloop.errors import SplitError
from radloop.split_sizes import SplitSizes, apportion
from radloop.tables import ASSIGNMENT, GROUPS, HELD_OUT, SPLITS
from radloop.taxonomy import Taxonomy
from radloop.words import AUDIT, INCOMING, WITHHELD, several

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LARGE_GROUP_IMAGES: Final = 20
LARGE_GROUP_SHARE: Final = 0.01
TOLERANCE_IMAGES: Final = 1
TOLERANCE_SHARE: Final = 0.05

# The columns of counts: images of each class, images where nothing was found, images at all, boxes.
IMAGES: Final = -2
BOXES: Final = -1
_UNIT = 1024
_CANDIDATES = 100  # groups of a split that are looked at for one swap: bounds the cost for any number of images
_SWAPS = 200  # far more than the real annotations need
_GOOD_ENOUGH = 0.25  # of what is tolerated: many images get there by dealing alone
_NAMED = 10  # images that an error or a warning names at most


@dataclass(frozen=True)
class Grouping:
    """Which images must share a split (GROUPS), and what about it a person should look at."""

    groups: pl.DataFrame
    warnings: tuple[str, ...] = ()


def group(image_ids: pl.Series, *, patients: pl.DataFrame, duplicates: pl.DataFrame) -> Grouping:
    """Join the images of one patient (image_id, patient) and near-duplicate pictures (image_id, group) into groups.

    What is joined by either is joined for good: a patient's pictures and all their near-duplicates are one group. Its
    name is its smallest image_id, which says nothing of the patient and does not depend on any order.

    Raises SplitError for near-duplicates of more than max(20 images, 1 %): so many alike are either one picture copied
    over and over or pictures with nothing on them, and would go to one split together. A patient may well have that
    many pictures: a warning.
    """
    ids = unique(image_ids)
    limit = max(LARGE_GROUP_IMAGES, int(LARGE_GROUP_SHARE * len(ids)))
    for name, images in _large(duplicates.filter(pl.col("image_id").is_in(ids.implode())), limit):
        raise SplitError(
            f"{len(images)} near-duplicate pictures ({_named(images)}; group {name}) would have to share a split: more "
            f"than {limit} (max of {LARGE_GROUP_IMAGES} images and {LARGE_GROUP_SHARE:.0%}). Either one picture was "
            "copied many times, or these are blank or damaged. Look at them and leave out what is no radiograph."
        )
    groups = join(ids, [patients.select("image_id", "patient"), duplicates.select("image_id", "group")])
    warnings = tuple(
        f"group {name} holds {len(images)} images ({_named(images)}), of one patient or of patients that "
        "near-duplicate pictures join: they share a split, which may miss its size and its share of a class by as much."
        for name, images in _large(groups, limit)
    )
    return Grouping(groups, warnings)


def _large(groups: pl.DataFrame, limit: int) -> list[tuple[str, list[str]]]:
    some = groups.group_by("group").len().filter(pl.col("len") > limit)
    members = groups.join(some, on="group", how="semi").unique().group_by("group").agg(pl.col("image_id").sort())
    return list(members.filter(pl.col("image_id").list.len() > limit).sort("group").iter_rows())


def _named(images: Sequence[str]) -> str:
    return ", ".join(images[:_NAMED]) + (", …" if len(images) > _NAMED else "")


def join(ids: pl.Series, links: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """GROUPS of the sorted `ids`: images with a value in common in any of the `links` (image_id, value).

    An image that is not in `ids` still links others: what was once alike through it stays together.
    """
    edges = pl.concat(
        link.select("image_id", value=pl.nth(1), kind=pl.lit(kind, dtype=pl.Int8)) for kind, link in enumerate(links)
    ).drop_nulls()
    nodes = pl.concat([ids, edges["image_id"].filter(~edges["image_id"].is_in(ids.implode()))])
    number = pl.DataFrame({"image_id": nodes}).unique(maintain_order=True).with_row_index("image")
    edges = edges.join(number, on="image_id").select("image", value=pl.struct("kind", "value").rank("dense"))
    image, value = edges["image"].to_numpy().astype(np.int64), edges["value"].to_numpy().astype(np.int64)
    size = number.height + (int(value.max()) if value.size else 0)
    _, component = connected_components(
        coo_array((np.ones(image.size, dtype=np.int8), (image, number.height + value - 1)), shape=(size, size)),
        directed=False,
    )
    own = component[: len(ids)]
    first = np.zeros(size, dtype=np.int64)
    first[own[::-1]] = np.arange(len(ids))[::-1]  # of several the last counts: the smallest
    return pl.DataFrame({"image_id": ids, "group": ids.gather(first[own])}).match_to_schema(GROUPS)


def unique(image_ids: pl.Series) -> pl.Series:
    """Each once, sorted."""
    if image_ids.is_sorted():
        return image_ids.filter(
            image_ids.ne_missing(image_ids.shift()) | (pl.int_range(len(image_ids), eager=True) == 0)
        )
    return image_ids.unique().sort()


def assign(
    findings: pl.DataFrame,
    groups: pl.DataFrame,
    sizes: SplitSizes,
    classes: Taxonomy,
    *,
    seed: int,
    previous: pl.DataFrame | None = None,
    links: Sequence[pl.DataFrame] = (),
    move: frozenset[str] = frozenset(),
) -> pl.DataFrame:
    """Give every image that has findings its split (ASSIGNMENT): whole groups, every class spread evenly.

    An image counts for a class when any reader saw it there (rows with `used` false do not count). Groups are dealt out
    by iterative stratification (Sechidis et al. 2011, algorithm 1) into splits that take no more than fits; then swaps
    between splits even out what is left, the number of boxes too. Sizes are exact where groups allow, else within the
    largest group. The result does not depend on the order of rows.

    `previous` (image_id, group, split: the earlier version, and what is remembered as held out) holds: its images keep
    their split, its groups stay together, a new image goes where its group is, and new groups fill what is free. So it
    does for images that the findings do not have: `links` (tables of image_id and a value, two images with one value
    belong together) tell what is theirs. `move` names images that have to be in training now. That is open to
    production and incoming images only, and takes the whole group along, as does a group that turns out to reach from
    production into training. Of what is new in the group of an incoming image, "production" is the split.

    Raises SplitError where `move` names a held-out image, and where a group turns out to reach from a held-out split
    into another. No split is right for it then: to move a held-out image spoils the comparison with earlier models, not
    to move it leaks. Only a person can say which pictures to leave out, so the message names them.
    """
    present = unique(findings["image_id"])
    earlier = pl.DataFrame(schema=ASSIGNMENT) if previous is None else previous.select(ASSIGNMENT.names()).unique()
    every = unique(pl.concat([present, earlier["image_id"]]))
    together = join(every, [groups, earlier.select("image_id", "group"), *links])
    images = (
        together.join(_settled(together, earlier, move), on="group", how="left")
        .filter(pl.col("image_id").is_in(present.implode()))
        .with_columns(group=pl.col("image_id").min().over("group"))
        .with_columns(number=pl.col("group").rank("dense").cast(pl.Int64) - 1)
        .sort("image_id")
    )
    counts = count(findings, images, classes)
    split = numbers(images.unique("number").sort("number")["split"])

    settled, free = np.flatnonzero(split >= 0), np.flatnonzero(split < 0)
    held = sums(counts[settled], split[settled])
    wanted = np.array(list(asdict(sizes.scaled(len(present))).values()))
    room = apportion(np.maximum(wanted - held[:, IMAGES], 0).tolist(), int(counts[free, IMAGES].sum()))
    share = np.outer(held[:, IMAGES] + room, counts.sum(axis=0)) / max(len(present), 1)

    rng = np.random.Generator(np.random.PCG64(seed))
    split[free] = _deal(counts[free], room, share - held, rng)
    split[free] = _even_out(counts[free], split[free], share, held, rng)
    names = pl.Series([SPLITS[number] for number in split[images["number"]]], dtype=pl.String)
    return images.select("image_id", "group", split=names)


def _settled(groups: pl.DataFrame, earlier: pl.DataFrame, move: frozenset[str]) -> pl.DataFrame:
    """The groups whose split is not ours to choose (group, split)."""
    known = groups.join(earlier.select("image_id", "split").unique(), on="image_id", how="left")
    moved = pl.col("image_id").is_in(sorted(move))
    held_out = pl.col("split").is_in(WITHHELD)
    barred = known.filter(held_out.any().over("group"), moved.any().over("group")).filter(held_out | moved)
    if barred.height:
        raise SplitError(
            f"{_placed(barred)}: held-out images keep their split for ever and cannot move to training. "
            "Leave them out of the file given to --add."
        )
    known = known.with_columns(split=pl.when(moved).then(pl.lit("training")).otherwise("split"))
    drawn = (pl.col("split") == "training").any().over("group") & (pl.col("split") == "production")
    known = _of_incoming(known.filter(~drawn))
    torn = known.filter(pl.col("split").drop_nulls().n_unique().over("group") > 1)
    if torn.height:
        raise SplitError(
            f"{_placed(torn)}: these turn out to belong together (one patient, or near-duplicate pictures), but the "
            "previous version has them in different splits, which they keep for ever. Leave one side out of the source "
            "(rather the training pictures than the held-out ones; `radloop forget` takes away what came in), or begin "
            "anew with --fresh."
        )
    return known.select("group", "split").drop_nulls().unique()


def _of_incoming(known: pl.DataFrame) -> pl.DataFrame:
    """The splits of `known` (group, split) with none but those of SPLITS in the place of "incoming" and "audit".

    Whatever belongs together with incoming images comes from production, unless its split is told already.
    """
    came, told = pl.col("split").is_in([INCOMING, AUDIT]), pl.col("split").is_in(SPLITS).any().over("group")
    kept = known.filter(~(came & told).fill_null(value=False))
    return kept.with_columns(split=pl.when(came).then(pl.lit("production")).otherwise("split"))


def _placed(images: pl.DataFrame) -> str:
    place = pl.int_range(pl.len()).over("group", "split")  # so that what is cut off hides no split
    rows = images.sort("image_id").sort("group", place, maintain_order=True).select("image_id", "split").rows()
    return _named([f"{image_id} ({split or 'new'})" for image_id, split in rows])


def require_whole(images: pl.DataFrame, links: Sequence[pl.DataFrame]) -> None:
    """Raise SplitError where images (image_id, split) that belong together by `links` are in several splits."""
    known = join(images["image_id"], links).join(images, on="image_id")
    torn = known.filter(pl.col("split").n_unique().over("group") > 1)
    if torn.height:
        raise SplitError(
            f"--keep-splits: {_placed(torn)}: these belong together (one patient, or near-duplicate pictures), but the "
            "source has them in different splits. Leave one side out of the source, or build without --keep-splits."
        )


def require_trainable(assignment: pl.DataFrame, *, kept: bool = False) -> None:
    """Raise SplitError where training or validation (of ASSIGNMENT) is empty: no trainer takes such a dataset.

    kept: the source tells the splits (`--keep-splits`).
    """
    counts = dict(assignment.group_by("split").len().iter_rows())
    empty = [split for split in ("training", "validation") if not counts.get(split)]
    if empty:
        images, groups = assignment.height, assignment["group"].n_unique()
        way_out = (
            "Name images of both in the column `split` (or in a file or folder each), or build without --keep-splits."
            if kept
            else "Give more images (of more patients), or share them otherwise, for example --sizes "
            "training=3,validation=1,test=1,staging=0,canary=0,production=0."
        )
        raise SplitError(
            f"{several(images, 'image')} in {several(groups, 'group')} leave none for {' and '.join(empty)}, and a "
            f"trainer needs both training and validation. {way_out}"
        )


def held_out(assignment: pl.DataFrame) -> list[str]:
    """The images of ASSIGNMENT that are held out, sorted."""
    return unique(assignment.filter(pl.col("split").is_in(HELD_OUT))["image_id"]).to_list()


def numbers(names: pl.Series) -> Ints:
    """0..5 in the order of SPLITS; -1 for null."""
    found = names.replace_strict(SPLITS, range(len(SPLITS)), default=-1, return_dtype=pl.Int64)
    return found.fill_null(-1).to_numpy().copy()


def count(findings: pl.DataFrame, images: pl.DataFrame, classes: Taxonomy) -> Ints:
    """What every group (`number` in `images`) holds, n + 3 columns: images of each of n classes and of nothing found,
    images at all, boxes.
    """
    used = findings.filter("used") if "used" in findings.columns else findings
    width = len(classes) + 3
    numbered = images.select("image_id", "number").with_row_index("image")
    seen = used.select("image_id", "class_id").join(numbered, on="image_id", maintain_order="none")
    seen = seen.select("image", "number", "class_id", column=classes.to_file(pl.col("class_id")).cast(pl.Int64))
    once = seen.select(place=pl.col("image").cast(pl.Int64) * width + pl.col("column"), number="number").unique("place")
    cells = [
        once.select(cell=pl.col("number") * width + pl.col("place") % width),
        numbered.select(cell=pl.col("number") * width + width + IMAGES),
        seen.filter(pl.col("class_id").is_not_null()).select(cell=pl.col("number") * width + width + BOXES),
    ]
    counts = np.bincount(pl.concat(cells)["cell"].to_numpy(), minlength=images["number"].n_unique() * width)
    return counts.reshape(-1, width).astype(np.int64, copy=False)


def sums(counts: Ints, split: Ints) -> Ints:
    """What every split holds, in the order of SPLITS, with the columns of `count`."""
    held = np.zeros((len(SPLITS), counts.shape[1]), dtype=np.int64)
    np.add.at(held, split, counts)
    return held


def _deal(counts: Ints, room: Sequence[int], missing: Floats, rng: np.random.Generator) -> Ints:
    """The split of every group, by iterative stratification (Sechidis et al. 2011, algorithm 1).

    Always the class with the fewest images left is next, and each of its groups goes to the split that misses most of
    it; of equal ones to the roomiest; then by lot. Beyond the paper: a split takes no more than it has room for, and
    large groups come first, so that small ones can still make the sizes exact.
    """
    split = np.full(len(counts), -1, dtype=np.int64)
    lots = rng.random((len(counts), len(SPLITS))).tolist()
    order = rng.permutation(len(counts))
    rows = [[(label, images) for label, images in enumerate(row[:BOXES]) if images] for row in counts.tolist()]
    left, want = list(room), missing.T.tolist()
    for size in np.unique(counts[:, IMAGES])[::-1].tolist():
        waiting = order[counts[order, IMAGES] == size]
        while waiting.size:
            images = counts[waiting, :BOXES].sum(axis=0)  # "images at all" is the last label, for those without class
            rarest = int(np.argmin(np.where(images > 0, images, np.iinfo(np.int64).max)))
            theirs = counts[waiting, rarest] > 0
            wish = want[rarest]
            for index in waiting[theirs].tolist():
                fitting = [s for s in range(len(SPLITS)) if left[s] >= size] or [left.index(max(left))]
                lot = lots[index]
                best = max((wish[s], left[s], lot[s], s) for s in fitting)[-1]
                split[index] = best
                left[best] -= size
                for label, number in rows[index]:
                    want[label][best] -= number
            waiting = waiting[~theirs]
    return split


def _even_out(counts: Ints, split: Ints, share: Floats, held: Ints, rng: np.random.Generator) -> Ints:
    """Swap groups of one size between splits while that brings class and box counts nearer to their share.

    The measure is the sum of squared deviations, each over what may be tolerated of it. It is kept in whole numbers
    (1/1024 image), which floats add up exactly in any order: sums of fractions would differ between machines.
    """
    split = split.copy()
    kinds, kind = np.unique(counts, axis=0, return_inverse=True)
    weight = np.rint(_UNIT / tolerated(share))
    excess = np.rint(_UNIT * (held + sums(counts, split) - share))
    for _ in range(_SWAPS):
        if np.max(np.abs(excess) / tolerated(share)) <= _UNIT * _GOOD_ENOUGH:
            break
        worst_first = np.argsort(-np.max(np.abs(excess) * weight, axis=1), kind="stable")
        swap = next(filter(None, (_best_swap(s, kinds, kind, split, weight, excess, rng) for s in worst_first)), None)
        if swap is None:
            break
        one, other = swap
        change = counts[other] - counts[one]
        excess[split[one]] += _UNIT * change
        excess[split[other]] -= _UNIT * change
        split[[one, other]] = split[[other, one]]
    return split


def _best_swap(
    here: int, kinds: Ints, kind: Ints, split: Ints, weight: Floats, excess: Floats, rng: np.random.Generator
) -> tuple[int, int] | None:
    """The pair of groups, one in split `here`, one in another, whose swap helps most; None where none helps."""
    best, pair = 0.0, None
    mine = _candidates(np.flatnonzero(split == here), kind, rng)
    for there in range(len(SPLITS)):
        theirs = _candidates(np.flatnonzero(split == there), kind, rng)
        if there == here or not mine.size or not theirs.size:
            continue
        a, b = kinds[kind[mine]].astype(np.float64), kinds[kind[theirs]].astype(np.float64)
        both = _UNIT * (weight[here] + weight[there])
        slope = 2 * (weight[here] * excess[here] - weight[there] * excess[there])
        change = (b @ slope + b**2 @ both)[None, :] + (a**2 @ both - a @ slope)[:, None] - 2 * (a * both) @ b.T
        change[a[:, IMAGES, None] != b[None, :, IMAGES]] = 0
        least = np.unravel_index(np.argmin(change), change.shape)
        if change[least] < best:
            best, pair = change[least], (int(mine[least[0]]), int(theirs[least[1]]))
    return pair


def _candidates(members: Ints, kind: Ints, rng: np.random.Generator) -> Ints:
    """Some groups of a split, no two alike."""
    _, first = np.unique(kind[members], return_index=True)
    if first.size > _CANDIDATES:
        first = rng.choice(first, _CANDIDATES, replace=False)
    return members[first]


def tolerated(share: Floats) -> Floats:
    """How far a count may lie from its share before it is called uneven."""
    return np.maximum(TOLERANCE_IMAGES, TOLERANCE_SHARE * share)

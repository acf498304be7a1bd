"""Incoming images counted: how many came in, and how far each has got on its way into training."""

import polars as pl

from radloop.catalog import version
from radloop.catalog.version import Version
from radloop.words import AUDIT, HELD_OUT, INCOMING


def count(known: Version, trains: pl.Series, reviewed: pl.Series) -> dict[str, int]:
    """Of all incoming images: images, in_training (the dataset has them), audit, audit_reviewed, held_out (grouped with
    a held-out image), waiting (may train, and do not yet), and of these waiting_reviewed and trains_now.

    trains, reviewed: the images that train in this round, and that somebody has reviewed.
    """
    return counted(known.annotations, known.incoming, trains, reviewed)


def counted(
    annotations: pl.DataFrame, incoming: pl.DataFrame, trains: pl.Series, reviewed: pl.Series
) -> dict[str, int]:
    """The same of ANNOTATIONS and INCOMING alone."""
    images = version.images(annotations, incoming).join(incoming, on="image_id", how="semi")
    split, read = pl.col("split"), pl.col("image_id").is_in(reviewed.implode())
    kinds = {
        "in_training": split == "training",
        "audit": split == AUDIT,
        "audit_reviewed": (split == AUDIT) & read,
        "held_out": split.is_in(HELD_OUT),
        "waiting": split == INCOMING,
        "waiting_reviewed": (split == INCOMING) & read,
        "trains_now": (split == INCOMING) & pl.col("image_id").is_in(trains.implode()),
    }
    counts = images.select(**{name: holds.sum() for name, holds in kinds.items()}).row(0, named=True)
    return {"images": images.height, **{name: int(number or 0) for name, number in counts.items()}}


def words(counts: dict[str, int]) -> str:
    """How it reads.

    >>> known = {"images": 60, "in_training": 20, "waiting": 34, "waiting_reviewed": 25, "trains_now": 24}
    >>> print(*words(known | {"audit": 6, "audit_reviewed": 4, "held_out": 0}).split("; "), sep=";\\n")
    60 came in: 20 in training now;
    34 wait (25 reviewed, 24 train in the next round);
    6 for the audit, which never train (4 reviewed)
    """
    of_audit = f"{counts['audit']:,} for the audit, which never train ({counts['audit_reviewed']:,} reviewed)"
    waiting = f"{counts['waiting']:,} wait ({counts['waiting_reviewed']:,} reviewed, {counts['trains_now']:,} train in "
    held_out = f"; {counts['held_out']:,} held out with their group" if counts["held_out"] else ""
    return (
        f"{counts['images']:,} came in: {counts['in_training']:,} in training now; {waiting}the next round); "
        f"{of_audit}{held_out}"
    )

"""What a version tells of itself: how its labels are made, what the run was asked for, where its pictures come from."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl

from radloop.catalog.classes import Wishes
from radloop.dataset.findings import Validated
from radloop.dataset.labelling import Labelling
from radloop.dataset.plan import Account, Ancestry
from radloop.options import Transform
from radloop.sources import raw
from radloop.sources.raw import RawData


def labelling(options: Transform) -> Labelling:
    """How labels are made. Raises UsageError for wishes that contradict each other."""
    return Labelling(options.labels, options.judge, options.min_readers, options.no_finding)


def account(
    data: RawData,
    options: Transform,
    wishes: Wishes,
    valid: Validated,
    proven: Mapping[str, Any],
    ancestry: tuple[Ancestry, Mapping[str, Ancestry]],
    incoming: pl.DataFrame,
) -> Account:
    """Where a version comes from, and what was left out of it. incoming: INCOMING, of which some may have joined."""
    asked, made = _settings(options, wishes, valid), (data.recipe, _radiographs(data, incoming))
    return Account(data.name, asked, proven, valid.rejected, valid.lost, *ancestry, *made)


def _radiographs(data: RawData, incoming: pl.DataFrame) -> pl.DataFrame | None:
    """RADIOGRAPHS of the source's files and of those that came in; None where the source has pictures."""
    own = raw.radiographs(data)
    if own is None:
        return None
    came = incoming.filter(pl.col("recipe").is_not_null()).select(own.columns)
    return pl.concat([own, came]).unique("image_id", keep="first", maintain_order=True)


def _settings(options: Transform, wishes: Wishes, valid: Validated) -> dict[str, Any]:
    """What the run was asked for, as summary.json holds it. `judge` stands there where it is another than `labels`."""
    return {
        "labels": options.labels,
        **({"judge": options.judge} if labelling(options).judged_apart else {}),
        "min_readers": options.min_readers,
        "no_finding": options.no_finding,
        "seed": options.seed,
        "sizes": asdict(options.sizes),
        "keep_splits": options.keep_splits,
        "boxes": valid.frame,
        "map": dict(wishes.renamed),
        "keep_classes": list(wishes.kept),
        "drop_classes": list(wishes.dropped),
    }

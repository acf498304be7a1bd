"""What a detector takes for what: its boxes and those of the truth, paired whatever their class.

A box of the right class comes first, as it does in every other figure (`evaluation.match`): what is left is paired
without a look at the class. So the diagonal is what recall counts, and no box is in two cells.
"""

from typing import Final

import numpy as np
import polars as pl

from radloop import boxes
from radloop.measures import intervals
from radloop.measures.evaluation import IOUS, Looked
from radloop.tables import CLASS_ID, EDGES
from radloop.taxonomy import Taxonomy

MISSED: Final = "missed"  # the column of the truth that no box shows
NOTHING_THERE: Final = "nothing there"  # the row of boxes that show no box of the truth
IDS: Final = ("truth_id", "predicted_id")
PAIRS: Final = pl.Schema(
    {"image_id": pl.String(), **dict.fromkeys(IDS, CLASS_ID), "confidence": pl.Float64()}
)  # ids as in CELLS; confidence of the predicted box
CELLS: Final = pl.Schema(
    {
        "truth_id": CLASS_ID,  # null: nothing there
        "predicted_id": CLASS_ID,  # null: missed
        "truth": pl.String(),
        "predicted": pl.String(),
        "boxes": pl.Int64(),
        "of": pl.Int64(),  # all boxes of the row
        "share": pl.Float64(),  # of the row, with its interval
        "share_low": pl.Float64(),
        "share_high": pl.Float64(),
    }
)


def paired(outcomes: pl.DataFrame, images: pl.DataFrame, *, least: float, min_iou: float = IOUS[0]) -> pl.DataFrame:
    """PAIRS: each box strictly above `least` and each of the truth, once: two that go together, or one alone.

    outcomes: `evaluation.outcomes`, of the same `min_iou`. What is not of the right class is paired by the largest IoU
    from `min_iou` on. images: image_id, group.
    """
    found = Looked(images).of(outcomes)
    above = (pl.col("confidence") > least).fill_null(value=False)
    predicted, known = (
        found.filter(kind).sort(pl.all()).with_row_index("box")
        for kind in ((pl.col("outcome") != "truth") & above, pl.col("outcome") == "truth")
    )
    wrong, left = predicted.filter(outcome="false"), known.filter(~above)
    pairs = _nearest(wrong, left, min_iou)
    taken = {side: pairs[side].implode() for side in ("box", "box_known")}
    each = [
        _sides(predicted.filter(outcome="true"), "class_id", "class_id"),
        _sides(pairs, "class_id_known", "class_id"),
        _sides(left.filter(~pl.col("box").is_in(taken["box_known"])), "class_id", None),
        _sides(wrong.filter(~pl.col("box").is_in(taken["box"])), None, "class_id"),
    ]
    return pl.concat(each).sort("image_id", "confidence", *IDS, descending=[False, True, False, False])


def cells(pairs: pl.DataFrame, images: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """CELLS, those with a box: rows are classes of the truth, columns those of the boxes; `pairs` of `paired`."""
    here, ids = Looked(images), list(IDS)
    held = pairs.select(ids).unique().sort(ids, nulls_last=True).with_row_index("cell")
    of_row = held.group_by("truth_id", maintain_order=True).agg("cell")
    placed = pairs.join(held, on=ids, nulls_equal=True).join(of_row, on="truth_id", nulls_equal=True, suffix="_of_row")
    own, all_of_row = placed.drop("cell_of_row"), placed.explode("cell_of_row")
    counts, below = (
        intervals.per_group(
            table[column].to_numpy().astype(np.int64),
            here.group(table),
            np.ones(table.height),
            held.height,
            here.groups,
        )
        for table, column in ((own, "cell"), (all_of_row, "cell_of_row"))
    )
    names = classes.names
    told = held.with_columns(
        truth=pl.Series([NOTHING_THERE if one is None else names[one] for one in held["truth_id"]], dtype=pl.String),
        predicted=pl.Series([MISSED if one is None else names[one] for one in held["predicted_id"]], dtype=pl.String),
        boxes=pl.Series(counts.sum(axis=1).astype(np.int64)),
        of=pl.Series(below.sum(axis=1).astype(np.int64)),
    ).hstack(pl.DataFrame(intervals.of_share("share", counts, below)))
    return told.with_columns(pl.col(pl.Float64).fill_nan(None)).select(CELLS.names()).cast(CELLS)


def _nearest(wrong: pl.DataFrame, left: pl.DataFrame, min_iou: float) -> pl.DataFrame:
    """Pairs of a box that is not of the right class and one of the truth that is left, each box once."""
    both = wrong.join(left, on="image_id", suffix="_known", maintain_order="left_right")
    known = [f"{edge}_known" for edge in EDGES]
    overlap = boxes.iou_of_pairs(both.select(EDGES).to_numpy(), both.select(known).to_numpy())
    near = both.with_columns(iou=pl.Series(overlap)).filter(pl.col("iou") >= min_iou)
    near = near.sort("iou", "confidence", "box", "box_known", descending=[True, True, False, False])
    return near[boxes.once_each(near.select("box", "box_known").iter_rows())]


def _sides(rows: pl.DataFrame, truth: str | None, predicted: str | None) -> pl.DataFrame:
    """PAIRS, whose classes stand in these columns; None: there is none. The truth alone has no confidence."""
    sides = dict(zip(IDS, (truth, predicted), strict=True))
    named = [pl.lit(None, CLASS_ID).alias(name) if column is None else pl.col(column).alias(name)
             for name, column in sides.items()]  # fmt: skip
    sure = pl.lit(None, pl.Float64).alias("confidence") if predicted is None else pl.col("confidence")
    return rows.select("image_id", *named, sure)

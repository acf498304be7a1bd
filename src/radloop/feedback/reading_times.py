"""What a read takes, in seconds: by this hospital's own reviews where there are enough, else by published figures."""

from typing import Final

import polars as pl

LEAST: Final = 20  # reads of a kind: fewer do not tell its median
# Reading a chest radiograph: 13.1 s where software found nothing, 18.4 s where it found something, of 11 radiologists
# who did not see its answer (Shin et al. 2023, npj Digital Medicine 6:82). Drawing: 7 s a box (Papadopoulos et al.
# 2017, ICCV). Several: three boxes.
NORMAL_S: Final = 13.1
ABNORMAL_S: Final = 18.4
BOX_S: Final = 7.0
PUBLISHED: Final = (NORMAL_S, ABNORMAL_S + BOX_S, ABNORMAL_S + 3 * BOX_S)  # of no box, of one, of several
_KINDS: Final = len(PUBLISHED)


def kind(boxes: pl.Expr) -> pl.Expr:
    """0, 1 or 2: none, one or several boxes."""
    return boxes.fill_null(0).clip(0, _KINDS - 1).cast(pl.Int64)


def expected(findings: pl.Expr, seconds: tuple[float, ...]) -> pl.Expr:
    """The seconds (as by `of`) of a read in which so many boxes are expected, also parts of one."""
    none, one, several = seconds
    a_box = max(several - one, 0.0) / 2  # as of three boxes, which several are
    return pl.when(findings < 1).then(none + findings * (one - none)).otherwise(one + (findings - 1) * a_box)


def of(reviews: pl.DataFrame, findings: pl.DataFrame) -> tuple[float, ...]:
    """The median seconds of reads by people with no box, with one and with several, as PUBLISHED where they are few.

    REVIEWS and REVIEW_FINDINGS. What was simulated, or rejected, or tells no time, is left out.
    """
    drawn = findings.group_by("file").agg(boxes=pl.len())
    timed = reviews.filter(~pl.col("simulated"), pl.col("verdict") != "reject", pl.col("seconds_total") > 0)
    own = (
        timed.join(drawn, on="file", how="left")
        .group_by(kind(pl.col("boxes")).alias("kind"))
        .agg(pl.col("seconds_total").median(), reads=pl.len())
        .filter(pl.col("reads") >= LEAST)
    )
    told = dict(own.select("kind", "seconds_total").iter_rows())
    return tuple(float(told.get(number, published)) for number, published in enumerate(PUBLISHED))

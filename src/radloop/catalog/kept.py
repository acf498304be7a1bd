"""From which confidence on the feedback of a detector is whole: below it, nobody knows how many boxes are missing."""

import polars as pl


def cut(looked: pl.DataFrame, boxes: pl.DataFrame) -> float | None:
    """The confidence from which on one detector's boxes are whole: none above it is missing, those at it belong.

    looked: the detector's rows of FEEDBACK (`judging.newest`). boxes: DETECTIONS with the low ones
    (`reading.Records.every_box`), also of other feedback. The least whole feedback counts. Of feedback that does not
    say what it keeps, another program's, the lowest confidence that occurs is taken; None where it has no box either.
    """
    silent = looked.filter(pl.col("kept_from").is_null())
    lowest = boxes.join(silent, on="feedback_id", how="semi")["confidence"].min()
    told = (looked["kept_from"].max(), lowest)
    return max((float(one) for one in told if isinstance(one, float)), default=None)

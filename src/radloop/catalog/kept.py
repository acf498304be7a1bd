"""From which confidence on the feedback of a detector is whole: below it, nobody knows how many boxes are missing."""

import polars as pl

from radloop.words import several


def cut(looked: pl.DataFrame, boxes: pl.DataFrame) -> float | None:
    """The confidence from which on one detector's boxes are whole: none above it is missing, those at it belong.

    looked: the detector's rows of FEEDBACK (`judging.newest`). boxes: DETECTIONS with the low ones
    (`rows.Records.every_box`), also of other feedback. The least whole feedback counts. Of feedback that does not
    say what it keeps, another program's, the lowest confidence that occurs is taken; None where it has no box either.
    """
    silent = looked.filter(pl.col("kept_from").is_null())
    lowest = boxes.join(silent, on="feedback_id", how="semi")["confidence"].min()
    told = (looked["kept_from"].max(), lowest)
    return max((float(one) for one in told if isinstance(one, float)), default=None)


def told(looked: pl.DataFrame) -> bool:
    """Whether each feedback says from which confidence on it keeps boxes."""
    return not looked["kept_from"].has_nulls()


def top_box_only(looked: pl.DataFrame) -> int:
    """Of how many images the feedback tells the top box alone (the bare form): what else was found there is unknown."""
    return looked.filter(pl.col("class_id").is_not_null() & ~pl.col("complete")).height


def words(cut: float | None, *, told: bool, top_box_only: int) -> str:
    """How it reads which boxes count.

    >>> words(0.05, told=True, top_box_only=0)
    'all that were kept: whole from a confidence of 0.05 on, below it some or all are missing'
    >>> words(0.4, told=False, top_box_only=0)
    'all that were kept: not all of the feedback tells from which confidence on; by its boxes, from 0.4'
    """
    if cut is None:
        return "none: the feedback tells no box"
    whole = f"whole from a confidence of {cut:g} on, below it some or all are missing"
    lowest = f"not all of the feedback tells from which confidence on; by its boxes, from {cut:g}"
    said = f"all that were kept: {whole if told else lowest}"
    if top_box_only:
        said += f"; of {several(top_box_only, 'image')} only the top box: what else was found there counts as missed"
    return said

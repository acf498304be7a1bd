"""Probable errors in the labels that there are: where a detector is sure and the readers say otherwise, or nothing.

Each suspicion is of one place of one image, and of one of four kinds. Its score is how surprising the label is if the
detector is as good here as on the held-out images: how likely its box is right, or how likely it would have found what
the readers drew. A detector that learned from an image is surprised by its label less often than it should be.
"""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from radloop import boxes
from radloop.boxes import FUSION_IOU, Floats
from radloop.catalog import truth
from radloop.catalog.rule import Rule
from radloop.feedback.reliability import Detector, Reliable
from radloop.tables import CLASS_ID, DETECTOR, EDGES
from radloop.taxonomy import Taxonomy

MISSED: Final = "missed by the readers?"
ALONE: Final = "seen by readers alone?"
CLASS: Final = "another class?"
PLACED: Final = "badly placed?"
KINDS: Final = (MISSED, ALONE, CLASS, PLACED)
LEAST: Final = 0.5  # of a score: the label is more surprising than not
_NEAR_IOU: Final = 0.1  # boxes that overlap less have nothing to do with each other

# Best first. suspected: the score. The box meant and its class: the model's where the readers drew nothing, else the
# readers'. model_class_id: what the model says at this place; null where it says nothing.
SUSPECTS: Final = pl.Schema(
    {
        "feedback_id": pl.String(),
        "image_id": pl.String(),
        "suspicion": pl.String(),
        "suspected": pl.Float64(),
        "class_id": CLASS_ID,
        "model_class_id": CLASS_ID,
        **dict.fromkeys(EDGES, pl.Float64()),
    }
)
_DOUBTFUL: Final = Rule().doubtful
_PLACE: Final = ("image_id", "class_id", *EDGES)


def find(
    looked: pl.DataFrame, every_box: pl.DataFrame, readings: pl.DataFrame, known: Mapping[Detector, Reliable]
) -> pl.DataFrame:
    """SUSPECTS of the images in `looked`, the most suspected first; one image may have several.

    looked: FEEDBACK on the dataset's own pictures, an image at most once. every_box: DETECTIONS (`Records.every_box`),
    also of others. readings: of the readers (image_id, rad_id, class_id, EDGES), also of other images. known: as
    `reliability.of`; of other detectors nothing is suspected, and nothing on an image that nobody has read. Where the
    feedback tells one box of perhaps many, none is taken as one that the model did not find.
    """
    looked = looked.with_columns(pl.col(DETECTOR).fill_null("")).join(readings, on="image_id", how="semi")
    found = [
        _of_detector(looked.filter(model=model, model_version=version), every_box, readings, reliable)
        for (model, version), reliable in known.items()
    ]
    every = pl.concat([SUSPECTS.to_frame(), *found])
    return every.sort("suspected", "suspicion", *_PLACE, descending=[True] + [False] * (len(_PLACE) + 1))


def says(suspect: Mapping[str, Any], classes: Taxonomy) -> str:
    """A row of SUSPECTS in words.

    >>> says({"suspicion": CLASS, "class_id": 0, "model_class_id": 1}, Taxonomy(("Mass", "Nodule")))
    'another class? The readers drew Mass, the model sees Nodule at the same place.'
    """
    readers, model = (
        "" if suspect[name] is None else classes.name(suspect[name]) for name in ("class_id", "model_class_id")
    )
    sentence = {
        MISSED: f"The model sees {model}, the readers drew nothing there.",
        ALONE: f"The readers drew {readers}, the model sees nothing there.",
        CLASS: f"The readers drew {readers}, the model sees {model} at the same place.",
        PLACED: f"The readers drew {readers} elsewhere than the model sees it.",
    }
    return f"{suspect['suspicion']} {sentence[suspect['suspicion']]}"


def worst(suspects: pl.DataFrame) -> pl.DataFrame:
    """Of SUSPECTS from LEAST on the first of each image."""
    return suspects.filter(pl.col("suspected") >= LEAST).unique("image_id", keep="first", maintain_order=True)


def _of_detector(
    looked: pl.DataFrame, every_box: pl.DataFrame, readings: pl.DataFrame, reliable: Reliable
) -> pl.DataFrame:
    from radloop.measures import evaluation  # which a queue without held-out feedback does not need

    known = truth.of(readings.join(looked, on="image_id", how="semi"))
    outcomes = evaluation.outcomes(every_box.join(looked, on="feedback_id", how="semi"), known)
    outcomes = outcomes.join(looked.select("image_id", "feedback_id", "complete"), on="image_id").sort(*_PLACE)
    sure = outcomes.filter(pl.col("outcome") == "false", pl.col("confidence") > _DOUBTFUL).with_row_index("box")
    drawn = outcomes.filter(outcome="truth").with_row_index("reading")
    drawn = drawn.with_columns(pl.col("confidence").fill_null(0.0))
    sure = sure.with_columns(likely=pl.Series(reliable.is_right(sure["confidence"].to_numpy())))
    drawn = drawn.with_columns(
        likely=pl.Series(reliable.finds(drawn["class_id"].to_numpy(), drawn["confidence"].to_numpy()))
    )
    absent = pl.col("confidence") <= _DOUBTFUL
    near = sure.join(drawn, on="image_id", suffix="_drawn")
    near = near.with_columns(iou=pl.Series(boxes.iou_of_pairs(*(_corners(near, end) for end in ("", "_drawn")))))
    near = near.filter(pl.col("iou") >= _NEAR_IOU)
    same = pl.col("class_id") == pl.col("class_id_drawn")
    apart = near.filter(
        pl.col("confidence_drawn") <= _DOUBTFUL, pl.when(same).then(True).otherwise(pl.col("iou") >= FUSION_IOU)
    ).sort("iou", "box", "reading", descending=[True, False, False])
    pairs = apart[boxes.once_each(apart.select("box", "reading").iter_rows())]
    doubles = near.filter(same, pl.col("confidence_drawn") > _DOUBTFUL)
    missed = sure.join(pairs, on="box", how="anti").join(doubles, on="box", how="anti")
    alone = drawn.filter(absent, "complete").join(pairs, on="reading", how="anti")
    of_pairs = pairs.select(
        "feedback_id",
        "image_id",
        suspicion=pl.when(same).then(pl.lit(PLACED)).otherwise(pl.lit(CLASS)),
        suspected=1 - (1 - pl.col("likely")) * (1 - pl.col("likely_drawn")),
        class_id="class_id_drawn",
        model_class_id="class_id",
        **{edge: f"{edge}_drawn" for edge in EDGES},
    )
    return pl.concat(
        [
            of_pairs,
            missed.select(_row(MISSED, model_class_id=pl.col("class_id"))),
            alone.select(_row(ALONE, model_class_id=pl.lit(None, CLASS_ID))),
        ]
    )


def _row(kind: str, model_class_id: pl.Expr) -> list[pl.Expr]:
    """SUSPECTS of boxes that nothing stands against."""
    said = {"suspicion": pl.lit(kind), "suspected": pl.col("likely"), "model_class_id": model_class_id}
    return [said.get(name, pl.col(name)).alias(name) for name in SUSPECTS]


def _corners(pairs: pl.DataFrame, suffix: str) -> Floats:
    return pairs.select(f"{edge}{suffix}" for edge in EDGES).to_numpy()

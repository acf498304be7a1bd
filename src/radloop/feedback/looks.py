"""The boxes that several looks at one image come to, and what each may be: a label, a doubtful box, how believable.

A look is one feedback: of several models, or of one model several times, on the same picture. Their boxes of one class
that coincide are one (`boxes.fuse`, weighted by confidence), before any threshold is asked: so a stricter one never
makes two boxes of what was one.
"""

from typing import Any, Final

import numpy as np
import polars as pl

from radloop import boxes
from radloop.catalog.rule import Rule
from radloop.tables import DETECTIONS, DETECTOR, EDGES

# A box of one or several looks. sure: one of them is above its model's threshold of the class. weight: the share of
# the models that tell it (of one that looked several times, of its looks), times how often such boxes are right
# (`Rule.calibrations`); null where a model has none. members: so many boxes are fused in it.
SEEN: Final = pl.Schema({**DETECTIONS, "sure": pl.Boolean(), "weight": pl.Float64(), "members": pl.Int64()})
_PILE: Final = ["feedback_id", "class_id"]


def marked(detections: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """DETECTIONS with `sure`: above the one threshold of the rule."""
    return detections.with_columns(sure=pl.col("confidence") > rule.min_confidence)


def fused(looks: pl.DataFrame, detections: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """SEEN of what was told from `Rule.doubtful` on, each box at the feedback that its look is `together` with.

    looks: feedback_id, `together` (a feedback_id) and DETECTOR.
    """
    named = looks.with_columns(pl.col(DETECTOR).fill_null(""))
    models, own = pl.struct(DETECTOR).n_unique().over("together"), pl.len().over("together", *DETECTOR)
    parts = named.select("feedback_id", "together", *DETECTOR, part=1 / (models * own))
    told = detections.filter(pl.col("confidence") >= rule.doubtful).join(parts, on="feedback_id")
    told = told.with_columns(
        sure=pl.any_horizontal(pl.lit(value=False), *(_of(one) & rule.sure(*one) for one in _models(rule))),
        right=_right(told, rule),
    )
    found = told.rename({"feedback_id": "look", "together": "feedback_id"}).sort(*_PILE, "look", *EDGES)
    alone = pl.struct(_PILE).is_unique()
    single = found.filter(alone).with_columns(weight=pl.col("part") * pl.col("right"), members=pl.lit(1, pl.Int64))
    piles = found.filter(~alone).partition_by(_PILE, maintain_order=True)
    several = pl.DataFrame([one for pile in piles for one in _one_each(pile)], schema=SEEN, orient="row")
    return pl.concat([single.select(SEEN.names()), several])


def models(rule: Rule) -> pl.DataFrame:
    """DETECTOR of those that the rule knows something of."""
    schema = dict.fromkeys(DETECTOR, pl.String)
    return pl.DataFrame(_models(rule), schema=schema, orient="row")


def _one_each(pile: pl.DataFrame) -> list[dict[str, Any]]:
    """SEEN of the boxes of one class on one image."""
    look, part, sure, right = (pile[name].to_list() for name in ("look", "part", "sure", "right"))
    rows = []
    for one in boxes.fuse(pile.select(EDGES).to_numpy(), look, weights=pile["confidence"].to_list()):
        share = sum({look[place]: part[place] for place in one.members}.values())
        known = [right[place] for place in one.members if right[place] is not None]
        rows.append(
            dict(zip(EDGES, one.xyxy, strict=True))
            | pile.select("feedback_id", "image_id", "class_id").row(0, named=True)
            | {
                "confidence": one.weight,
                "sure": any(sure[place] for place in one.members),
                "weight": min(share, 1.0) * sum(known) / len(known) if known else None,
                "members": len(one.members),
            }
        )
    return rows


def _models(rule: Rule) -> list[tuple[str, str]]:
    return [(one.model, one.model_version) for one in rule.calibrations]


def _of(model: tuple[str, str]) -> pl.Expr:
    return (pl.col("model") == model[0]) & (pl.col("model_version") == model[1])


def _right(told: pl.DataFrame, rule: Rule) -> pl.Series:
    """How often boxes of the same model and confidence are right; null where nobody knows."""
    confidence = told["confidence"].to_numpy()
    right: boxes.Floats = np.full(told.height, np.nan)
    for one in rule.calibrations:
        if one.confidence:
            rows = told.select(_of((one.model, one.model_version))).to_series().to_numpy()
            right[rows] = np.interp(confidence[rows], one.confidence, one.right)
    return pl.Series(right).fill_nan(None)

"""Thresholds that held-out images prove, class by class, and what a confidence is worth."""

import polars as pl
import pytest

from radloop.catalog import proven
from radloop.catalog.rule import Rule
from radloop.errors import FeedbackError
from radloop.feedback import guard
from radloop.tables import ANNOTATIONS, DETECTIONS, DETECTOR, FEEDBACK
from taxonomies import VINDR

RIGHT, WRONG = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.9, 0.9)
CALIBRATED = Rule(policy="calibrated")


def held_out(
    said: list[tuple[int, float, bool]], *, split: str = "validation", model: str = "tiny"
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Feedback with JUDGED, its boxes and the readings of as many images: (class, confidence, whether it is right)."""
    ids = [f"{split}{number}" for number in range(len(said))]
    feedback = pl.DataFrame(
        [
            {"feedback_id": f"{model}-{one}", "image_id": one, "model": model, "model_version": "1", "complete": True}
            for one in ids
        ],
        schema=FEEDBACK,
    )
    images = pl.DataFrame({"image_id": ids, "split": split, "group": ids, "md5": ids, "phash": None}).cast(
        {"phash": pl.String}
    )
    boxes = [
        (f"{model}-{one}", one, class_id, confidence, *(RIGHT if right else WRONG))
        for one, (class_id, confidence, right) in zip(ids, said, strict=True)
    ]
    read = [
        {
            "image_id": one,
            "rad_id": "R1",
            "class_id": class_id,
            **dict(zip(DETECTIONS.names()[4:], RIGHT, strict=True)),
            "split": split,
            "group": one,
            "final": False,
        }
        for one, (class_id, *_) in zip(ids, said, strict=True)
    ]
    return (
        guard.judge(feedback, images),
        pl.DataFrame(boxes, schema=DETECTIONS, orient="row"),
        pl.DataFrame(read, schema=ANNOTATIONS),
    )


def test_threshold_of_a_class_is_the_lowest_that_is_proven_and_others_have_none():
    sure = [(3, 0.75, True)] * 60 + [(3, 0.55, True)] * 5 + [(3, 0.55, False)] * 30
    rule = proven.by(CALIBRATED, *held_out([*sure, *[(5, 0.95, True)] * 40, *[(6, 0.95, False)] * 60]))
    heart, few, wrong = rule.thresholds
    assert (heart.class_id, heart.above, heart.boxes, heart.groups, heart.precision) == (3, 0.6, 60, 60, 1.0)
    assert heart.low == pytest.approx((proven.ERROR / len(proven.CUTOFFS)) ** (1 / 60))
    assert (few.class_id, few.above, few.boxes, few.too_few) == (5, None, 40, True)
    assert (wrong.class_id, wrong.above, wrong.precision, wrong.too_few) == (6, None, 0.0, False)


def test_where_no_class_has_a_threshold_it_is_said_what_one_could_have():
    said = held_out([(3, 0.75, True)] * 40)
    (note,) = proven.out_of_reach(proven.by(CALIBRATED, *said), VINDR)
    (one,) = proven.by(CALIBRATED, *said).thresholds
    assert f"the most is {one.reach:.2f}, of {VINDR.name(3)}" in note
    below = Rule(policy="calibrated", precision=one.reach)
    assert proven.by(below, *said).thresholds[0].above == 0.25
    assert proven.out_of_reach(proven.by(below, *said), VINDR) == ()
    assert proven.out_of_reach(Rule(), VINDR) == ()
    assert proven.table(proven.by(below, *said), VINDR)["reach"].to_list() == [one.reach]


def test_wish_may_be_less_and_then_more_is_a_label():
    said = [(3, 0.75, True)] * 60 + [(3, 0.55, True)] * 20 + [(3, 0.55, False)] * 10
    above = [
        proven.by(Rule(policy="calibrated", precision=wish), *held_out(said)).thresholds[0].above
        for wish in (0.5, 0.7, 0.9, 0.99)
    ]
    assert above == [0.25, 0.25, 0.6, None]


@pytest.mark.parametrize("split", ["test", "staging", "canary", "production"])
def test_only_images_of_validation_prove_anything(split):
    assert proven.by(CALIBRATED, *held_out([(3, 0.9, True)] * 60, split=split)).thresholds == ()


def test_each_model_has_its_own_and_the_policy_of_the_threshold_has_none():
    given = [held_out([(3, 0.9, right)] * 60, model=model) for model, right in (("good", True), ("bad", False))]
    both = [pl.concat(tables).unique(maintain_order=True) for tables in zip(*given, strict=True)]
    rule = proven.by(CALIBRATED, *both)
    assert [(one.model, one.above) for one in rule.thresholds] == [("bad", None), ("good", 0.25)]
    assert [(one.model, one.right) for one in rule.calibrations] == [("bad", (0.5 / 61,)), ("good", (60.5 / 61,))]
    assert proven.by(Rule(), *both) == Rule()


def test_calibration_never_falls():
    said = [(3, 0.35, True)] * 9 + [(3, 0.45, False)] * 9 + [(3, 0.95, True)] * 9
    (one,) = proven.by(CALIBRATED, *held_out(said)).calibrations
    assert one.confidence == pytest.approx((0.35, 0.45, 0.95))
    assert one.right == pytest.approx((0.5, 0.5, 0.95))


def test_model_that_was_shown_no_held_out_image_is_named_with_the_way_out():
    proven.require(pl.DataFrame(schema=dict.fromkeys(DETECTOR, pl.String)))
    with pytest.raises(FeedbackError, match=r"tiny 2 on the split validation.*radloop simulate --splits validation"):
        proven.require(pl.DataFrame({"model": ["tiny"], "model_version": ["2"]}))

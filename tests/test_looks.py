"""The calibrated policy: several looks at one image, a threshold for each class, regions to ignore, weights."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.catalog.rule import Calibration, Rule, Threshold
from radloop.feedback import guard, looks, retraining, reviews
from radloop.feedback.rows import Records
from radloop.tables import DETECTIONS, RETRAINING
from taxonomies import VINDR
from test_retraining import FOUND, HEART, IMAGE_IDS, IMAGES, NOON, records, reviewed

LUNG = (0.1, 0.1, 0.2, 0.2)
FIRST = {"model": "first", "model_version": "1"}
SECOND = {"model": "second", "model_version": "1"}


def threshold(model: str, class_id: int, above: float | None) -> Threshold:
    return Threshold(model, "1", class_id, above, 100, 100, 0.95, 0.9, too_few=False)


def rule(**thresholds: dict[int, float | None]) -> Rule:
    """By model: the threshold of each class; a confidence is right as often as it says."""
    return Rule(
        policy="calibrated",
        thresholds=tuple(threshold(model, *one) for model, own in thresholds.items() for one in own.items()),
        calibrations=tuple(Calibration(model, "1", (0.0, 1.0), (0.0, 1.0)) for model in thresholds),
    )


def decide(said: Records, by: Rule, reviews_said: reviews.Reviews = reviews.NONE, **known) -> retraining.Decided:
    return retraining.decide(said, guard.judge(said.feedback, IMAGES), reviews_said, by, **known)


def told(decided: retraining.Decided) -> list[tuple]:
    return decided.rows.select("class_id", "trains", "ignore", pl.col("weight").round(3)).rows()


def test_each_class_has_its_own_threshold_and_a_doubtful_box_is_a_region():
    said = records(("f1", "prod1", [(3, 0.6, HEART), (5, 0.6, LUNG)], FIRST))
    decided = decide(said, rule(first={3: 0.5, 5: 0.5}))
    assert told(decided) == [(3, True, False, 0.6), (5, True, False, 0.6)]
    decided = decide(said, rule(first={3: 0.5, 5: 0.7}))
    assert told(decided) == [(3, False, False, 0.6), (5, False, True, None)]
    assert decided.fates.select("fate", "code").row(0) == ("kept", "doubtful-regions")


def test_class_that_nothing_is_proven_of_has_no_label():
    said = records(("f1", "prod1", [(3, 0.99, HEART)], FIRST))
    decided = decide(said, rule(first={3: None, 5: 0.5}))
    assert decided.fates.select("fate", "code").row(0) == ("unused", "low-confidence")
    assert decided.rows.is_empty()


def test_box_that_nobody_believes_is_no_region():
    said = records(("f1", "prod1", [(3, 0.6, HEART), (5, 0.2, LUNG)], FIRST))
    assert told(decide(said, rule(first={3: 0.5}))) == [(3, True, False, 0.6)]


def test_looks_of_two_models_are_fused_and_a_box_of_one_weighs_half():
    near = (0.31, 0.5, 0.7, 0.7)
    said = records(
        ("f1", "prod1", [(3, 0.8, HEART), (5, 0.7, LUNG)], FIRST),
        ("f2", "prod1", [(3, 0.6, near)], SECOND),
    )
    decided = decide(said, rule(first={3: 0.5, 5: 0.5}, second={3: 0.9}))
    assert told(decided) == [(3, True, False, 0.7), (5, True, False, 0.35)]
    heart = decided.rows.row(0, named=True)
    assert heart["x_min_norm"] == pytest.approx((0.8 * 0.3 + 0.6 * 0.31) / 1.4)
    assert (heart["feedback_id"], heart["model"], heart["rad_id"]) == ("f2", "first+second", "M-firstsecond")
    assert decided.fates.select("feedback_id", "fate", "code").rows() == [
        ("f1", "unused", "fused"),
        ("f2", "kept", None),
    ]
    assert decided.fused == 1


def test_two_looks_of_one_model_are_one_voice():
    said = records(
        ("f1", "prod1", [(3, 0.8, HEART)], FIRST),
        ("f2", "prod1", [(3, 0.8, HEART), (5, 0.6, LUNG)], FIRST),
    )
    assert told(decide(said, rule(first={3: 0.5, 5: 0.5}))) == [(3, True, False, 0.8), (5, True, False, 0.3)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SECOND | {"image_md5": "f" * 32}, id="on another picture"),
        pytest.param(SECOND | {"complete": False}, id="one box of perhaps many"),
        pytest.param(SECOND | {"simulated": True}, id="simulated, on real data"),
        pytest.param({"model": "stranger"}, id="of a model of which nothing is known"),
    ],
)
def test_look_that_might_not_train_by_itself_is_not_fused(other):
    said = records(("f1", "prod1", [(5, 0.9, LUNG)], other), ("f2", "prod1", [(3, 0.6, HEART)], FIRST))
    assert told(decide(said, rule(first={3: 0.5}, second={5: 0.5}))) == [(3, True, False, 0.6)]


def test_model_that_counts_and_of_which_nothing_is_known_is_told():
    said = records(("f1", "prod1", [(3, 0.6, HEART)], FIRST), ("f2", "prod2", [(3, 0.6, HEART)], SECOND))
    assert decide(said, rule(first={3: 0.5})).unproven.rows() == [("second", "1")]
    assert decide(said, Rule()).unproven.is_empty()


@pytest.mark.parametrize("idle", [{"complete": False}, {"simulated": True}], ids=["bare", "simulated"])
def test_doubtful_box_keeps_an_image_out_that_may_not_train(idle):
    said = records(("f1", "prod1", [(3, 0.9, HEART), (5, 0.3, LUNG)], FIRST | idle))
    assert decide(said, rule(first={3: 0.5})).rows.is_empty()


def test_review_goes_before_any_look_and_weighs_the_share_of_reviewers_who_have_the_box():
    said = records(("f1", "prod1", [(3, 0.9, HEART)], FIRST), ("f2", "prod1", [(3, 0.9, HEART)], SECOND))
    looked = reviewed(
        ("f1", "prod1", "ann", "correct", [(3, HEART), (5, LUNG)]),
        ("f1", "prod1", "bob", "correct", [(3, HEART)]),
        ("f1", "prod1", "eve", "correct", [(3, HEART), (5, LUNG)], {"adjudicates": True}),
    )
    decided = decide(said, rule(first={3: 0.5}, second={3: 0.5}), looked)
    assert told(decided) == [(3, True, False, 1.0), (5, True, False, 0.667)]
    assert set(decided.rows["rad_id"]) == {"eve"}


def test_table_holds_weights_only_where_the_policy_gives_them():
    said = records(("f1", "prod1", [(3, 0.95, HEART), (5, 0.3, LUNG)], FIRST), ("f2", "prod2", [(3, 0.95, HEART)]))
    decided = decide(said, rule(first={3: 0.5}))
    written = retraining.csv(decided.rows, VINDR)
    assert written.splitlines()[0].endswith(b",trains,weight,ignore")
    assert retraining.from_csv(written, VINDR).equals(decided.rows)
    plain = retraining.csv(decide(said, Rule()).rows, VINDR)
    assert plain.splitlines()[0].endswith(b",trains")


def test_box_at_a_threshold_is_not_above_it():
    boxes = pl.DataFrame([("f1", "prod1", 3, p, *HEART) for p in (0.5,)], schema=DETECTIONS, orient="row")
    of = pl.DataFrame(
        [("f1", "f1", "first", "1")], schema=["feedback_id", "together", "model", "model_version"], orient="row"
    )
    assert looks.fused(of, boxes, rule(first={3: 0.5}))["sure"].to_list() == [False]


MODELS = st.sampled_from([FIRST, SECOND, FIRST | {"simulated": True}, FIRST | {"complete": False}])
THRESHOLDS = st.fixed_dictionaries({n: st.none() | st.sampled_from([0.25, 0.5, 0.9]) for n in range(14)})


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(st.tuples(IMAGE_IDS, FOUND, MODELS), max_size=8),
    THRESHOLDS,
    THRESHOLDS,
    st.dictionaries(st.integers(0, 13), st.none() | st.sampled_from([0.05, 0.3])),
    st.booleans(),
)
def test_stricter_thresholds_never_add_a_label(feedback, first, second, stricter, synthetic):
    came = records(*((f"f{n}", *one) for n, one in enumerate(feedback)))

    def raised(own: dict[int, float | None]) -> dict[int, float | None]:
        more = {n: None if own[n] is None or more is None else own[n] + more for n, more in stricter.items()}
        return own | more

    loose = decide(came, rule(first=first, second=second), synthetic=synthetic)
    strict = decide(came, rule(first=raised(first), second=raised(second)), synthetic=synthetic)
    key = ["image_id", "class_id", *RETRAINING.names()[3:7]]
    for what in (pl.col("trains"), ~pl.col("ignore")):
        assert strict.rows.filter(what).join(loose.rows.filter(what), on=key, how="anti").is_empty()
    for decided in (loose, strict):
        rows = decided.rows
        assert sum(retraining.count(decided.fates).values()) == len(feedback)
        assert set(rows["split"]) <= {"production"}
        assert not rows.filter("ignore", "trains").height
        assert rows.filter("ignore")["weight"].is_null().all()
        assert rows.filter("trains")["weight"].is_between(0, 1).all()
        assert rows.group_by("image_id").agg(pl.col("rad_id").n_unique())["rad_id"].is_in([1]).all()
        assert (
            rows.filter(pl.col("trains").all().over("image_id"))
            .join(rows.filter("ignore"), on="image_id", how="semi")
            .is_empty()
        )
        assert rows["timestamp"].is_between(NOON, NOON.replace(hour=13)).all()

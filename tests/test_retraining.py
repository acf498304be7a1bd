"""The retraining rule: what trains, what does not, and why; nothing lost, nothing twice."""

import hashlib
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import any_classes
from radloop.catalog.rule import Rule
from radloop.feedback import guard, retraining, reviews
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.tables import DETECTIONS, EDGES, FEEDBACK, REFUSED_FILES, RETRAINING, REVIEW_FINDINGS, REVIEWS, WAITING
from taxonomies import EVERY, VINDR

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HEART = (0.3, 0.5, 0.7, 0.7)
SPLIT_OF = {"train1": "training", "prod1": "production", "prod2": "production", "test1": "test", "val1": "validation"}
IMAGES = pl.DataFrame(
    [
        (image_id, split, image_id, f"{number:032x}", f"{15 << 8 * number:016x}")
        for number, (image_id, split) in enumerate(SPLIT_OF.items())
    ],
    schema=["image_id", "split", "group", "md5", "phash"],
    orient="row",
)


def records(*said: tuple, refused: tuple = ()) -> Records:
    """Feedback as (id, image, boxes (class, confidence, corners), **known), a minute apart."""
    feedback, detections = [], []
    for minute, (feedback_id, image_id, found, *known) in enumerate(said):
        top = max(found, key=lambda box: box[1], default=(None, 0.8))
        row = {
            "feedback_id": feedback_id,
            "image_id": image_id,
            "timestamp": NOON + timedelta(minutes=minute),
            "class_id": top[0],
            "confidence": top[1],
            "model": "tiny v2",
            "simulated": False,
            "complete": True,
            "file": f"{feedback_id}.json",
        }
        feedback.append(row | (known[0] if known else {}))
        detections += [(feedback_id, image_id, class_id, p, *corners) for class_id, p, corners in found]
    return Records(
        pl.DataFrame(feedback, schema=FEEDBACK),
        pl.DataFrame(detections, schema=DETECTIONS, orient="row"),
        pl.DataFrame(refused, schema=REFUSED_FILES, orient="row"),
    )


def reviewed(*said: tuple) -> Reviews:
    """Reviews as (feedback id, image, reviewer, verdict, boxes (class, corners), **known), a minute apart."""
    rows, found = [], []
    for minute, (feedback_id, image_id, reviewer, verdict, boxes, *known) in enumerate(said):
        file = f"{feedback_id}.{reviewer}.{minute}.json"
        row = {
            "review_id": str(minute),
            "feedback_id": feedback_id,
            "image_id": image_id,
            "reviewer": reviewer,
            "verdict": verdict,
            "timestamp": NOON + timedelta(hours=1, minutes=minute),
            "adjudicates": False,
            "simulated": False,
            "file": file,
        }
        rows.append(row | (known[0] if known else {}))
        found += [(file, class_id, *corners) for class_id, corners in boxes]
    return Reviews(
        pl.DataFrame(rows, schema=REVIEWS),
        pl.DataFrame(found, schema=REVIEW_FINDINGS, orient="row"),
        REFUSED_FILES.to_frame(),
    )


def decide(said: Records, reviews_said: Reviews = reviews.NONE, **rule) -> retraining.Decided:
    return retraining.decide(said, guard.judge(said.feedback, IMAGES), reviews_said, Rule(**rule))


def fate(*said, reviews_said: Reviews = reviews.NONE, of: str = "f1", **rule) -> tuple[str, str | None, str | None]:
    fates = decide(records(*said), reviews_said, **rule).fates
    return fates.filter(feedback_id=of).select("fate", "code", "reason").row(0)


KEPT = ("kept", None, None)
NOTHING_FOUND = ("unused", "nothing-found", "nothing found")
DOUBTFUL = ("unused", "doubtful-box", "a doubtful box")
HELD_OUT = ("withheld", "held-out-image", "the image is held out")
SUPERSEDED = ("unused", "superseded", "superseded")


OTHER_PICTURE = (
    "unused",
    "other-picture",
    "it was given on another picture than the dataset has of the image (MD5)",
)


def unsure(threshold: str) -> tuple[str, str, str]:
    return "unused", "low-confidence", f"no box above {threshold}"


def test_sure_prediction_on_a_production_image_is_a_row():
    decided = decide(records(("f1", "prod1", [(3, 0.95, HEART)])))
    assert decided.rows.schema == RETRAINING
    assert decided.rows.row(0, named=True) == {
        "image_id": "prod1",
        "class_id": 3,
        "rad_id": "M-tinyv2",
        **dict(zip(EDGES, HEART, strict=True)),
        "split": "production",
        "source": "prediction",
        "confidence": 0.95,
        "model": "tiny v2",
        "feedback_id": "f1",
        "timestamp": NOON,
        "final": False,
        "trains": True,
        "weight": None,
        "ignore": False,
    }


@pytest.mark.parametrize(
    ("image_id", "found", "expected"),
    [
        pytest.param("prod1", [(3, 0.9, HEART)], unsure("0.9"), id="not above the threshold"),
        pytest.param("prod1", [(3, 0.95, HEART), (1, 0.9, HEART)], DOUBTFUL, id="at the threshold"),
        pytest.param("prod1", [(3, 0.95, HEART), (1, 0.25, HEART)], DOUBTFUL, id="a doubtful box"),
        pytest.param("prod1", [(3, 0.95, HEART), (1, 0.2, HEART)], KEPT, id="a box that nobody believes"),
        pytest.param("prod1", [], NOTHING_FOUND, id="nothing found"),
        pytest.param(
            "train1",
            [(3, 0.95, HEART)],
            ("unused", "training-image", "a training image without a review"),
            id="training",
        ),
        pytest.param("test1", [(3, 0.95, HEART)], HELD_OUT, id="test"),
        pytest.param("val1", [], HELD_OUT, id="validation, nothing found"),
        pytest.param(
            "stranger",
            [(3, 0.95, HEART)],
            ("refused", "image-unknown", "the dataset has no image of this id"),
            id="unknown image",
        ),
        pytest.param(
            "prod1",
            [(3, 0.95, (-0.01, 0.2, 0.00005, 0.4))],
            ("refused", "box-without-area", "a box has no area inside the picture"),
            id="flat once cut",
        ),
    ],
)
def test_feedback_without_a_review(image_id, found, expected):
    assert fate(("f1", image_id, found)) == expected


def test_another_threshold_moves_what_is_doubtful():
    said = ("f1", "prod1", [(3, 0.8, HEART)])
    assert fate(said, min_confidence=0.7) == KEPT
    assert fate(said, min_confidence=0.85) == unsure("0.85")


def test_rule_says_from_where_on_a_box_is_doubtful():
    said = ("f1", "prod1", [(3, 0.95, HEART), (1, 0.2, HEART)])
    assert fate(said, doubtful=0.2) == DOUBTFUL
    assert fate(said, doubtful=0.21) == KEPT


@pytest.mark.parametrize(
    ("verdict", "boxes", "classes"),
    [
        pytest.param("accept", [(5, HEART)], [5], id="accepted"),
        pytest.param("correct", [(3, HEART), (7, HEART)], [3, 7], id="corrected"),
        pytest.param("normal", [], [None], id="normal"),
        pytest.param("reject", [], [], id="rejected"),
    ],
)
@pytest.mark.parametrize("image_id", ["prod1", "train1"])
def test_review_decides_what_trains(verdict, boxes, classes, image_id):
    decided = decide(records(("f1", image_id, [(5, 0.5, HEART)])), reviewed(("f1", image_id, "ann", verdict, boxes)))
    assert decided.rows["class_id"].to_list() == classes
    assert set(decided.rows.select("rad_id", "source", "confidence").rows()) <= {("ann", "review", None)}
    assert decided.fates["fate"].to_list() == ["kept" if classes else "unused"]


def test_normal_is_one_row_without_a_box(classes):
    decided = decide(records(("f1", "prod1", [(5, 0.5, HEART)])), reviewed(("f1", "prod1", "ann", "normal", [])))
    head, row = retraining.csv(decided.rows, classes).decode().splitlines()
    start = f"prod1,No finding,{len(classes)},ann,,,,,1024,1024,production,review,,tiny v2,f1,2026-01-02T13:00:00"
    assert row.startswith(start)
    assert head.startswith("image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,width,height,split,source")


def test_held_out_image_is_withheld_whatever_a_radiologist_says():
    said = reviewed(("f1", "test1", "ann", "correct", [(3, HEART)]))
    assert fate(("f1", "test1", [(3, 0.95, HEART)]), reviews_said=said)[0] == "withheld"


def test_held_out_image_trains_only_where_the_flag_says_so_and_its_row_tells():
    decided = decide(records(("f1", "test1", [(3, 0.95, HEART)])), include_held_out=True)
    assert decided.rows["split"].to_list() == ["test"]


def test_copy_of_a_held_out_picture_under_another_name_is_told_as_what_it_is():
    said = ("f1", "prod1", [(3, 0.95, HEART)], {"image_md5": f"{3:032x}"})
    assert fate(said) == ("withheld", "held-out-picture", "the picture is a held-out image's")
    assert fate(said, include_held_out=True) == OTHER_PICTURE
    strange = ("f1", "renamed", *said[2:])
    assert fate(strange) == ("withheld", "held-out-picture", "the picture is a held-out image's")
    assert fate(strange, include_held_out=True) == ("refused", *guard.UNKNOWN)


def test_newest_feedback_of_an_image_counts():
    old, new = ("f1", "prod1", [(3, 0.95, HEART)]), ("f2", "prod1", [])
    assert fate(old, new) == SUPERSEDED
    assert fate(old, new, of="f2") == NOTHING_FOUND


def test_newest_is_by_time_and_not_by_id():
    old, new = ("f2", "prod1", [(3, 0.95, HEART)]), ("f1", "prod1", [])
    assert fate(old, new, of="f2") == SUPERSEDED
    assert fate(old, new, of="f1") == NOTHING_FOUND


def test_later_prediction_does_not_take_back_what_a_radiologist_said():
    old, new = ("f1", "prod1", [(3, 0.95, HEART)]), ("f2", "prod1", [])
    said = reviewed(("f1", "prod1", "ann", "accept", [(3, HEART)]))
    assert fate(old, new, reviews_said=said) == KEPT
    assert fate(old, new, reviews_said=said, of="f2") == SUPERSEDED


def test_disputed_feedback_waits_for_somebody_who_adjudicates():
    feedback = ("f1", "prod1", [(3, 0.95, HEART)])
    two = [("f1", "prod1", "ann", "accept", [(3, HEART)]), ("f1", "prod1", "bob", "normal", [])]
    assert fate(feedback, reviews_said=reviewed(*two)) == ("disputed", "disputed", "its reviewers disagree")
    third = ("f1", "prod1", "eve", "normal", [], {"adjudicates": True})
    assert fate(feedback, reviews_said=reviewed(*two, third)) == KEPT


def test_simulated_review_is_marked_in_its_rows():
    said = reviewed(("f1", "prod1", "S-R8", "normal", [], {"simulated": True}))
    assert decide(records(("f1", "prod1", [])), said).rows["source"].to_list() == ["simulated-review"]


def test_require_review_leaves_out_what_nobody_looked_at():
    feedback = ("f1", "prod1", [(3, 0.95, HEART)])
    assert fate(feedback, require_review=True) == ("unused", "no-review", "no review")
    accepted = reviewed(("f1", "prod1", "ann", "accept", [(3, HEART)]))
    assert fate(feedback, reviews_said=accepted, require_review=True) == KEPT


@pytest.mark.parametrize(
    ("review", "code", "reason"),
    [
        pytest.param(
            ("f1", "prod2", "ann", "normal", []),
            "feedback-of-another-image",
            "its feedback is on image prod1",
            id="another image",
        ),
        pytest.param(
            ("f1", "prod1", "ann", "normal", [], {"timestamp": NOON - timedelta(seconds=1)}),
            "older-than-feedback",
            "its time 2026-01-02T11:59:59Z is before that of its feedback, 2026-01-02T12:00:00Z",
            id="older than its feedback",
        ),
        *(
            pytest.param(
                ("f1", "prod1", "ann", "accept", boxes),
                "accept-contradicts-boxes",
                "it accepts the boxes shown, and its findings are not the feedback's boxes from 0.25 on",
                id=f"accepts {case}",
            )
            for case, boxes in {
                "no boxes": [],
                "a box elsewhere": [(3, (0.1, 0.1, 0.2, 0.2))],
                "another class": [(5, HEART)],
                "one more": [(3, HEART), (5, HEART)],
            }.items()
        ),
    ],
)
def test_review_that_contradicts_its_feedback_is_refused_and_the_feedback_waits(review, code, reason):
    said = ("f1", "prod1", [(3, 0.95, HEART)])
    decided = decide(records(said), reviewed(review))
    assert decided.refused_reviews.select("code", "reason").rows() == [(code, reason)]
    assert decided.rows.is_empty()
    assert decided.fates.select("fate", "code").row(0) == ("disputed", "review-unreadable")
    assert decided.waiting.rows() == [("f1", "f1.ann.0.json")]

    later = ("f1", "prod1", "ann", "correct", [(7, HEART)])
    assert decide(records(said), reviewed(review, later)).rows["class_id"].to_list() == [7]
    other = ("f1", "prod1", "bob", "correct", [(7, HEART)])
    assert decide(records(said), reviewed(review, other)).rows.is_empty()
    final = (*other, {"adjudicates": True})
    assert decide(records(said), reviewed(review, final)).rows["class_id"].to_list() == [7]
    played = (*other, {"adjudicates": True, "simulated": True})
    assert decide(records(said), reviewed(review, played)).rows.is_empty()


def test_review_of_feedback_that_is_not_there_is_refused_and_changes_nothing():
    decided = decide(records(("f1", "prod1", [(3, 0.95, HEART)])), reviewed(("f9", "prod1", "ann", "normal", [])))
    assert decided.refused_reviews.select("code", "reason").rows() == [
        ("feedback-unknown", "there is no feedback of this id")
    ]
    assert decided.rows["source"].to_list() == ["prediction"]


def test_accept_need_not_copy_what_was_not_shown():
    said = records(("f1", "prod1", [(3, 0.95, HEART), (5, 0.2, HEART)]), ("f2", "prod2", [(3, 0.24, HEART)]))
    decided = decide(
        said, reviewed(("f1", "prod1", "ann", "accept", [(3, HEART)]), ("f2", "prod2", "ann", "accept", []))
    )
    assert decided.refused_reviews.is_empty()
    assert decided.rows.select("image_id", "class_id").rows() == [("prod1", 3), ("prod2", None)]


@pytest.mark.parametrize(("shown", "refused"), [(reviews.MOST_SHOWN, 0), (reviews.MOST_SHOWN - 1, 1), (None, 1)])
def test_accept_of_more_boxes_than_anybody_is_shown_is_of_those_that_were(shown, refused):
    corners = [(n / 500, 0.1, n / 500 + 0.1, 0.3) for n in range(400)]
    said = records(("f1", "prod1", [(3, 0.95, box) for box in corners]))
    accept = reviewed(
        ("f1", "prod1", "ann", "accept", [(3, box) for box in corners[:shown]][:300], {"shown_boxes": shown})
    )
    told = accept.findings.with_columns(confidence=pl.lit(0.95))
    decided = decide(said, replace(accept, shown=told))
    assert decided.refused_reviews.height == refused
    assert decided.waiting.height == refused


def test_image_in_another_case_is_the_one_that_has_the_id_in_one_case_only():
    shout = reviewed(("f1", "PROD1", "ann", "reject", []))
    assert fate(("f1", "prod1", [(3, 0.95, HEART)]), reviews_said=shout)[:2] == ("unused", "rejected")
    twins = (("f1", "prod1", [(3, 0.95, HEART)]), ("f2", "Prod1", [(3, 0.95, HEART)]))
    assert fate(*twins, reviews_said=shout)[:2] == ("disputed", "review-unreadable")


def test_later_prediction_does_not_pass_by_a_review_that_cannot_be_read():
    first, later = ("f1", "prod1", [(3, 0.95, HEART)]), ("f2", "prod1", [(3, 0.95, HEART)])
    waiting = pl.DataFrame([("f1", "f1.ann.0.json"), ("f9", "f9.ann.0.json")], schema=WAITING, orient="row")
    said = replace(reviews.NONE, waiting=waiting)
    decided = decide(records(first, later), said)
    assert decided.rows.is_empty()
    assert dict(decided.fates.select("feedback_id", "code").iter_rows()) == {
        "f1": "review-unreadable",
        "f2": "superseded",
    }
    assert decided.fates.filter(feedback_id="f1")["reason"].to_list() == [
        "waits: its review f1.ann.0.json cannot be used; mend it, or review the feedback again"
    ]


@pytest.mark.parametrize("review", [None, ("f1", "prod1", "ann", "correct", [(3, HEART)])])
def test_feedback_on_another_picture_never_trains_and_supersedes_nothing(review):
    other = ("f2", "prod1", [(3, 0.95, HEART)], {"image_md5": f"{99:032x}"})
    said = reviewed(("f2", "prod1", "ann", "correct", [(3, HEART)]))
    assert fate(other, of="f2") == OTHER_PICTURE
    assert fate(other, of="f2", reviews_said=said) == OTHER_PICTURE
    own = ("f1", "prod1", [(3, 0.95, HEART)], {"image_md5": IMAGES.filter(image_id="prod1")["md5"][0]})
    assert fate(own, other, reviews_said=said) == KEPT


def test_bare_feedback_is_a_row_that_does_not_train_until_it_is_reviewed():
    bare = ("f1", "prod1", [(3, 0.95, HEART)], {"complete": False, "model": None})
    decided = decide(records(bare))
    assert decided.rows.select("class_id", "trains").rows() == [(3, False)]
    assert decided.fates.select("fate", "code").row(0) == ("kept", "bare-feedback")
    reviewed_too = decide(records(bare), reviewed(("f1", "prod1", "ann", "accept", [(3, HEART)])))
    assert reviewed_too.rows.select("class_id", "trains").rows() == [(3, True)]
    assert reviewed_too.fates.select("fate", "code").row(0) == ("kept", None)


@pytest.mark.parametrize(
    ("known", "review", "simulated"),
    [
        pytest.param({"simulated": True}, None, True, id="a simulated hospital"),
        pytest.param({"model": "random"}, None, True, id="the random detector"),
        pytest.param({"model": "oracle"}, None, True, id="the oracle"),
        pytest.param({}, None, False, id="a model's own"),
        pytest.param({}, {"simulated": True}, True, id="a simulated review"),
        pytest.param({"simulated": True}, {}, False, id="a person's review of what was simulated"),
    ],
)
def test_what_was_simulated_trains_on_synthetic_data_or_where_it_is_allowed(known, review, simulated):
    feedback = records(("f1", "prod1", [(3, 0.95, HEART)], known))
    said = reviews.NONE if review is None else reviewed(("f1", "prod1", "ann", "correct", [(3, HEART)], review))
    judged = guard.judge(feedback.feedback, IMAGES)
    for synthetic, rule, trains in (
        (False, Rule(), not simulated),
        (True, Rule(), True),
        (False, Rule(allow_simulated=True), True),
    ):
        decided = retraining.decide(feedback, judged, said, rule, synthetic=synthetic)
        assert decided.rows["trains"].to_list() == [trains]
        assert decided.fates.select("fate", "code").row(0) == ("kept", None if trains else "simulated")


def test_table_written_before_there_was_a_column_trains_is_read_as_all_training():
    rows = decide(records(("f1", "prod1", [(3, 0.95, HEART)]))).rows
    data = retraining.csv(rows, VINDR)
    assert data.decode().splitlines()[1].endswith(",true")
    old = b"\n".join(line.rsplit(b",", 1)[0] for line in data.splitlines())
    assert retraining.from_csv(old, VINDR).equals(rows)
    assert retraining.from_csv(data, VINDR).equals(rows)


def test_boxes_of_one_class_that_coincide_become_one():
    near = (0.31, 0.5, 0.71, 0.7)
    decided = decide(records(("f1", "prod1", [(3, 0.95, HEART), (3, 0.93, near), (10, 0.95, near)])))
    assert decided.rows["class_id"].to_list() == [3, 10]
    assert decided.fused == 1
    assert 0.3 < decided.rows["x_min_norm"][0] < 0.31


def test_box_over_the_edge_is_cut_there_and_counted():
    decided = decide(records(("f1", "prod1", [(3, 0.95, (-0.005, 0.5, 0.7, 1.004))])))
    assert decided.rows.select("x_min_norm", "y_max_norm").row(0) == (0.0, 1.0)
    assert decided.cut == 1


def test_file_that_could_not_be_read_is_refused_with_its_reason():
    decided = decide(records(("f1", "prod1", []), refused=(("bad.json", "not-json", "it is not JSON"),)))
    assert retraining.count(decided.fates) == {"kept": 0, "withheld": 0, "refused": 1, "disputed": 0, "unused": 1}
    assert decided.fates.filter(file="bad.json").select("fate", "code", "reason").row(0) == (
        "refused",
        "not-json",
        "it is not JSON",
    )


def test_no_feedback_is_no_rows():
    decided = decide(records())
    assert decided.rows.is_empty()
    assert decided.fates.is_empty()


CORNERS = st.sampled_from([HEART, (0.1, 0.1, 0.2, 0.2), (-0.01, 0.0, 0.5, 1.01), (0.0, 0.2, 0.00001, 0.4)])
FOUND = st.lists(st.tuples(st.integers(0, 13), st.floats(0, 1), CORNERS), max_size=4)
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "image_md5": st.sampled_from([f"{n:032x}" for n in range(7)]),
        "image_phash": st.sampled_from([f"{15 << 8 * n:016x}" for n in range(7)]),
        "split": st.sampled_from(["test", "production", "training"]),
        "model": st.none() | st.text(max_size=60),
    },
)
IMAGE_IDS = st.sampled_from([*SPLIT_OF, "TEST1.png", "test1_R8", "stranger"])
VERDICTS = st.sampled_from(["accept", "correct", "normal", "reject"])
OPINIONS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["ann", "bob", "S-R8"]), VERDICTS, st.booleans(), st.booleans()),
    max_size=12,
)


@pytest.mark.slow
@given(st.lists(st.tuples(IMAGE_IDS, FOUND, KNOWN), max_size=10), OPINIONS, st.booleans(), st.randoms())
def test_every_feedback_ends_in_one_fate_and_no_held_out_image_trains(feedback, opinions, require_review, rng):
    said = [(f"f{n}", *one) for n, one in enumerate(feedback)]
    image_of = {feedback_id: image_id for feedback_id, image_id, *_ in said}
    looked = reviewed(
        *(
            (
                f"f{n}",
                image_of.get(f"f{n}", "prod1"),
                reviewer,
                verdict,
                [(3, HEART)] if verdict in ("accept", "correct") else [],
                {"adjudicates": adjudicates, "simulated": simulated},
            )
            for n, reviewer, verdict, adjudicates, simulated in opinions
        )
    )
    came = records(*said, refused=[("bad.json", "not-json", "no JSON")])
    decided = decide(came, looked, require_review=require_review)

    assert sorted(decided.fates["file"]) == sorted([*(f"{one[0]}.json" for one in said), "bad.json"])
    assert sum(retraining.count(decided.fates).values()) == len(said) + 1
    kept = decided.fates.filter(fate="kept")
    assert set(decided.rows["feedback_id"]) == set(kept["feedback_id"])
    assert kept["image_id"].is_unique().all()
    assert set(decided.rows["split"]) <= {"production", "training"}
    assert not decided.rows.is_duplicated().any()
    assert decided.rows.filter(source="prediction")["confidence"].min() is None or (
        decided.rows.filter(source="prediction")["confidence"].min() > 0.9
        and set(decided.rows.filter(source="prediction")["split"]) == {"production"}
    )
    assert decided.rows["rad_id"].str.contains(r"\A[A-Za-z0-9-]{1,50}\z").all()

    shuffled = Records(
        *(table.sample(fraction=1, shuffle=True, seed=rng.randrange(99)) for table in (came.feedback, came.detections)),
        came.refused,
    )
    again = decide(shuffled, looked, require_review=require_review)
    written = retraining.csv(decided.rows, VINDR)
    assert retraining.csv(again.rows, VINDR) == written
    assert retraining.from_csv(written, VINDR).equals(decided.rows)
    assert set(kept["code"]) <= {None, "simulated"}
    assert decided.fates.filter(pl.col("code").is_null(), pl.col("fate") != "kept").is_empty()
    learned = decided.rows.join(kept.select("feedback_id", "code"), on="feedback_id")
    assert (learned["trains"] == learned["code"].is_null()).all()
    assert not set(decided.waiting["feedback_id"]) & set(kept["feedback_id"])
    assert again.fates.sort("file").equals(decided.fates.sort("file"))


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=8)


@given(any_classes.ANY | st.sampled_from([*EVERY.values()]), st.data())
def test_table_on_any_classes_comes_back_as_it_was_written(classes, data):
    numbers = data.draw(st.lists(st.none() | st.integers(0, len(classes) - 1), max_size=6))
    rows = pl.DataFrame(
        [
            {
                "image_id": data.draw(TEXTS),
                "class_id": class_id,
                "rad_id": "ann",
                **({} if class_id is None else dict(zip(EDGES, HEART, strict=True))),
                "split": "production",
                "source": "review",
                "model": data.draw(st.none() | TEXTS),
                "feedback_id": "f1",
                "timestamp": NOON,
                "final": class_id is None,
                "weight": data.draw(st.none() | st.floats(0, 1)),
                "ignore": data.draw(st.booleans()),
            }
            for class_id in numbers
        ],
        schema=RETRAINING,
    )
    written = retraining.csv(rows, classes)
    assert retraining.from_csv(written, classes).equals(rows)
    told = pl.read_csv(written, infer_schema=False).select("class_name", "class_id").rows()
    assert told == [(classes.name(number), str(len(classes) if number is None else number)) for number in numbers]


def test_table_without_a_policy_is_the_bytes_it_always_was():
    rng, said = random.Random(0), []
    for number in range(300):
        found = [
            (rng.randrange(14), rng.choice([0.1, 0.3, 0.9, 0.91, 0.97, 0.99]), (x, y, x + 0.3, y + 0.2))
            for x, y in [(rng.uniform(-0.01, 0.7), rng.uniform(0, 0.8))] * rng.randrange(3)
        ]
        model = rng.choice(["tiny", "random", None])
        known = {"model": model, "complete": rng.random() > 0.1, "simulated": rng.random() > 0.9}
        said.append((f"f{number}", f"prod{number}", found, known))
    images = [(f"prod{n}", "production", f"g{n}", f"{n:032x}", f"{n:016x}") for n in range(300)]
    came = records(*said)
    looked = reviewed(
        *((f"f{n}", f"prod{n}", "ann", "correct", [(3, HEART)]) for n in range(0, 300, 9)),
        *((f"f{n}", f"prod{n}", "bob", "normal", []) for n in range(0, 300, 18)),
    )
    judged = guard.judge(came.feedback, pl.DataFrame(images, schema=IMAGES.schema, orient="row"))
    rows = retraining.decide(came, judged, looked).rows
    assert rows.height == 105
    assert hashlib.md5(retraining.csv(rows, VINDR)).hexdigest() == "9d8c023568ab58fdd1a232b72b62294c"


def test_newer_feedback_that_is_withheld_or_unknown_does_not_supersede():
    good = ("f1", "prod1", [(3, 0.95, HEART)])
    copy = ("f2", "prod1", [(3, 0.95, HEART)], {"image_md5": f"{3:032x}"})
    assert fate(good, copy) == KEPT
    assert fate(good, copy, of="f2")[0] == "withheld"


def test_review_of_superseded_feedback_is_not_among_those_that_were_used():
    old, new = ("f1", "prod1", []), ("f2", "prod1", [])
    said = reviewed(("f1", "prod1", "ann", "normal", []), ("f2", "prod1", "ann", "normal", []))
    decided = decide(records(old, new), said)
    assert decided.reviews["feedback_id"].to_list() == ["f2"]
    rejected = reviewed(("f2", "prod1", "ann", "reject", []))
    assert decide(records(old, new), rejected).reviews["feedback_id"].to_list() == ["f2"]


def test_fused_box_is_the_mean_weighted_by_confidence():
    decided = decide(records(("f1", "prod1", [(3, 1.0, HEART), (3, 0.92, (0.34, 0.5, 0.7, 0.7))])))
    assert decided.rows["x_min_norm"].to_list() == [pytest.approx((0.3 + 0.92 * 0.34) / 1.92)]
    assert decided.rows["confidence"].to_list() == [pytest.approx(0.96)]


def test_box_that_nobody_believes_may_lie_outside():
    outside = (-0.01, 0.2, 0.00005, 0.4)
    assert fate(("f1", "prod1", [(3, 0.95, HEART), (1, 0.1, outside)])) == KEPT


@pytest.mark.parametrize(
    ("model", "rad_id"),
    [(None, "M-unknown"), ("", "M-unknown"), ("__", "M-unknown"), ("a_b c.1", "M-abc1"), ("x" * 60, "M-" + "x" * 48)],
)
def test_model_is_the_reader_of_its_rows(model, rad_id):
    decided = decide(records(("f1", "prod1", [(3, 0.95, HEART)], {"model": model})))
    assert decided.rows["rad_id"].to_list() == [rad_id]


def test_only_boxes_above_the_threshold_become_rows():
    decided = decide(records(("f1", "prod1", [(3, 0.95, HEART), (5, 0.1, HEART)])))
    assert decided.rows["class_id"].to_list() == [3]


def test_rows_are_sorted_and_a_normal_one_comes_last():
    said = reviewed(("f1", "prod1", "ann", "correct", [(7, HEART), (3, HEART)]), ("f2", "prod2", "ann", "normal", []))
    decided = decide(records(("f2", "prod2", []), ("f1", "prod1", [])), said)
    assert decided.rows.select("image_id", "class_id").rows() == [("prod1", 3), ("prod1", 7), ("prod2", None)]

"""The audit: how often the model is wrong, from the images that a lot has drawn."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.catalog.rule import Rule
from radloop.feedback import audit, matching, queue
from radloop.feedback.audit import Audited
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.tables import CLASS_ID, DETECTIONS, FEEDBACK, REFUSED_FILES, REVIEW_FINDINGS, REVIEWS, WAITING

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HEART, SAME_HEART, ELSEWHERE = (0.4, 0.5, 0.6, 0.8), (0.41, 0.5, 0.61, 0.8), (0.1, 0.1, 0.3, 0.3)


def feedback(name="f", *boxes, **changes):
    """One feedback: boxes are (class, confidence, corners)."""
    top = boxes[0][:2] if boxes else (None, 0.9)
    row = {"feedback_id": name, "image_id": f"i-{name}", "timestamp": NOON, "class_id": top[0], "confidence": top[1]}
    return row | {"model": "net", "model_version": "1", "split": "production", "complete": True} | changes, boxes


def review(of="f", verdict="accept", *boxes, **changes):
    """One review, an hour after its feedback: boxes are (class, corners)."""
    row = {"review_id": f"r-{of}", "feedback_id": of, "image_id": f"i-{of}", "reviewer": "bob", "verdict": verdict}
    row |= {"timestamp": NOON + timedelta(hours=1), "adjudicates": False, "simulated": False} | changes
    return row | {"file": f"{row['feedback_id']}.{row['reviewer']}.{row['review_id']}.json"}, boxes


def audited(said, reviewed=(), *, share=1.0, seed=0, **judged) -> list[Audited]:
    """What the guard says of all feedback is in `judged`."""
    records, known = known_of(said, **judged)
    return audit.audited(records, known, reviews_of(reviewed), groups_of(known), share=share, seed=seed)


def groups_of(known: pl.DataFrame, size: int = 1) -> pl.DataFrame:
    """The images in groups of `size`."""
    images = known["image_id"].unique().sort()
    return pl.DataFrame({"image_id": images, "group": [f"g{place // size}" for place in range(len(images))]})


def known_of(said, **judged) -> tuple[Records, pl.DataFrame]:
    """The feedback, and with what the guard says of it."""
    records = records_of(said)
    told = {"split": "production", "held_out": None, "code": None, "evidence": None, "other_picture": False} | judged
    return records, records.feedback.with_columns(pl.lit(value).alias(name) for name, value in told.items())


def records_of(said) -> Records:
    rows = pl.DataFrame([row for row, _ in said], schema=FEEDBACK)
    boxes = [
        (row["feedback_id"], row["image_id"], class_id, confidence, *corners)
        for row, found in said
        for class_id, confidence, corners in found
    ]
    return Records(rows, pl.DataFrame(boxes, schema=DETECTIONS, orient="row"), REFUSED_FILES.to_frame())


def reviews_of(reviewed, waiting=()) -> Reviews:
    rows = pl.DataFrame([row for row, _ in reviewed], schema=REVIEWS)
    found = [(row["file"], class_id, *corners) for row, boxes in reviewed for class_id, corners in boxes]
    held = pl.DataFrame(waiting, schema=WAITING, orient="row")
    return Reviews(rows, pl.DataFrame(found, schema=REVIEW_FINDINGS, orient="row"), REFUSED_FILES.to_frame(), held)


@pytest.mark.parametrize(
    ("shown", "said", "wrong"),
    [
        pytest.param([(3, 0.6, HEART)], ("accept", (3, HEART)), 0, id="accepted"),
        pytest.param([], ("accept",), 0, id="nothing found, accepted"),
        pytest.param([], ("normal",), 0, id="nothing found, normal"),
        pytest.param([], ("correct", (3, HEART)), 1, id="nothing found, a finding missed"),
        pytest.param([(3, 0.6, HEART)], ("normal",), 1, id="a finding invented"),
        pytest.param([(3, 0.6, HEART)], ("correct", (3, HEART), (7, ELSEWHERE)), 1, id="one of two missed"),
        pytest.param([(3, 0.6, HEART)], ("correct", (5, HEART)), 1, id="another class"),
        pytest.param([(3, 0.6, HEART)], ("correct", (3, ELSEWHERE)), 1, id="another place"),
        pytest.param([(3, 0.6, HEART)], ("correct", (3, SAME_HEART)), 0, id="an edge mended"),
        pytest.param([(3, 0.24, HEART)], ("normal",), 0, id="a box below what is shown"),
        pytest.param([(3, 0.25, HEART)], ("normal",), 1, id="a box just shown"),
    ],
)
def test_model_is_wrong_where_its_boxes_do_not_mean_what_the_review_says(shown, said, wrong):
    (found,) = audited([feedback("f", *shown)], [review("f", *said)])
    assert (found.drawn, found.reviewed, found.wrong, found.waiting) == (1, 1, wrong, 0)


def test_disputed_images_wait_and_rejected_ones_are_told_apart():
    said = [feedback(name, (3, 0.6, HEART)) for name in ("right", "rejected", "disputed", "open")]
    reviewed = [
        review("right", "accept", (3, HEART)),
        review("rejected", "reject"),
        review("disputed", "accept", (3, HEART)),
        review("disputed", "normal", reviewer="eve", review_id="e"),
    ]
    (found,) = audited(said, reviewed)
    assert (found.drawn, found.reviewed, found.wrong, found.unusable, found.waiting) == (4, 1, 0, 1, 2)
    final = review("disputed", "normal", reviewer="ann", review_id="a", adjudicates=True)
    (found,) = audited(said, [*reviewed, final])
    assert (found.reviewed, found.wrong, found.waiting) == (2, 1, 1)


def test_review_that_is_refused_leaves_its_image_waiting():
    older = review("f", "normal", timestamp=NOON - timedelta(hours=1))
    other_boxes = review("g", "accept", (3, ELSEWHERE))
    (found,) = audited([feedback("f"), feedback("g", (3, 0.6, HEART))], [older, other_boxes])
    assert (found.drawn, found.reviewed, found.waiting) == (2, 0, 2)
    assert found.wrong_interval is None


def test_each_detector_is_judged_by_the_review_of_the_image_whatever_feedback_it_was_given_on():
    said = [
        feedback("old", (3, 0.6, HEART), image_id="i"),
        feedback("new", image_id="i", model_version="2", timestamp=NOON + timedelta(minutes=1)),
    ]
    of_both = audited(said, [review("new", "correct", (3, HEART), image_id="i")])
    assert [(each.model_version, each.reviewed, each.wrong) for each in of_both] == [("1", 1, 0), ("2", 1, 1)]


def test_newest_feedback_before_the_review_counts_once():
    minutes = {"first": 0, "second": 1, "after": 90}
    said = [
        feedback(
            name, *([] if name == "second" else [(3, 0.6, HEART)]), image_id="i", timestamp=NOON + timedelta(minutes=n)
        )
        for name, n in minutes.items()
    ]
    (found,) = audited(said, [review("second", "normal", image_id="i")])
    assert (found.drawn, found.reviewed, found.wrong) == (1, 1, 0)


def test_detector_asked_after_the_review_may_have_learned_from_it():
    late = feedback("late", image_id="i", model_version="2", timestamp=NOON + timedelta(hours=2))
    found = audited([feedback("f", image_id="i"), late], [review("f", "normal", image_id="i")])
    assert [each.model_version for each in found] == ["1"]


@pytest.mark.parametrize(
    ("told", "now", "counts"),
    [
        pytest.param("production", "production", 1, id="production"),
        pytest.param("production", "training", 1, id="moved to training since"),
        pytest.param(None, "production", 1, id="another program's"),
        pytest.param("training", "training", 0, id="training"),
        pytest.param(None, None, 0, id="unknown to the dataset"),
    ],
)
def test_image_that_the_detector_learned_from_does_not_count(told, now, counts):
    assert len(audited([feedback(split=told)], split=now)) == counts


def test_held_out_images_and_other_pictures_do_not_count():
    assert audited([feedback()], held_out="test") == []
    assert audited([feedback()], other_picture=True) == []


def test_feedback_that_tells_one_box_of_many_and_simulated_reviews_are_counted():
    said = [feedback("f", (3, 0.6, HEART), complete=False), feedback("g", complete=False)]
    (found,) = audited(said, [review("f", "accept", (3, HEART)), review("g", "normal", simulated=True)])
    assert (found.reviewed, found.top_box_only, found.simulated) == (2, 1, 1)


def test_interval_is_wider_where_images_of_a_patient_are_alike_and_absent_for_few():
    said = [feedback(f"f{n:02}", (3, 0.6, HEART)) for n in range(40)]
    records, known = known_of(said)
    written = [review(f"f{n:02}", *(["normal"] if n < 20 else ["accept", (3, HEART)])) for n in range(40)]
    widths = []
    for size in (1, 4):
        (found,) = audit.audited(records, known, reviews_of(written), groups_of(known, size), share=1.0, seed=0)
        low, high = found.wrong_interval
        assert low < found.wrong / found.reviewed == 0.5 < high
        widths.append(high - low)
    assert widths[1] > 1.5 * widths[0] > 0.4
    few = [review(f"f{n:02}", "normal") for n in range(3)]
    (found,) = audited(said, few)
    assert (found.reviewed, found.wrong, found.wrong_interval) == (3, 3, None)


def test_who_was_drawn_follows_from_the_image_and_the_seed_alone():
    said = [feedback(f"f{n}") for n in range(500)]
    (before,) = audited(said, share=0.1)
    reviewed = [review(f"f{n}", "normal") for n in range(0, 500, 2)]
    (after,) = audited(said, reviewed, share=0.1)
    (backwards,) = audited(said[::-1], reviewed, share=0.1)
    assert 30 < before.drawn == after.drawn
    assert after == backwards
    names = pl.Series([f"i-f{n}" for n in range(500)])
    assert before.drawn == (audit.lots(names, 0) < 0.1).sum()
    assert not audit.lots(names, 0).equals(audit.lots(names, 1))


def test_every_image_has_the_same_chance_in_the_lot():
    lots = audit.lots(pl.Series([f"{n:032x}" for n in range(20_000)]), 7)
    assert lots.is_between(0, 1, closed="left").all()
    for share in (0.1, 0.5, 0.9):
        assert (lots < share).mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 20_000))


def test_share_of_the_lot_is_that_of_all_while_what_the_queue_puts_first_is_wrong_more_often():
    """The model is wrong on 30 %, the more often the less sure it is; the first quarter of the queue is reviewed."""
    covered, from_lot, from_all = 0, [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        confidence = rng.uniform(0.5, 1, 800)
        wrong = rng.random(800) < 1.2 * (1 - confidence)
        said = [feedback(f"f{n}", (3, p, HEART)) for n, p in enumerate(confidence.tolist())]
        records = records_of(said)
        open_feedback = records.feedback.with_columns(disputed=pl.lit(value=False))
        annotations = pl.DataFrame(schema={"image_id": pl.String, "rad_id": pl.String, "class_id": CLASS_ID})
        ordered = queue.order(open_feedback, records.detections, annotations, seed=seed)
        looked = [int(name[1:]) for name in ordered["feedback_id"].head(200)]
        reviewed = [review(f"f{n}", "normal") if wrong[n] else review(f"f{n}", "accept", (3, HEART)) for n in looked]
        (found,) = audited(said, reviewed, share=audit.SHARE, seed=seed)
        low, high = found.wrong_interval
        covered += low <= 0.3 <= high
        from_lot.append(found.wrong / found.reviewed)
        from_all.append(wrong[looked].mean())
    assert covered >= 26
    assert np.mean(from_lot) == pytest.approx(0.3, abs=0.05)
    assert np.mean(from_all) > 0.4


MINUTES = st.integers(0, 5)
ASKED = st.lists(st.tuples(st.sampled_from("abc"), MINUTES), min_size=1, max_size=6)
WRITTEN = st.lists(
    st.tuples(
        st.integers(0, 5),
        MINUTES,
        st.sampled_from(["normal", "reject"]),
        st.sampled_from(["bob", "eve"]),
        st.booleans(),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(asked=ASKED, written=WRITTEN, unreadable=st.sets(st.integers(0, 5), max_size=2))
def test_every_image_that_waits_for_the_audit_is_in_the_queue_and_no_other(asked, written, unreadable):
    """Also with refused, disputed, adjudicated and unreadable reviews, and images that were asked about again."""
    said = [
        feedback(f"f{n}", image_id=image_id, timestamp=NOON + timedelta(minutes=minute))
        for n, (image_id, minute) in enumerate(asked)
    ]
    reviewed = reviews_of(
        [
            review(
                f"f{n}",
                verdict,
                image_id=asked[n][0],
                reviewer=name,
                adjudicates=final,
                review_id=f"{n}-{place}",
                timestamp=NOON + timedelta(minutes=minute),
            )
            for place, (n, minute, verdict, name, final) in enumerate(written)
            if n < len(asked)
        ],
        [(f"f{n}", f"f{n}.ann.x.json") for n in unreadable],
    )
    records, known = known_of(said)
    standing, _, waiting = matching.match(reviewed, known, records.detections, Rule())
    (found,) = audit.audited(records, known, reviewed, groups_of(known), share=1.0, seed=0)
    assert found.drawn == len({image_id for image_id, _ in asked})
    assert found.waiting == queue.candidates(known, standing, waiting).height

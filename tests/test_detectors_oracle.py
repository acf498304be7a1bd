import hashlib

import numpy as np
import polars as pl
import pytest

from radloop.detectors.oracle import Oracle
from radloop.measures import evaluation
from radloop.predictions import Picture
from radloop.sources import synthetic
from radloop.tables import DETECTIONS, TRUTH
from taxonomies import SPINE, VINDR

PATIENTS = [synthetic.patient(index, seed=31) for index in range(1500)]
IMAGES = [known.image_id for known in PATIENTS]


def truth_of(patients):
    rows = [
        (known.image_id, class_id, *box)
        for known in patients
        for class_id, box in zip(known.classes.tolist(), known.boxes.tolist(), strict=True)
    ]
    return pl.DataFrame(rows, schema=TRUTH, orient="row")


def detections(detector):
    rows = []
    for image_id in IMAGES:
        found = detector.predict(Picture(image_id, b""))
        for class_id, confidence, (x, y, w, h) in zip(
            found.class_ids.tolist(), found.confidences.tolist(), found.cxcywh_norm.tolist(), strict=True
        ):
            rows.append((image_id, image_id, class_id, confidence, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return pl.DataFrame(rows, schema=DETECTIONS, orient="row")


TRUTH_OF_ALL = truth_of(PATIENTS)


def oracle(noise, **changes):
    return Oracle(TRUTH_OF_ALL, VINDR, noise=noise, **{"min_confidence": 0.25} | changes)


def test_without_noise_it_says_the_truth():
    said = detections(oracle(0)).sort("image_id", "class_id", "x_min_norm", "y_min_norm")
    known = TRUTH_OF_ALL.sort("image_id", "class_id", "x_min_norm", "y_min_norm")
    assert said["class_id"].to_list() == known["class_id"].to_list()
    assert np.abs(said["x_max_norm"].to_numpy() - known["x_max_norm"].to_numpy()).max() < 1e-9
    assert said["confidence"].unique().to_list() == [0.99]


def test_normal_image_has_nothing_with_certainty_without_noise():
    nothing = oracle(0).predict(Picture("an image that nobody drew on", b""))
    assert len(nothing.class_ids) == 0
    assert nothing.highest_score == 0


def test_rows_of_no_finding_are_no_truth():
    normal = pl.DataFrame([("a1", None, None, None, None, None)], schema=TRUTH, orient="row")
    assert len(Oracle(normal, VINDR, noise=0, min_confidence=0.25).predict(Picture("a1", b"")).class_ids) == 0


def test_answer_follows_from_seed_and_image_alone():
    picture = Picture(TRUTH_OF_ALL["image_id"][0], b"")
    first, again = oracle(1), oracle(1)
    again.predict(Picture("another", b""))
    assert first.predict(picture).confidences.tolist() == again.predict(picture).confidences.tolist()
    assert first.predict(picture).confidences.tolist() != oracle(1, seed=5).predict(picture).confidences.tolist()


@pytest.mark.parametrize("noise", [0.25, 0.5, 1.0])
def test_confidence_is_about_the_share_that_is_right(noise):
    said = detections(oracle(noise))
    right = evaluation.match(said, TRUTH_OF_ALL).with_columns(bin=(pl.col("confidence") * 4).cast(pl.Int32))
    bins = right.group_by("bin").agg(pl.len(), pl.col("confidence").mean(), pl.col("correct").mean())
    for _, count, confidence, share in bins.filter(pl.col("len") > 30).iter_rows():
        assert abs(confidence - share) < 0.15 + 1 / np.sqrt(count)


def test_what_is_above_the_pseudo_label_threshold_is_nearly_always_right():
    sure = evaluation.match(detections(oracle(1)), TRUTH_OF_ALL).filter(pl.col("confidence") > 0.9)
    assert len(sure) > 0.4 * len(TRUTH_OF_ALL)
    assert sure["correct"].mean() > 0.9


def test_more_noise_is_worse():
    scores = [
        evaluation.match(detections(oracle(noise)), TRUTH_OF_ALL)["correct"].sum() / len(TRUTH_OF_ALL)
        for noise in (0, 0.5, 1, 2)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1


def test_doubt_below_the_threshold_counts_against_finding_nothing():
    detector = oracle(1)
    for image_id in IMAGES[:300]:
        answer = detector.predict(Picture(image_id, b""))
        assert (answer.confidences > 0.25).all()
        assert answer.highest_score > 0
        if len(answer.class_ids):
            assert answer.highest_score == answer.confidences[0]
        else:
            assert answer.highest_score <= 0.25


def test_what_is_hardly_likely_is_kept_beside_the_detections():
    detector, without = oracle(1), oracle(0)
    answers = [detector.predict(Picture(image_id, b"")) for image_id in IMAGES]
    low = np.concatenate([answer.low.confidences for answer in answers])
    assert ((low > 0.05) & (low <= 0.25)).all()
    assert 0 < len(low) < sum(len(answer.class_ids) for answer in answers)
    assert all(answer.highest_score >= answer.low.confidences.max(initial=0) for answer in answers)
    assert {answer.kept_from for answer in answers} == {0.05}
    assert not any(len(without.predict(Picture(image_id, b"")).low.class_ids) for image_id in IMAGES)


def test_oracle_of_other_classes_errs_as_much_and_knows_them_all():
    known = [synthetic.patient(index, seed=31, classes=SPINE) for index in range(600)]
    truth = truth_of(known)
    detector = Oracle(truth, SPINE, noise=1, min_confidence=0.25)
    found = [(one.image_id, detector.predict(Picture(one.image_id, b"")).class_ids.tolist()) for one in known]
    assert {class_id for _, ids in found for class_id in ids} == set(range(len(SPINE)))
    assert 0.5 < sum(len(ids) for _, ids in found) / len(truth) < 1.2
    exact = Oracle(truth, SPINE, noise=0, min_confidence=0.25)
    for one in known[:50]:
        assert sorted(exact.predict(Picture(one.image_id, b"")).class_ids.tolist()) == sorted(one.classes.tolist())


def test_answers_of_a_seed_are_those_that_they_were():
    """The digest is of the first release, which knew no classes but these."""
    digest, detector = hashlib.md5(), oracle(1, seed=3)
    for image_id in IMAGES[:300]:
        said = detector.predict(Picture(image_id, b""))
        rounded = [said.confidences.round(6), said.cxcywh_norm.round(6) + 0.0]
        digest.update(said.class_ids.tobytes() + b"".join(one.tobytes() for one in rounded))
    assert digest.hexdigest() == "3fa28c86fa96f41e12be929a3306c416"

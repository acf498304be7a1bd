import hashlib
import threading
import time
from functools import cache

import numpy as np
import pytest

from radloop.detectors.chance import Chance
from radloop.predictions import Picture
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR

PICTURES = [Picture(f"image-{number}", b"") for number in range(3000)]


@cache
def answers_of(classes):
    """To all pictures, for the tests that only look at them."""
    return [Chance(classes).predict(picture) for picture in PICTURES]


def test_answer_follows_from_seed_and_image_alone(classes):
    one, other, seeded = Chance(classes, seed=1), Chance(classes, seed=1), Chance(classes, seed=2)
    first = [one.predict(picture).confidences.tolist() for picture in PICTURES[:50]]
    assert first == [other.predict(picture).confidences.tolist() for picture in reversed(PICTURES[:50])][::-1]
    assert first != [seeded.predict(picture).confidences.tolist() for picture in PICTURES[:50]]


def test_findings_are_distributed_as_in_the_training_data():
    answers = answers_of(VINDR)
    classes = np.concatenate([answer.class_ids for answer in answers])
    share = np.bincount(classes, minlength=14) / len(classes)
    assert share[0] > share[3] > share[7] > share[5] > share[12] > 0  # 7162, 5427, 2483, 1000, 226 rows
    hearts = np.concatenate([answer.cxcywh_norm[answer.class_ids == 3] for answer in answers])
    assert np.abs(np.median(hearts, axis=0) - [0.55, 0.65, 0.43, 0.15]).max() < 0.01


def test_answer_of_a_seed_is_the_one_that_it_was():
    """The digest is of the first release, which knew no classes but these."""
    digest = hashlib.md5()
    for picture in PICTURES[:200]:
        said = Chance(VINDR, seed=7).predict(picture)
        rounded = [said.confidences.round(6), said.cxcywh_norm.round(6) + 0.0]
        digest.update(said.class_ids.tobytes() + b"".join(one.tobytes() for one in rounded))
    assert digest.hexdigest() == "88f432c52e91172bf8069cc5554a1375"


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_every_class_of_any_list_comes_as_often_as_any_other(count):
    detector = Chance(Taxonomy(tuple(f"c{number}" for number in range(count))))
    found = np.concatenate([detector.predict(picture).class_ids for picture in PICTURES])
    counts = np.bincount(found, minlength=count)
    assert len(counts) == count
    assert abs(counts - len(found) / count).max() < 6 * np.sqrt(len(found) / count)


def test_confidences_are_at_least_a_half_and_sometimes_nothing_is_found(classes):
    answers = answers_of(classes)
    nothing = [answer for answer in answers if not len(answer.class_ids)]
    assert 0.2 < len(nothing) / len(answers) < 0.4
    assert all(0.5 <= 1 - answer.highest_score <= 1 for answer in nothing)
    confidences = np.concatenate([answer.confidences for answer in answers])
    assert 0.5 <= confidences.min() < 0.51
    assert 0.99 < confidences.max() <= 1


def test_boxes_lie_in_the_picture(classes):
    boxes = np.concatenate([answer.cxcywh_norm for answer in answers_of(classes)])
    assert (boxes[:, 2:] > 0).all()
    assert (boxes[:, :2] - boxes[:, 2:] / 2).min() > -1e-9
    assert (boxes[:, :2] + boxes[:, 2:] / 2).max() < 1 + 1e-9


def test_some_less_sure_boxes_lie_in_the_picture_too_and_below_what_nothing_found_says(classes):
    answers = answers_of(classes)
    for answer in answers:
        top = min(0.25, answer.highest_score)
        assert ((answer.low.confidences >= 0.05) & (answer.low.confidences <= top)).all()
    assert 1.5 < np.mean([len(answer.low.class_ids) for answer in answers]) < 2.5
    assert {answer.kept_from for answer in answers} == {0.05}
    assert any(len(answer.low.class_ids) and not len(answer.class_ids) for answer in answers)
    boxes = np.concatenate([answer.low.cxcywh_norm for answer in answers])
    assert (boxes[:, 2:] > 0).all()
    assert (boxes[:, :2] - boxes[:, 2:] / 2).min() > -1e-9
    assert (boxes[:, :2] + boxes[:, 2:] / 2).max() < 1 + 1e-9


def test_answer_takes_its_time():
    began = time.monotonic()
    Chance(VINDR, inference_ms=30).predict(PICTURES[0])
    assert time.monotonic() - began >= 0.029


def test_stop_ends_the_waiting():
    stop, answers = threading.Event(), []
    detector = Chance(VINDR, inference_ms=3_600_000, stop=stop)
    caller = threading.Thread(target=lambda: answers.append(detector.predict(PICTURES[0])))
    caller.start()
    stop.set()
    caller.join(60)
    assert answers[0].confidences.tolist() == Chance(VINDR).predict(PICTURES[0]).confidences.tolist()

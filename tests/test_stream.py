"""Feedback and reviews as figures over time: each picture once, the images at work alone, whatever the order."""

import polars as pl
import pytest

from feedback_files import rich
from radloop.feedback import guard, reading, records, reviews, stream
from radloop.feedback.records import Model, Simulated
from radloop.feedback.reviews import Finding, Review
from radloop.measures.sequential import Day
from taxonomies import VINDR

IMAGES = pl.DataFrame(
    [("a", "production", "p1", None, None), ("b", "production", "p1", None, None), ("t", "training", "t", None, None)],
    schema=dict.fromkeys(["image_id", "split", "group", "md5", "phash"], pl.String),
    orient="row",
)
DAY = 86_400.0


def feedback(folder, *given):
    folder.mkdir(exist_ok=True)
    for number, changes in enumerate(given):
        own = {"feedback_id": f"f{number}", "image_md5": f"{number:032x}", "image_phash": None}
        records.write(folder, rich(**own | changes))
    found = reading.read(folder, VINDR)
    return found, guard.judge(found.feedback, IMAGES)


def looked(folder, *given) -> pl.DataFrame:
    found, judged = feedback(folder, *given)
    return stream.looks(judged, found.feedback["split"], IMAGES)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        pytest.param({"split": "production"}, True, id="production"),
        pytest.param({"split": "incoming"}, True, id="incoming"),
        pytest.param({"split": "audit"}, True, id="audit"),
        pytest.param({"split": None, "image_id": "stranger"}, True, id="an image that nobody knows"),
        pytest.param({"split": "production", "image_id": "t"}, True, id="of production then, of training since"),
        pytest.param({"split": "training"}, False, id="training"),
        pytest.param({"split": "test"}, False, id="held out"),
        pytest.param({"split": None, "image_id": "t"}, False, id="training, as the dataset has it"),
    ],
)
def test_only_images_at_work_are_watched(tmp_path, changes, counts):
    assert looked(tmp_path, changes).height == counts


def test_a_picture_counts_once_and_another_picture_of_the_image_again(tmp_path):
    given = [{"image_id": "a", "image_md5": md5 * 32} for md5 in "001"]
    found, judged = feedback(tmp_path, *given)
    seen = stream.looks(judged, found.feedback["split"], IMAGES)
    values = stream.of_feedback(seen, found.detections, VINDR)
    assert values.filter(figure="mean gray value").height == 2


def test_a_persons_images_of_a_day_are_one_unit(tmp_path):
    found, judged = feedback(tmp_path, {"image_id": "a"}, {"image_id": "b"}, {"image_id": "c"})
    values = stream.of_feedback(stream.looks(judged, found.feedback["split"], IMAGES), found.detections, VINDR)
    assert stream.days(values, DAY)["mean gray value"] == ("picture", False, [Day(20779, 2, 240.0)])


def test_each_site_has_its_own_pictures_where_there_are_several(tmp_path):
    sites = [{"image_id": name, "simulated": Simulated(site=name, view="PA", device="D")} for name in ("x", "y")]
    found, judged = feedback(tmp_path, *sites)
    values = stream.of_feedback(stream.looks(judged, found.feedback["split"], IMAGES), found.detections, VINDR)
    assert {"mean gray value, site x", "mean gray value, site y"} <= set(values["figure"])


def test_a_class_that_was_not_seen_is_a_figure_all_the_same(tmp_path):
    found, judged = feedback(tmp_path, {"image_id": "a"})
    values = stream.of_feedback(stream.looks(judged, found.feedback["split"], IMAGES), found.detections, VINDR)
    counted = stream.days(values, DAY)
    assert counted[f"images with {VINDR.name(3)}"][2] == [Day(20779, 1, 1.0)]
    assert counted[f"images with {VINDR.name(5)}"][2] == [Day(20779, 1, 0.0)]
    assert counted["boxes an image"][2] == [Day(20779, 1, 2.0)]


def test_the_order_of_rows_makes_no_difference(tmp_path):
    found, judged = feedback(tmp_path, *({"image_id": name} for name in "abcdefg"))
    values = stream.of_feedback(stream.looks(judged, found.feedback["split"], IMAGES), found.detections, VINDR)
    shuffled = judged.sample(fraction=1, shuffle=True, seed=1)
    told = shuffled.select("feedback_id").join(found.feedback, on="feedback_id", maintain_order="left")["split"]
    again = stream.of_feedback(
        stream.looks(shuffled, told, IMAGES), found.detections.sample(fraction=1, shuffle=True, seed=2), VINDR
    )
    assert again.equals(values)


def test_two_models_of_one_name_are_told_apart(tmp_path):
    seen = looked(tmp_path, {"image_id": "a"}, {"image_id": "b", "model": Model(name="oracle", version="2")})
    assert seen["name"].to_list() == ["oracle-noise-1", "oracle-2"]


def review(image: str, feedback_id: str, found: list[int], **changes) -> Review:
    boxes = {3: (0.5, 0.5, 0.2, 0.4), 0: (0.3, 0.3, 0.1, 0.1), 5: (0.2, 0.7, 0.1, 0.1)}
    own = {
        "feedback_id": feedback_id,
        "image_id": image,
        "reviewer": "reader-1",
        "verdict": "correct" if found else "normal",
        "findings": [Finding(class_id=one, bbox=boxes[one]) for one in found],
        "timestamp": "2026-11-23T10:00:00+00:00",
    }
    return Review(**own | changes)


def test_reviews_tell_what_was_corrected_missed_and_by_whom(tmp_path):
    found, judged = feedback(tmp_path / "feedback", {"image_id": "a"}, {"image_id": "c"}, {"image_id": "d"})
    for one in (
        review("a", "f0", [3, 0], verdict="accept"),
        review("c", "f1", [3, 5]),
        review("c", "f1", [], timestamp="2026-11-24T10:00:00+00:00"),  # of an image that has been reviewed
        review("d", "f2", [], reviewer="reader-2", verdict="reject", findings=None),
    ):
        reviews.write(tmp_path / "reviews", one, VINDR)
    said = reviews.read(tmp_path / "reviews", VINDR)
    usable = stream.usable(said, judged, found.detections)
    seen = stream.looks(judged, found.feedback["split"], IMAGES)
    counted = stream.days(stream.of_reviews(usable, said, seen, found, VINDR), DAY)
    assert counted["corrected"] == ("review", True, [Day(20780, 2, 1.0)])
    assert counted["missed"][2] == [Day(20780, 2, 1.0)]
    assert counted[f"missed {VINDR.name(5)}"][2] == [Day(20780, 1, 1.0)]
    assert counted[f"missed {VINDR.name(3)}"][2] == [Day(20780, 2, 0.0)]
    assert counted["read by reader-1"][2] == [Day(20780, 2, 2.0)]
    assert "read by reader-2" not in counted


@pytest.mark.parametrize("simulated", [False, True])
def test_simulated_reviews_count_where_the_dataset_is_synthetic(tmp_path, simulated):
    found, judged = feedback(tmp_path / "feedback", {"image_id": "a"})
    reviews.write(tmp_path / "reviews", review("a", "f0", [5], simulated=True), VINDR)
    said = reviews.read(tmp_path / "reviews", VINDR)
    assert stream.usable(said, judged, found.detections, simulated=simulated).height == simulated

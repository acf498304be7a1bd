"""Incoming images on the pages: shown and counted like any other, and never normal because nobody has read them."""

import shutil
from pathlib import Path

import pytest

import made_up
from app_pages import opened, said
from radloop.dashboard import filters, loading, samples, selection, soundness
from radloop.dashboard.desk import items
from radloop.dashboard.filters import Filters
from radloop.options import Dashboard, Retrain
from radloop.pipelines import retraining
from test_joining import COUNT, Place

AUDIT, HELD = 3, 4


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Six images that came in: four with feedback and a review, of them one of the audit; and where it lies."""
    place = Place(tmp_path_factory.mktemp("hospital"))
    made_up.films(place.root / "films", COUNT)
    place.build()
    ids = place.come_in(**{str(AUDIT): {"audit": True}, str(HELD): {"held_out": "test"}})
    tested = next(one for one, split in place.splits().items() if split == "test")
    place.read([*ids[:4], tested])
    out = place.out
    return ids, Dashboard(out=out, dataset=place.organized, feedback=out / "feedback", reviews=out / "reviews")


def shown(inputs: Dashboard) -> tuple[loading.Dataset, loading.Feedback, loading.Reviewed]:
    found = loading.dataset(Path(inputs.dataset))
    said = loading.feedback(inputs.feedback_folder, found.taxonomy)
    return found, said, loading.reviews(inputs.reviews_folder, found.taxonomy)


def test_pages_say_how_many_came_in_and_how_far_they_have_got(hospital):
    _, inputs = hospital
    told = (
        "6 came in: 0 in training now; 4 wait (3 reviewed, 3 train in the next round); "
        "1 for the audit, which never train (1 reviewed)"
    )
    assert told in said(opened("overview", inputs))
    assert told in said(opened("retraining", inputs))
    detector = said(opened("detector", inputs))
    assert "oracle noise-1: of 1 image 1 are read, with 1 box: mAP@0.4" in detector
    assert "too few for an interval" in detector
    assert "oracle noise-1, on the 1 image of the test split: " in detector


def test_images_that_nobody_has_read_are_found_by_their_split_and_are_never_normal(hospital):
    ids, inputs = hospital
    found, feedback, _ = shown(inputs)
    assert filters.choices(found, feedback).splits[-2:] == ("incoming", "audit")
    assert set(selection.images(found, feedback, Filters(split="audit"))["image_id"]) == {ids[AUDIT]}
    for asked in (Filters(classes=("No finding",)), Filters(finding="no"), Filters(boxes=0)):
        assert not set(selection.images(found, feedback, asked)["image_id"]) & set(ids)
    assert samples.images(found).filter(image_id=ids[HELD])["split"][0] == "test"
    page = opened("images", inputs, image=ids[AUDIT])
    assert not page.error
    gallery = opened("images", inputs, split="incoming")
    assert not gallery.error
    assert not gallery.warning


def test_desk_shows_the_picture_that_came_in_and_does_not_tell_that_it_is_of_the_audit(hospital):
    ids, inputs = hospital
    found, feedback, _ = shown(inputs)
    item = items.item(inputs, found, feedback, f"f-{ids[AUDIT]}", reader="reader-2", decides=False)
    assert item["held_out"] is None
    assert (item["width"], item["height"]) == (made_up.SIDE_PX, made_up.SIDE_PX)
    assert "wrong" not in item


def test_damaged_unit_is_a_note_and_the_page_stays_up(hospital, tmp_path):
    _, inputs = hospital
    root = tmp_path / "organized"
    shutil.copytree(Path(inputs.dataset), root)
    (root / "incoming" / "incoming.parquet").write_bytes(b"cut")
    page = opened("overview", Dashboard(out=tmp_path, dataset=root))
    assert "is not what its manifest lists" in said(page)
    assert "came in" not in said(page)


def test_next_version_says_how_many_came_in_from_production(hospital, tmp_path):
    _, inputs = hospital
    shutil.copytree(inputs.out, tmp_path / "out")
    place = Place(tmp_path)
    shutil.copytree(inputs.out.parent / "films", tmp_path / "films")
    retraining.retrain(Retrain(out=place.out))
    place.build(add=place.retrain)
    checks = soundness.checks(loading.dataset(place.organized))
    told = " ".join(check.says for check in checks)
    assert "3 of the images of training came in from production since (incoming)" in told
    assert not [check for check in checks if check.verdict == "wrong"]

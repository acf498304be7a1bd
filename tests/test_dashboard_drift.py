"""The page Drift says how many images are in both sets, tests them in pairs, and says where there are too few."""

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import taxonomies
import written_loop
from app_pages import opened, said
from radloop.feedback import records
from radloop.options import Dashboard

WINDOWS = "Feedback of two time windows"


def feedback(folder, images, *, hour, mean, sure=0.6, model=None):
    """One on each of the images, an image a minute."""
    folder.mkdir(exist_ok=True)
    for number, image_id in enumerate(images):
        records.write(
            folder,
            records.Feedback(
                image_id=image_id,
                class_id=number % 2,
                confidence=sure,
                bbox=(0.5, 0.5, 0.2, 0.2),
                timestamp=f"2026-03-01T{hour:02}:{number % 60:02}:{number // 60:02}+00:00",
                picture=records.PictureMeasures(mean=mean + number, std=40.0, sharpness=300.0),
                feedback_id=f"{hour}-{number}",
                model=model and records.Model(name=model, version="1"),
            ),
        )


def windows(out) -> AppTest:
    test = opened("drift", Dashboard(out=out, feedback=out / "feedback"))
    test.segmented_control[0].set_value(WINDOWS).run()
    assert [error.message for error in test.exception] == []
    return test


def plain(test: AppTest) -> str:
    return said(test).replace("*", "")


def axes(test: AppTest) -> list[object]:
    return [json.loads(chart.proto.spec)["layout"]["xaxis"].get("range") for chart in test.get("plotly_chart")]


def named(count, first=0):
    return [f"image{number:03}" for number in range(first, first + count)]


def test_images_of_both_windows_are_counted_and_tested_in_pairs(tmp_path):
    feedback(tmp_path / "feedback", named(60), hour=9, mean=100.0)
    feedback(tmp_path / "feedback", named(60), hour=11, mean=103.0)
    test = windows(tmp_path)
    text = plain(test)
    assert (
        "60 images in first window and 60 images in second window; all images of second window are in both: they are "
        "compared in pairs, the others not at all." in text
    )
    assert "picture: mean gray value: differs" in text
    assert axes(test)[0] == [-1.05, 1.05]
    table = test.dataframe[0].value
    assert table["paired"].all()
    assert np.allclose(table.set_index("summary")["shift"]["picture_mean"], 1.0)


def test_another_detector_in_the_second_window_is_no_drift(tmp_path):
    feedback(tmp_path / "feedback", named(60), hour=9, mean=100.0, sure=0.6, model="old")
    feedback(tmp_path / "feedback", named(60), hour=11, mean=100.0, sure=0.95, model="new")
    test = windows(tmp_path)
    text = plain(test)
    assert test.selectbox[0].options == ["new 1", "old 1"]
    assert "30 images in first window and 30 images in second window" in text
    assert "confidence: differs" not in text
    text = plain(test.selectbox[0].set_value(1).run())
    assert "Feedback from 2026-03-01 09:00:00 to 2026-03-01 09:59:00 UTC." in text
    assert "30 images in first window and 30 images in second window" in text


def test_images_of_one_window_alone_are_tested_beside_the_pairs(tmp_path):
    feedback(tmp_path / "feedback", named(70), hour=9, mean=100.0)
    feedback(tmp_path / "feedback", named(70, first=40), hour=11, mean=100.0)
    test = windows(tmp_path)
    assert "30 of them in both: those are compared in pairs, the others as independent sets." in plain(test)
    table = test.dataframe[0].value.set_index(["summary", "paired"])
    assert table["first_images"]["picture_mean"].to_dict() == {True: 30, False: 40}
    options = test.selectbox[0].options
    assert "picture: mean gray value (images of both)" in options
    assert "picture: mean gray value (images of one alone)" in options
    for option in ("picture: mean gray value (images of both)", "picture: mean gray value (images of one alone)"):
        test.selectbox[0].select_index(options.index(option)).run()
        assert [error.message for error in test.exception] == []
        assert option.rpartition(" (")[2].rstrip(")") in said(test)


def test_windows_hold_the_first_and_the_last_feedback(tmp_path):
    feedback(tmp_path / "feedback", named(50), hour=9, mean=100.0)
    test = windows(tmp_path)
    assert "25 images in first window and 25 images in second window" in plain(test)
    for slider in test.slider:
        assert all(value.microsecond == 0 for value in slider.value)  # the browser would round them, and lose feedback


@pytest.mark.parametrize("images", [1, 2])
def test_two_images_of_a_window_cannot_tell(images, tmp_path):
    feedback(tmp_path / "feedback", named(images), hour=9, mean=100.0)
    feedback(tmp_path / "feedback", named(images), hour=11, mean=100.0)
    test = windows(tmp_path)
    count = f"{images} image{'s' * (images > 1)}"
    assert f"Cannot tell: {count} in first window and {count} in second window answer none" in plain(test)
    assert "No difference found" not in said(test)
    assert not test.success


def test_answers_that_none_changed_are_said_not_to_have(tmp_path):
    feedback(tmp_path / "feedback", named(60), hour=9, mean=100.0)
    feedback(tmp_path / "feedback", named(60), hour=11, mean=100.0)
    test = windows(tmp_path)
    assert "On no image of both did an answer change. That is no proof" in plain(test)
    shifts = json.loads(test.get("plotly_chart")[0].proto.spec)["layout"]["xaxis"]
    assert (shifts["range"], shifts["dtick"]) == ([-1.05, 1.05], 0.25)  # where all points are at 0, too


def test_what_is_not_found_is_no_proof_and_says_what_would_be_missed(tmp_path):
    rng = np.random.default_rng(1)
    order = [named(80)[number] for number in rng.permutation(80)]
    feedback(tmp_path / "feedback", order[:40], hour=9, mean=100.0)
    feedback(tmp_path / "feedback", order[40:], hour=11, mean=100.0)
    test = windows(tmp_path)
    assert "40 images in first window and 40 images in second window, none in both." in plain(test)
    assert "No difference found in" in said(test)
    assert "On no image" not in said(test)
    assert "That is no proof of there being none: a shift of less than 0." in plain(test)
    assert not test.success


def test_splits_that_were_made_alike_are_said_to_be(tmp_path):
    test = opened("drift", written_loop.run(tmp_path, taxonomies.SPINE))
    assert "The splits were made alike in every class" in said(test)
    assert not test.success

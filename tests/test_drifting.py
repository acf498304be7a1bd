"""What changes about the pictures in the middle of a run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import UsageError
from radloop.simulation import drifting
from radloop.simulation.drifting import Drift

GRAY = np.linspace(0, 255, 64 * 48).reshape(64, 48).astype(np.uint8)


def test_several_drifts_may_be_given():
    assert drifting.parse("brightness:0.2@4, contrast:-0.5@5,mix:1@2") == (
        Drift("brightness", 0.2, 4),
        Drift("contrast", -0.5, 5),
        Drift("mix", 1.0, 2),
    )
    assert drifting.parse("") == ()


def test_drift_reads_as_it_was_written():
    assert [str(drift) for drift in drifting.parse("brightness:0.2@4,rotation:-5@2")] == [
        "brightness:0.2@4",
        "rotation:-5@2",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("brightness", "brightness:0.2", "brightness@4", "sharpness:1@1", "brightness:2@1", "mix:1.5@1", "mix:-0.1@1"),
        *(
            "rotation:90@1",
            "contrast:-1@1",
            "brightness:nan@1",
            "brightness:1e-1@1",
            ",",
            "brightness:0.2@4,",
            "x" * 500,
        ),
    ],
)
def test_other_drifts_are_wrong_usage(text):
    with pytest.raises(UsageError, match="--drift"):
        drifting.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_drift_or_wrong_usage(text):
    try:
        drifting.parse(text)
    except UsageError as error:
        assert "--drift" in str(error)  # noqa: PT017


def test_drift_holds_from_its_stage_on():
    drifts = drifting.parse("brightness:0.2@4,rotation:5@6,mix:0.8@5,mix:0.1@7")
    assert drifting.of_pixels(drifts, 3) == ()
    assert [drift.kind for drift in drifting.of_pixels(drifts, 4)] == ["brightness"]
    assert [drift.kind for drift in drifting.of_pixels(drifts, 7)] == ["brightness", "rotation"]
    assert [drifting.share_with_finding(drifts, stage) for stage in (4, 5, 6, 7)] == [None, 0.8, 0.8, 0.1]


def test_brightness_moves_the_mean_and_contrast_the_spread():
    middle = (GRAY // 4 + 96).astype(np.uint8)
    brighter = drifting.apply(middle, [Drift("brightness", 0.1, 1)])
    assert brighter.mean() == pytest.approx(middle.mean() + 25.5, abs=0.6)
    harder = drifting.apply(middle, [Drift("contrast", 0.5, 1)])
    assert harder.mean() == pytest.approx(middle.mean(), abs=0.6)
    assert harder.std() == pytest.approx(1.5 * middle.std(), rel=0.02)


def test_rotation_turns_the_picture_and_keeps_its_middle():
    picture = np.zeros((51, 51), np.uint8)
    picture[25, 25] = picture[25, 40] = 255
    turned = drifting.apply(picture, [Drift("rotation", 45.0, 1)])
    assert turned[25, 25] > 200
    assert turned[25, 40] == 0
    assert turned[13:17, 34:38].max() > 60  # 15 px at 45 degrees up


@given(
    st.lists(
        st.one_of(
            st.builds(Drift, st.just("brightness"), st.floats(-1, 1), st.just(1)),
            st.builds(Drift, st.just("contrast"), st.floats(-0.95, 5), st.just(1)),
            st.builds(Drift, st.just("rotation"), st.floats(-45, 45), st.just(1)),
        ),
        max_size=3,
    )
)
def test_a_drifted_picture_stays_a_picture_of_its_size(drifts):
    changed = drifting.apply(GRAY, drifts)
    assert (changed.shape, changed.dtype) == (GRAY.shape, GRAY.dtype)

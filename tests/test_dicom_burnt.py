"""Text burnt into pixels is looked for; docs/privacy.md has what the benchmark measured, of which these are cases."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from planted_text import CORNERS, TEXTS, fonts, plant, radiograph
from radloop.dicom import burnt


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("where", CORNERS, ids=" ".join)
def test_a_name_a_number_or_a_date_in_a_corner_is_found(text, where):
    assert burnt.find(plant(radiograph(0), text, where=where, contrast=60))


@pytest.mark.parametrize("font", fonts())
@pytest.mark.parametrize("px", [12, 20, 48, 96])
def test_text_of_every_font_and_size_is_found(font, px):
    assert burnt.find(plant(radiograph(0), "DOE^JOHN", font=font, px=px))


@pytest.mark.parametrize("angle", [10, 90, 180, 270])
def test_turned_text_is_found(angle):
    assert burnt.find(plant(radiograph(2), TEXTS[3], angle=angle))


def test_black_text_on_a_bright_ground_is_found():
    assert burnt.find(plant(np.full((512, 512), 200, np.uint8), TEXTS[0], contrast="black"))


def test_text_is_found_on_both_sides_of_a_picture_of_any_size():
    small = radiograph(0)[:300, :200]
    large = np.kron(radiograph(0), np.ones((3, 2), np.uint8))
    assert burnt.find(plant(small, TEXTS[0]))
    assert burnt.find(plant(large, TEXTS[0], px=60, where=("bottom", "right")))


@pytest.mark.parametrize("letter", ["L", "R", "L AB"])
def test_the_letter_of_a_side_and_initials_are_no_text(letter):
    assert not burnt.find(plant(radiograph(3), letter, px=40))


def test_radiographs_without_text_are_let_through():
    assert [index for index in range(6) if burnt.find(radiograph(index))] == []


def test_the_sentence_says_where_and_never_what():
    text = TEXTS[1]
    why = burnt.why(plant(np.zeros((400, 400), np.uint8), text, px=16))
    assert why is not None
    assert re.fullmatch(r"1\d marks in a row look like text, at columns 1\d to 1\d\d and rows 1\d to \d\d.*", why)
    assert "Erika" not in why
    assert burnt.why(np.zeros((400, 400), np.uint8)) is None


@settings(max_examples=20)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_any_pixels_are_looked_at_and_boxes_lie_within(gray):
    for row in burnt.find(gray):
        left, top, right, bottom = row.box
        assert 0 <= left < right <= gray.shape[1] + 1
        assert 0 <= top < bottom <= gray.shape[0] + 1


def test_what_is_narrower_than_a_window_is_taken_away():
    gray = radiograph(0)[:200, :150]
    assert (burnt._opened(gray, 9) == ndimage.grey_opening(gray, (9, 9), mode="nearest")).all()

"""What is made of readings, whichever tool exported them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle
from radloop.sources.formats import cvat, label_studio, readings
from radloop.sources.formats.readings import Drawn, Export, Reading, Refused

BOX = Drawn("Nodule", (1.0, 2.0, 3.0, 4.0), "x: 1")


@given(st.one_of(st.none(), st.integers(), st.text(), st.emails()))
def test_a_reader_id_has_no_sign_of_an_address_and_stays_the_same(person):
    reader = readings.pseudonym(person)
    assert re.fullmatch(r"[A-Za-z0-9-]{1,50}", reader)
    assert readings.pseudonym(person) == readings.pseudonym(reader) == reader


def test_what_a_refused_reading_held_is_there_to_be_counted():
    lost = Refused("box-rotated", "why", "x: 2", line=9)
    void = Reading(place="x", file="a.png", reader="R1", verdict="void", boxes=[BOX], refused=[lost])
    labels = readings.to_labels(Export([void], 0, "original"))
    assert labels.rows["image_id"].to_list() == ["a"]
    assert labels.rejected.select("line", "place", "code", "image_id", "rad_id").rows() == [
        (9, "x: 2", "box-rotated", "a", "R1")
    ]


@pytest.mark.parametrize("name", ["Not readable", "not  READABLE"])
def test_a_reader_rejects_a_picture_in_any_spelling(name):
    assert readings.says_unreadable(name)


def test_an_export_that_nobody_has_worked_on_is_no_source():
    with pytest.raises(AnnotationError, match="nobody has submitted anything on any of 7 images"):
        readings.to_labels(Export([], 7, "original"))


def test_a_folder_that_holds_no_export_is_said_to_hold_none(tmp_path):
    (tmp_path / "a.png").touch()
    for reader, called in ((label_studio, "a JSON export of Label Studio"), (cvat, "an XML file of CVAT")):
        with pytest.raises(AnnotationError, match=f"does not hold {called}"):
            reader.read(Bundle(tmp_path))

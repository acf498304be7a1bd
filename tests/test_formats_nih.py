"""NIH's table of boxes."""

import pytest

from radloop.sources import formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import nih

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


@pytest.fixture
def read(tmp_path):
    def make(text):
        (tmp_path / "BBox_List_2017.csv").write_text(text)
        assert formats.detect(Bundle(tmp_path)) == "nih"
        return nih.read(Bundle(tmp_path))

    return make


@pytest.mark.parametrize("end", ["", ",,,"], ids=["short lines", "lines as long as the header"])
def test_a_row_is_a_box_with_its_patient(read, end):
    labels = read(f"{HEADER}00013118_008.png,Atelectasis,225.5,547.25,86.5,79.5{end}\nscan.png,Mass,1,2,3,4{end}\n")
    columns = ("line", "image_id", "patient_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    assert labels.rows.select(columns).rows() == [
        (2, "00013118_008", "00013118", "Atelectasis", "225.5", "547.25", "312.0", "626.75"),
        (3, "scan", None, "Mass", "1.0", "2.0", "4.0", "6.0"),
    ]
    assert labels.boxes == "scaled"
    assert labels.classes is None
    assert labels.notes == ("the table lists boxes alone: images without one are unlabelled, none is normal",)


def test_a_row_with_more_in_it_than_a_box_is_refused(read):
    rejected = read(f"{HEADER}1_0.png,Mass,1,2,3,4\n1_1.png,Mass,1,2,3,4,5\n").rejected
    assert rejected.select("line", "code", "image_id", "class_name").rows() == [
        (3, "cells-miscounted", "1_1", "Mass")
    ]  # fmt: skip

"""Files become pictures the same way in this process and in others, and what is refused there keeps its code."""

import pytest

from dicom_files import dicom, gray
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import DicomError
from radloop.pipelines.studies import picturing
from radloop.pipelines.studies.picturing import Maker
from radloop.recipe import Recipe

SMALL = Recipe(size_px=64)


@pytest.mark.slow
def test_other_processes_make_the_same_pictures_and_refusals(tmp_path):
    Pseudonyms.open(tmp_path)
    files = [dicom(gray(80, 64, seed=number), number=number) for number in (1, 2, 3)]
    here = [picturing.make(tmp_path, SMALL, False, data) for data in files]
    with Maker(tmp_path, SMALL, frontal_only=False, jobs=2) as make:
        assert [make(data) for data in files] == here
        with pytest.raises(DicomError) as refused:
            make(dicom(gray(8, 8), NumberOfFrames=2))
    assert refused.value.code == "multi-frame"


def test_a_picture_with_text_in_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr("radloop.dicom.burnt.why", lambda values: "it looks like text")
    with Maker(tmp_path, SMALL, frontal_only=False, jobs=1) as make, pytest.raises(DicomError) as held:
        make(dicom(gray(80, 64)))
    assert held.value.code == "held"

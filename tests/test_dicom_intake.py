"""A DICOM file becomes a picture and a pseudonym."""

import numpy as np
import pytest

from dicom_files import dicom
from radloop import pixels
from radloop.dicom import intake
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import DicomError
from radloop.recipe import Recipe

ORIGINAL = Recipe("minmax", None)


VALUES = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 100


def radiograph(**tags):
    return dicom(VALUES, SOPInstanceUID="1.2.3.4", PatientID="Miller-7", **tags)


def test_a_file_becomes_gray_values_from_its_smallest_to_its_largest(tmp_path):
    taken = intake.take(radiograph(), ORIGINAL, Pseudonyms.open(tmp_path))
    assert (pixels.decode(taken.png) == (VALUES / VALUES.max() * 255).astype(np.uint8)).all()
    assert (taken.width, taken.height) == (30, 20)
    assert taken.recipe == "minmax@1,size=original"


def test_monochrome1_is_inverted(tmp_path):
    pseudonyms = Pseudonyms.open(tmp_path)
    plain = pixels.decode(intake.take(radiograph(), ORIGINAL, pseudonyms).png)
    inverted = intake.take(radiograph(PhotometricInterpretation="MONOCHROME1"), ORIGINAL, pseudonyms)
    assert np.abs(pixels.decode(inverted.png).astype(int) - (255 - plain)).max() <= 1


@pytest.mark.parametrize(
    ("tags", "code"),
    [({"NumberOfFrames": 2}, "multi-frame"), ({"BurnedInAnnotation": "YES"}, "burnt-in")],
    ids=["several frames", "text in the pixels"],
)
def test_what_cannot_become_a_picture_is_refused_with_a_code(tmp_path, tags, code):
    with pytest.raises(DicomError) as refused:
        intake.take(radiograph(**tags), ORIGINAL, Pseudonyms.open(tmp_path))
    assert refused.value.code == code


def test_pseudonyms_are_keyed_and_lead_back_only_by_the_private_table(tmp_path):
    here, elsewhere = Pseudonyms.open(tmp_path / "here"), Pseudonyms.open(tmp_path / "elsewhere")
    taken = intake.take(radiograph(), ORIGINAL, here)
    assert taken.image_id == Pseudonyms.open(tmp_path / "here").image_id("1.2.3.4")
    assert taken.image_id != elsewhere.image_id("1.2.3.4")
    assert taken.patient != elsewhere.patient("Miller-7")
    assert Pseudonyms.open(tmp_path / "here").back(taken.image_id).patient_id == "Miller-7"
    assert here.back("unknown") is None

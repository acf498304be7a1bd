"""A DICOM file becomes a picture and a pseudonym."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from radloop import pixels
from radloop.dicom import intake
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import DicomError
from radloop.recipe import Recipe

ORIGINAL = Recipe("minmax", None)


def dicom(values, **tags):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = "1.2.3", "1.2.3.5", "Miller-7"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelData = values.astype("<u2").tobytes()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


VALUES = np.arange(20 * 30).reshape(20, 30) * 100


def test_a_file_becomes_gray_values_from_its_smallest_to_its_largest(tmp_path):
    taken = intake.take(dicom(VALUES), ORIGINAL, Pseudonyms.open(tmp_path))
    assert (pixels.decode(taken.png) == (VALUES / VALUES.max() * 255).astype(np.uint8)).all()
    assert (taken.width, taken.height) == (30, 20)
    assert taken.recipe == "minmax@1,size=original"


def test_monochrome1_is_inverted(tmp_path):
    pseudonyms = Pseudonyms.open(tmp_path)
    plain = pixels.decode(intake.take(dicom(VALUES), ORIGINAL, pseudonyms).png)
    inverted = intake.take(dicom(VALUES, PhotometricInterpretation="MONOCHROME1"), ORIGINAL, pseudonyms)
    assert np.abs(pixels.decode(inverted.png).astype(int) - (255 - plain)).max() <= 1


@pytest.mark.parametrize(
    ("tags", "code"),
    [({"NumberOfFrames": 2}, "multi-frame"), ({"BurnedInAnnotation": "YES"}, "burnt-in")],
    ids=["several frames", "text in the pixels"],
)
def test_what_cannot_become_a_picture_is_refused_with_a_code(tmp_path, tags, code):
    with pytest.raises(DicomError) as refused:
        intake.take(dicom(VALUES, **tags), ORIGINAL, Pseudonyms.open(tmp_path))
    assert refused.value.code == code


def test_pseudonyms_are_keyed_and_lead_back_only_by_the_private_table(tmp_path):
    here, elsewhere = Pseudonyms.open(tmp_path / "here"), Pseudonyms.open(tmp_path / "elsewhere")
    taken = intake.take(dicom(VALUES), ORIGINAL, here)
    assert taken.image_id == Pseudonyms.open(tmp_path / "here").image_id("1.2.3.4")
    assert taken.image_id != elsewhere.image_id("1.2.3.4")
    assert taken.patient != elsewhere.patient("Miller-7")
    assert Pseudonyms.open(tmp_path / "here").back(taken.image_id).patient_id == "Miller-7"
    assert here.back("unknown") is None

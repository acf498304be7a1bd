"""Which column of a table is which."""

from pathlib import Path

import pytest

from radloop.errors import AnnotationError
from radloop.sources import columns
from radloop.tables import ANNOTATION_COLUMNS

PATH = Path("train.csv")


def find(*more):
    return columns.find(PATH, [*ANNOTATION_COLUMNS, *more])


@pytest.mark.parametrize(
    "name",
    [
        "patient_id", "PatientID", "patientId", "Patient ID", "patient", "PATIENT", "subject_id", "Subject",
        "patient no", "Patient Number", "anonymized_patient_id", "MRN", "person_id", "PID", "ParticipantID",
    ],
)  # fmt: skip
def test_patients_have_many_names_and_which_is_used_is_said(name):
    found = find(name)
    assert found.positions["patient_id"] == len(ANNOTATION_COLUMNS)
    assert found.notes == (f"images of one patient share a split: the column {name!r} tells whose",)
    assert not found.harmless


@pytest.mark.parametrize("name", ["StudyInstanceUID", "study_id", "Study UID", "study", "exam_id", "AccessionNumber"])
def test_a_study_is_of_one_patient(name):
    found = find(name)
    assert found.positions["study_id"] == len(ANNOTATION_COLUMNS)
    assert repr(name) in found.notes[0]


def test_a_patient_and_a_study_are_both_used():
    assert find("subject_id", "study_id").notes == (
        "images of one patient share a split: the column 'subject_id' and 'study_id' tells whose",
    )


@pytest.mark.parametrize("name", ["Patient Age", "patient_sex", "PatientPosition", "StudyDate", "StudyDescription"])
def test_what_is_said_of_a_patient_is_no_patient(name):
    assert "patient_id" not in find(name).positions
    assert find(name).notes == ()


@pytest.mark.parametrize("name", ["PatientName", "my patients", "subject_group"])
def test_a_column_that_looks_like_patients_is_named_where_it_is_not_used(name):
    assert find(name).notes[0].startswith(f"the column {name!r} is not used")


@pytest.mark.parametrize("names", [("patient_id", "PatientID"), ("study_id", "Study No"), ("split", "Split")])
def test_two_columns_that_may_be_one_stop(names):
    with pytest.raises(AnnotationError, match=f"several columns that may be .*: '{names[0]}', '{names[1]}'"):
        find(*names)


@pytest.mark.parametrize(
    ("names", "used", "unused"),
    [
        (("patient", "PatientID"), "'PatientID'", "'patient'"),
        (("MRN", "subject_id", "Patient ID"), "'Patient ID'", "'MRN', 'subject_id'"),
    ],
)
def test_of_several_forms_the_plainest_is_used_and_the_others_are_named(names, used, unused):
    told, left = find(*names).notes
    assert used in told
    assert left.startswith(f"the column {unused} is not used")


def test_a_studys_uid_goes_before_its_other_numbers():
    names = ("StudyID", "AccessionNumber", "StudyInstanceUID")
    assert find(*names).positions["study_id"] == len(ANNOTATION_COLUMNS) + 2


@pytest.mark.parametrize("name", ["split", "Split", "SPLIT "])
def test_splits_are_found_in_any_case(name):
    assert find(name).positions["split"] == len(ANNOTATION_COLUMNS)
    assert find("split").harmless


def test_a_row_in_the_place_of_names_is_not_repeated():
    with pytest.raises(AnnotationError, match="its first line is not one of column names") as stopped:
        columns.find(PATH, ["a1", "Doe^John", "0", "R1"])
    assert "Doe" not in str(stopped.value)

"""What radloop writes into a study: a structured report that the tools of others read."""

import io
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from dicom_files import uid_of
from pacs_tools import tool
from radloop.dicom import content, report
from radloop.dicom.report import Device, Person
from structured_reports import AT, CODES, box, image, keyed, made

MODEL = Device("yolo 562edb9a", "vinbigdata@1,size=1024,ratio=stretched")
OBSERVED = (
    (1, [box(0, 10.25, 20, 30, 40.5, certainty=0.9312), box(12, 1, 2, 3, 4, certainty=0.3)]),
    (2, {"certainty": 0.8}),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.dcm"
    path.write_bytes(made(MODEL, *OBSERVED, remark="not for clinical use"))
    return path


def test_dciodvfy_finds_no_error(whole):
    said = subprocess.run([tool("dciodvfy"), "-new", str(whole)], capture_output=True, text=True, check=False).stderr

    assert "ComprehensiveSR" in said
    assert "Error" not in said


def test_dsrdump_shows_boxes_classes_and_certainty(whole):
    shown = subprocess.run([tool("dsrdump"), "+Pl", str(whole)], capture_output=True, text=True, check=True)

    assert "E: " not in shown.stderr
    assert '"Pneumothorax"' in shown.stdout
    assert "(POLYLINE,10.25/20,30/20,30/40.5,10.25/40.5,10.25/20)" in shown.stdout
    assert '="93.12" (%,UCUM,"Percent")' in shown.stdout
    assert '"Clinical finding absent"' in shown.stdout


def test_highdicom_opens_it_and_finds_the_regions(whole):
    import highdicom

    opened = highdicom.sr.srread(whole)
    regions = [group.roi for group in opened.content.get_planar_roi_measurement_groups()]

    assert [region.graphic_type.value for region in regions] == ["POLYLINE", "POLYLINE"]
    np.testing.assert_allclose(regions[0].value, [(10.25, 20), (30, 20), (30, 40.5), (10.25, 40.5), (10.25, 20)])
    assert len(opened.content.get_image_measurement_groups()) == 1


def test_the_same_study_and_model_give_the_same_bytes_and_another_model_other_uids():
    data = made(MODEL, *OBSERVED)
    other = made(replace(MODEL, model="yolo 9"), *OBSERVED)

    assert data == made(MODEL, *OBSERVED)
    one, two = (pydicom.dcmread(io.BytesIO(each)) for each in (data, other))
    assert one.SOPInstanceUID == report.sop_uid(uid_of(1, 3), MODEL, 1, keyed)
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    assert one.StudyInstanceUID == two.StudyInstanceUID == uid_of(1, 3)
    assert all(pydicom.uid.UID(each).is_valid for each in (one.SOPInstanceUID, one.SeriesInstanceUID))


def test_a_later_report_of_the_study_stands_beside_the_first_in_its_series():
    first, second = (pydicom.dcmread(io.BytesIO(made(MODEL, *OBSERVED, number=number))) for number in (1, 2))

    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_nobody_is_named_but_where_the_study_is_filed():
    tags = {
        "PatientName": "Müller^Änne",
        "PatientID": "ID-4711",
        "OperatorsName": "Operator^Olga",
        "InstitutionName": "Secret Clinic",
        "StudyDescription": "Mrs Müller",
        "SpecificCharacterSet": "ISO_IR 100",
    }
    data = made(MODEL, (1, [box(0, 1, 2, 3, 4)]), images={1: image(1, **tags)})
    dataset = pydicom.dcmread(io.BytesIO(data))

    assert str(dataset.PatientName) == "Müller^Änne"
    assert dataset.PatientID == "ID-4711"
    for keyword in ("PatientName", "PatientID"):
        del dataset[keyword]
    text = str(dataset)
    assert not any(secret in text for secret in ("ller", "4711", "Olga", "Secret"))


def test_the_remark_stands_in_report_and_series_or_nowhere():
    said, plain = (made(MODEL, *OBSERVED, remark=remark) for remark in ("not for clinical use", ""))

    assert pydicom.dcmread(io.BytesIO(said)).SeriesDescription == "AI findings (not for clinical use)"
    assert b"Not for clinical use." in said
    assert MODEL.recipe.encode() in said
    assert b"clinical use" not in plain
    long = pydicom.dcmread(io.BytesIO(made(MODEL, *OBSERVED, remark="no " * 40)))
    assert long.SeriesDescription == "AI findings"


def test_an_image_without_tags_of_its_patient_can_be_reported_on():
    bare = image(1, PatientName=None, StudyDate=None, StudyTime=None)
    dataset = pydicom.dcmread(io.BytesIO(made(MODEL, (1, {}), images={1: bare})))

    assert dataset.PatientName == ""
    assert dataset.StudyDate == ""


def test_its_time_is_that_of_the_findings_in_utc():
    dataset = pydicom.dcmread(io.BytesIO(made(MODEL, *OBSERVED)))

    assert (dataset.ContentDate, dataset.ContentTime) == (f"{AT:%Y%m%d}", "123015")
    assert dataset.TimezoneOffsetFromUTC == "+0000"


def test_a_person_is_an_observer_by_name():
    dataset = pydicom.dcmread(io.BytesIO(made(Person("Reader^One"), *OBSERVED)))

    named = [item for item in dataset.ContentSequence if item.ValueType == "PNAME"]
    assert [str(item.PersonName) for item in named] == ["Reader^One"]
    assert content.NOTHING.key not in {code.key for code in CODES}

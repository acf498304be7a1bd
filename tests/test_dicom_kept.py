"""Only the tags of the allow-list are ever looked at."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import datadict
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_files import dicom, gray, with_file
from radloop.dicom import kept, radiograph

GRAY = gray()


def named(dataset):
    """Every keyword, of the items of sequences too; the tag where there is none."""
    for element in dataset:
        yield element.keyword or str(element.tag)
        for item in element.value if element.VR == "SQ" else ():
            yield from named(item)


def with_all_kinds_of_tags(dataset):
    dataset.PatientName, dataset.PatientBirthDate, dataset.OtherPatientIDs = "Doe^John", "19710423", "4711"
    block = dataset.private_block(0x0011, "Doe^John", create=True)
    block.add_new(1, "LO", "Doe^John")
    dataset.RequestAttributesSequence = [Dataset()]
    dataset.RequestAttributesSequence[0].RequestedProcedureDescription = "for Doe^John"
    table = Dataset()
    table.LUTDescriptor, table.LUTExplanation = [4096, 0, 16], "Doe^John"
    table.LUTData = np.arange(4096, dtype="<u2").tobytes()
    table["LUTData"].VR = "OW"
    table.ReferencedImageSequence = [Dataset()]
    table.ReferencedImageSequence[0].PatientName = "Doe^John"
    dataset.VOILUTSequence = [table]
    dataset.add_new(0x00100021, "LO", "ward")
    dataset.add_new(0x60003000, "OW", b"Doe^John")
    dataset.add_new(0x60004000, "LT", "Doe^John")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def test_what_is_not_on_the_list_is_gone_also_within_sequences(syntax):
    found = radiograph.read(with_file(dicom(GRAY, syntax=syntax), with_all_kinds_of_tags))
    there = set(named(found.dataset))
    assert there <= kept.TAGS.keys()
    assert {"VOILUTSequence", "LUTDescriptor", "LUTData", "PatientID", "Rows"} <= there
    assert "LUTExplanation" not in there
    assert (found.issuer, found.patient_id) == ("ward", "P00001")


def test_every_tag_of_the_list_is_one_of_the_standard():
    assert [keyword for keyword in kept.TAGS if datadict.tag_for_keyword(keyword) is None] == []
    assert "PatientName" not in kept.TAGS


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [({"PixelSpacing": [481.516, 0.2]}, None), ({"PixelSpacing": ["0.19710423", "0.139"]}, (0.1971, 0.139))],
    ids=["no length of a pixel", "more digits than a length has"],
)
def test_a_number_that_may_be_somebodys_is_no_spacing(tags, spacing):
    assert radiograph.read(dicom(GRAY, **tags)).spacing_mm == spacing


def test_the_page_on_privacy_has_the_list_as_a_table():
    rows = {}
    for keyword, one in kept.TAGS.items():
        rows.setdefault((one.becomes, one.why), []).append(f"`{keyword}`")
    table = [f"| {', '.join(tags)} | {becomes} | {why} |" for (becomes, why), tags in rows.items()]
    text = (Path(__file__).parent.parent / "docs" / "privacy.md").read_text(encoding="utf-8")
    assert text.split("| tag | leaves as | why it is read |\n|---|---|---|\n")[1].split("\n\n")[0].splitlines() == table

"""A file's bytes are a radiograph, or refused with a code and a sentence that repeats nothing of the file."""

import struct
import warnings
import zlib
from datetime import date

import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from dicom_files import dicom, gray, uid_of, with_file
from radloop import pixels
from radloop.dicom import gray as making
from radloop.dicom import radiograph
from radloop.errors import DicomError
from radloop.recipe import Recipe

GRAY = gray()
HEAD = 132  # bytes before the first element


def refused(data: bytes, **wishes) -> str:
    with pytest.raises(DicomError) as told:
        radiograph.read(data, **wishes)
    assert "Miller" not in str(told.value)
    return told.value.code


def test_a_radiograph_says_what_is_known_of_it():
    data = dicom(GRAY, number=7, IssuerOfPatientID="CLINIC", InstitutionName="North", ImagerPixelSpacing=[0.2, 0.3])
    found = radiograph.read(data)

    assert (found.rows, found.columns) == GRAY.shape
    assert (found.sop_instance_uid, found.series_uid, found.study_uid) == (uid_of(7, 1), uid_of(7, 2), uid_of(7, 3))
    assert (found.patient_id, found.issuer, found.site) == ("P00007", "CLINIC", "North")
    assert (found.view, found.modality, found.study_date) == ("PA", "DX", date(2026, 1, 5))
    assert found.spacing_mm == (0.15, 0.15)
    assert "PixelData" not in found.dataset


def test_spacing_is_that_of_the_detector_where_no_other_is_known():
    assert radiograph.read(dicom(GRAY, PixelSpacing=None, ImagerPixelSpacing=[0.2, 0.3])).spacing_mm == (0.2, 0.3)
    assert radiograph.read(dicom(GRAY, PixelSpacing=None)).spacing_mm is None
    assert radiograph.read(dicom(GRAY, PixelSpacing=[0, 0.15])).spacing_mm is None


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"NumberOfFrames": 2}, "multi-frame"),
        ({"NumberOfFrames": 0}, "multi-frame"),
        ({"BurnedInAnnotation": "YES"}, "burnt-in"),
        ({"SOPInstanceUID": None}, "no-uid"),
        ({"Rows": None}, "bad-header"),
        ({"Rows": 0}, "bad-header"),
        ({"Rows": GRAY.shape[0] + 1}, "short-pixels"),
        ({"Columns": GRAY.shape[1] - 1}, "wrong-length"),
        ({"Rows": 20_000, "Columns": 20_000}, "too-large"),
        ({"BitsAllocated": 32}, "bits"),
        ({"BitsStored": 17}, "bits"),
        ({"HighBit": 3}, "bits"),
        ({"SamplesPerPixel": 2}, "photometric"),
        ({"PhotometricInterpretation": "MILLER"}, "photometric"),
        ({"PhotometricInterpretation": None}, "photometric"),
        ({"PhotometricInterpretation": "RGB"}, "photometric"),
    ],
    ids=str,
)
def test_a_header_that_leads_to_no_picture_is_refused(tags, code):
    assert refused(dicom(GRAY, **tags)) == code


def test_only_frontal_views_are_taken_where_the_user_says_so():
    assert radiograph.read(dicom(GRAY, ViewPosition="AP"), frontal_only=True).view == "AP"
    assert radiograph.read(dicom(GRAY, ViewPosition="LL")).view == "LL"
    assert refused(dicom(GRAY, ViewPosition="LL"), frontal_only=True) == "not-frontal"
    assert refused(dicom(GRAY, ViewPosition="LLD"), frontal_only=True) == "not-frontal"
    assert refused(dicom(GRAY, ViewPosition=None), frontal_only=True) == "view-unknown"
    lateral = Dataset()
    lateral.CodeValue, lateral.CodingSchemeDesignator = "399173006", "SCT"
    assert refused(dicom(GRAY, ViewPosition=None, ViewCodeSequence=[lateral]), frontal_only=True) == "not-frontal"


def test_what_is_no_picture_is_refused():
    report = with_file(dicom(GRAY), lambda dataset: delattr(dataset, "PixelData"))
    assert refused(report) == "no-pixels"
    assert refused(b"") == "not-dicom"
    assert refused(b"\x89PNG" * 99) == "not-dicom"

    def to_floats(dataset):
        del dataset.PixelData
        dataset.FloatPixelData = GRAY.astype("<f4").tobytes()

    assert refused(with_file(dicom(GRAY), to_floats)) == "float-pixels"


def test_a_file_that_is_cut_off_anywhere_is_refused():
    for syntax in (uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian, uid.JPEG2000Lossless):
        data = dicom(gray(12, 12), syntax=syntax)
        for end in range(0, len(data) - 1, 7):
            with pytest.raises(DicomError):
                radiograph.frames.decode(radiograph.read(data[:end]).frame)


def test_a_way_of_packing_that_is_not_decoded_is_named_and_a_text_in_its_place_is_not():
    def packed_as(syntax):
        data = bytearray(dicom(GRAY, syntax=uid.ExplicitVRLittleEndian))
        told = str(uid.ExplicitVRLittleEndian).encode()
        at = data.index(told)
        data[at : at + len(told) + 1] = syntax.ljust(len(told) + 1, b"\0")[: len(told) + 1]
        return bytes(data)

    with pytest.raises(DicomError, match="Papyrus 3") as told:
        radiograph.read(packed_as(b"1.2.840.10008.1.20"))
    assert told.value.code == "transfer-syntax"
    assert refused(packed_as(b"Miller")) == "transfer-syntax"
    assert refused(packed_as(b"")) == "transfer-syntax"


def test_a_file_that_makes_no_picture_tells_its_uid_where_it_has_one():
    data = dicom(GRAY, number=7, BurnedInAnnotation="YES")
    assert refused(data) == "burnt-in"
    assert radiograph.uid(data) == uid_of(7)
    without = data.replace(str(uid.ExplicitVRLittleEndian).encode(), bytes(len(uid.ExplicitVRLittleEndian)))
    assert refused(without) == "transfer-syntax"
    assert radiograph.uid(without) == uid_of(7)
    assert radiograph.uid(b"no DICOM") == ""


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def test_a_header_of_endless_elements_is_refused_soon(monkeypatch):
    monkeypatch.setattr(radiograph._Bounded, "left", 20_000)
    one = element(9, 0x1001, b"LO", b"")
    assert refused(dicom(GRAY)[:HEAD] + element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0") + one * 30_000) == (
        "too-many-elements"
    )


def test_sequences_within_sequences_end_in_a_refusal():
    item = struct.pack("<HH2sHI", 0x40, 0x0555, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    syntax = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0")
    assert refused(dicom(GRAY)[:HEAD] + syntax + item * 5000) == "damaged"


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(monkeypatch):
    monkeypatch.setattr(radiograph, "MAX_UNPACKED", 10**6)
    data = dicom(gray(12, 12), syntax=uid.DeflatedExplicitVRLittleEndian)
    length = struct.unpack_from("<I", data, HEAD + 8)[0]  # of what is not packed
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(10**8)) + packer.flush()
    assert refused(data[: HEAD + 12 + length] + bomb) == "too-large"


def test_a_header_of_hostile_values_raises_nothing_else():
    data = dicom(GRAY, PatientID="Miller\\Anna")
    assert radiograph.read(data.replace(b"20260105", b"20261399")).study_date is None
    assert radiograph.read(data.replace(b"20260105", b"\xff" * 8)).study_date is None


def test_nothing_is_decoded_to_read_a_header(monkeypatch):
    def stop(*_):
        raise RuntimeError

    data = dicom(gray(100, 90), syntax=uid.JPEG2000Lossless)
    monkeypatch.setattr(radiograph.frames, "_by_openjpeg", stop)
    assert radiograph.read(data).rows == 100


def test_the_largest_picture_of_16_bits_may_come_deflated():
    assert radiograph.MAX_UNPACKED > 2 * pixels.MAX_PIXELS


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_a_sequence_that_would_take_long_is_refused_unread(syntax, monkeypatch):
    monkeypatch.setattr(radiograph, "_MAX_SEQUENCE", 1000)
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [900, 0, 16], bytes(1800)
    assert refused(dicom(GRAY, VOILUTSequence=[item], syntax=syntax)) == "too-many-elements"


def test_what_pydicom_says_of_a_file_is_not_said(caplog):
    item = Dataset()
    item.add_new("CodeValue", "SH", "Miller")
    data = dicom(GRAY, ViewPosition=None, ViewCodeSequence=[item], SpecificCharacterSet="ISO_IR 100")
    hostile = data.replace(b"ISO_IR 100", b"Miller^Ann").replace(b"20260105", b"Miller^A")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = radiograph.read(hostile)
        assert found.study_date is None
        making.make(found, Recipe("vinbigdata", None))
    assert said == []
    assert caplog.records == []


def test_warnings_are_kept_away_once():
    radiograph.library()
    before = list(warnings.filters)
    radiograph.library()
    assert warnings.filters == before
    warnings.simplefilter("error")
    radiograph.library()
    assert warnings.filters[0] == before[0]

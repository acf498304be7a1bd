"""The simulator's modality: pictures wrapped as DICOM, and what a recipe makes of them."""

import io
import re
import subprocess
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest
from PIL import Image

import dicom_files
from pacs_tools import tool
from radloop.dicom import gray as recipes
from radloop.dicom import radiograph, views, wrapping
from radloop.dicom.wrapping import Room
from radloop.recipe import Recipe
from radloop.sources import synthetic

ROOM = Room("North", "PA", "Flat detector", datetime(2026, 11, 30, 10, 15, tzinfo=UTC))
AS_IT_IS = Recipe(size_px=None)
IDS = [f"{number:032x}" for number in range(24)]  # among them every kind of stored value


def wrapped(gray, image_id=IDS[0], **changes):
    return wrapping.wrap(gray, image_id, **({"patient": "p1", "room": ROOM, "seed": 0} | changes))


def header(data):
    return pydicom.dcmread(io.BytesIO(data))


def made_again(data, recipe=AS_IT_IS):
    return recipes.make(radiograph.read(data), recipe).astype(int)


@pytest.mark.parametrize("image_id", IDS)
def test_recipe_makes_the_same_gray_values_again(image_id):
    picture = dicom_files.gray(64, 64, bits=8)
    data = wrapped(picture, image_id)
    assert np.abs(made_again(data) - picture).max() <= 1
    assert (made_again(data, Recipe("minmax", 64)) == picture).all()


def test_most_are_eight_bit_and_every_other_kind_is_sent_too():
    sent = [header(wrapped(GRAY, f"{number:032x}")) for number in range(60)]
    kinds = Counter((one.BitsStored, one.PhotometricInterpretation) for one in sent)
    assert kinds.keys() == {(bits, f"MONOCHROME{2 - inverted}") for bits, inverted, _ in wrapping._KINDS}
    assert kinds.most_common(1)[0][0] == (8, "MONOCHROME2")


GRAY = dicom_files.gray(32, 32, bits=8)


@pytest.mark.parametrize("view", ["PA", "AP"])
def test_code_of_the_view_says_what_its_word_says(view):
    told = header(wrapped(GRAY, room=Room("North", view, "Flat detector", ROOM.moment)))
    assert told.ViewPosition == view
    del told.ViewPosition
    assert views.of(told) == view


def test_picture_that_is_not_black_and_white_is_not_stretched():
    picture = (GRAY // 2 + 60).astype(np.uint8)
    for image_id in IDS[:6]:
        difference = np.abs(made_again(wrapped(picture, image_id)) - picture)
        assert (difference > 1).sum() == 2  # the two ends of the scale
    flat = np.full((32, 32), 77, np.uint8)
    assert (np.abs(made_again(wrapped(flat)) - 77) <= 1).sum() == flat.size - 2


def test_picture_in_the_frame_of_its_original_comes_back_but_at_sharp_edges():
    picture = synthetic.picture(synthetic.patient(0, seed=0))
    data = wrapped(picture, frame=(2500, 3000))
    assert (header(data).Columns, header(data).Rows) == (2500, 3000)
    difference = np.abs(made_again(data, Recipe()) - picture)
    assert (difference <= 1).mean() > 0.998


def test_original_that_is_smaller_than_its_picture_is_no_frame():
    assert header(wrapped(GRAY, frame=(31, 100))).Columns == 32


def test_file_follows_from_image_and_seed_and_no_two_share_a_uid():
    assert wrapped(GRAY) == wrapped(GRAY)
    files = [header(wrapped(GRAY, image_id, seed=seed)) for image_id in IDS[:4] for seed in (0, 1)]
    uids = [uid for one in files for uid in (one.SOPInstanceUID, one.SeriesInstanceUID, one.StudyInstanceUID)]
    assert len(set(uids)) == 24
    assert all(re.fullmatch(r"2\.25\.[1-9]\d*", uid) and len(uid) <= 64 for uid in uids)


def test_patient_is_the_same_in_all_of_their_images():
    first, second = header(wrapped(GRAY, IDS[0])), header(wrapped(GRAY, IDS[1]))
    another = header(wrapped(GRAY, IDS[0], patient="p2"))
    who = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
    assert [first[name].value for name in who] == [second[name].value for name in who]
    assert first.PatientID != another.PatientID
    assert "p1" not in str(first)


def test_file_says_that_nobody_was_examined():
    sent = header(wrapped(GRAY))
    assert sent.Manufacturer == wrapping.MANUFACTURER
    assert "nobody was examined" in sent.PatientComments
    assert "nobody was examined" in sent.ImageComments
    assert str(sent.PatientName).startswith("Synthetic^")
    assert sent.BurnedInAnnotation == "NO"


@pytest.mark.parametrize("image_id", IDS[:8])
def test_file_is_a_dx_image_by_the_standard(tmp_path, image_id):
    path = dicom_files.write(tmp_path, "sent.dcm", wrapped(GRAY, image_id))
    said = subprocess.run([tool("dciodvfy"), path], capture_output=True, text=True).stderr
    assert [line for line in said.splitlines() if line.startswith("Error")] == []
    assert "DXImageForPresentation" in said


def test_pillow_sees_what_was_sent():
    sent = header(wrapped(GRAY, frame=(40, 48)))
    assert np.asarray(Image.fromarray(sent.pixel_array.astype(np.uint16))).shape == (48, 40)

"""A picture with what looks like text in it waits for a person."""

import io
import os
import stat

import numpy as np
import pytest
from PIL import Image

import dicom_files
from planted_text import plant, radiograph
from radloop import pixels
from radloop.dicom import intake, quarantine
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import DicomError
from radloop.recipe import Recipe

RECIPE = Recipe("minmax", None)


@pytest.fixture(scope="module")
def marked():
    return dicom_files.dicom(plant(radiograph(0), "DOE^JOHN 1971", px=24).astype(np.uint16))


@pytest.fixture
def house(tmp_path):
    return Pseudonyms.open(tmp_path)


def folder(house, name):
    return house.folder / quarantine.QUARANTINE / name


def move(house, image_id, to):
    held = folder(house, quarantine.WAITING) / f"{image_id}.png"
    return held.rename(folder(house, to) / held.name)


def test_a_picture_with_text_is_held_where_only_its_owner_looks(house, marked):
    taken = intake.take(marked, RECIPE, house)
    assert "look like text" in taken.burnt
    assert "private/quarantine/waiting" in taken.burnt
    held = folder(house, quarantine.WAITING) / f"{taken.image_id}.png"
    assert held.read_bytes() == taken.png
    assert held.with_suffix(".txt").read_text().startswith("1")
    assert stat.S_IMODE(os.stat(held).st_mode) == 0o600
    assert quarantine.waiting(house.folder.parent) == 1
    assert intake.take(marked, RECIPE, house).burnt == taken.burnt
    assert quarantine.waiting(house.folder.parent) == 1


def test_a_released_picture_goes_in(house, marked):
    image_id = intake.take(marked, RECIPE, house).image_id
    released = move(house, image_id, quarantine.RELEASED)
    assert intake.take(marked, RECIPE, house).burnt is None
    packed = io.BytesIO()
    Image.fromarray(pixels.decode(released.read_bytes())).save(packed, "PNG", compress_level=1)
    released.write_bytes(packed.getvalue())
    assert intake.take(marked, RECIPE, house).burnt is None
    assert list(folder(house, quarantine.WAITING).iterdir()) == []


def test_another_recipe_makes_another_picture_which_waits_again(house, marked):
    move(house, intake.take(marked, RECIPE, house).image_id, quarantine.RELEASED)
    assert intake.take(marked, Recipe("minmax", 512), house).burnt is not None
    assert quarantine.waiting(house.folder.parent) == 1


def test_a_picture_that_a_person_keeps_out_is_refused(house, marked):
    move(house, intake.take(marked, RECIPE, house).image_id, quarantine.KEPT_OUT)
    with pytest.raises(DicomError, match="a person keeps it out") as refused:
        intake.take(marked, RECIPE, house)
    assert refused.value.code == "kept-out"
    assert quarantine.waiting(house.folder.parent) == 0


def test_a_file_among_the_released_that_is_no_picture_releases_nothing(house, marked):
    image_id = intake.take(marked, RECIPE, house).image_id
    (folder(house, quarantine.RELEASED) / f"{image_id}.png").write_bytes(b"ok")
    assert intake.take(marked, RECIPE, house).burnt is not None


def test_a_picture_without_text_leaves_no_quarantine(house):
    assert intake.take(dicom_files.dicom(dicom_files.gray(300, 300)), RECIPE, house).burnt is None
    assert not (house.folder / quarantine.QUARANTINE).exists()
    assert quarantine.waiting(house.folder.parent) == 0


def test_who_only_looks_holds_nothing(house, marked):
    looking = Pseudonyms.open(house.folder.parent, writing=False)
    assert intake.take(marked, RECIPE, looking).burnt is not None
    assert not (house.folder / quarantine.QUARANTINE).exists()
    move(house, intake.take(marked, RECIPE, house).image_id, quarantine.RELEASED)
    assert intake.take(marked, RECIPE, looking).burnt is None

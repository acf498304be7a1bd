"""A folder of DICOM files becomes pictures once: what is there stays, what is missing is made, and nothing else."""

import hashlib
import json
import os
import pickle
from datetime import date

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_files import dicom, gray, uid_of, write
from radloop import pixels
from radloop.dicom import intake, radiograph
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.engines import Local
from radloop.recipe import Recipe
from radloop.sources import dicom_pictures

SMALL = Recipe("minmax", None)


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        write(tmp_path / "dicom", f"s{number % 2}/{number}.dcm", dicom(gray(seed=number), number=number))
    return tmp_path / "dicom"


@pytest.fixture
def taken(monkeypatch):
    """How many files became pictures."""
    counted: list[int] = []
    real = intake.take
    monkeypatch.setattr(intake, "take", lambda data, *rest, **more: counted.append(1) or real(data, *rest, **more))
    return counted


class Sending(Local):
    """This process, but all that processes are sent is packed and unpacked."""

    def map(self, function, shards, *, cpus=1.0):
        for shard in shards:
            yield pickle.loads(pickle.dumps(function))(pickle.loads(pickle.dumps(shard)))


def make(folder, recipe=SMALL, **more):
    out = folder.parent / "out"
    own = Pseudonyms.open(out)
    return dicom_pictures.make(folder, dicom_pictures.find(folder), out / "raw", recipe, own, engine=Sending(), **more)


def files(folder):
    raw = folder.parent / "out" / "raw"
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*") if path.is_file()}


def test_every_dicom_is_found_by_ending_or_first_bytes_and_nothing_else(tmp_path):
    data = dicom(gray())
    for name in ("a.dcm", "deep/er/B.DICOM", "IM0001", ".hidden.dcm", "DICOMDIR"):
        write(tmp_path, name, data)
    write(tmp_path, "train.csv", b"image_id")
    write(tmp_path, "short", b"x")
    write(tmp_path, "broken.dcm", b"no DICOM")

    assert dicom_pictures.find(tmp_path) == ["IM0001", "a.dcm", "broken.dcm", "deep/er/B.DICOM"]


def test_a_file_that_unpacks_to_a_huge_one_is_not_unpacked_for_its_uid_either(tmp_path, monkeypatch):
    monkeypatch.setattr(radiograph, "MAX_UNPACKED", 1000)
    write(tmp_path / "dicom", "a.dcm", dicom(gray(), syntax=DeflatedExplicitVRLittleEndian))
    (made,) = make(tmp_path / "dicom").values()
    assert (made.code, made.image_id) == ("too-large", None)


def test_pictures_have_the_recipes_gray_values_and_a_record_without_identifiers(folder):
    made = make(folder)

    raw, own = folder.parent / "out" / "raw", Pseudonyms.open(folder.parent / "out")
    values = gray(seed=3).astype(float)
    wanted = np.floor((values - values.min()) / (values.max() - values.min()) * 255)
    picture = pixels.decode((raw / "images" / f"{made['s1/3.dcm'].image_id}.png").read_bytes())
    assert np.abs(picture.astype(int) - wanted).max() <= 1
    assert made["s1/3.dcm"].image_id == own.image_id(uid_of(3))
    assert (made["s1/3.dcm"].width, made["s1/3.dcm"].height, made["s1/3.dcm"].spacing_mm_row) == (48, 60, 0.15)
    record = (raw / "files.jsonl").read_text()
    assert len(record.splitlines()) == 6
    assert not [text for text in (uid_of(3), "P00003", "Synthetic", "3.dcm", "20260105") if text in record]


def test_second_run_makes_nothing_and_leaves_every_byte(folder, taken):
    make(folder)
    before = files(folder)
    make(folder)

    assert len(taken) == 6
    assert files(folder) == before


def test_run_that_was_killed_makes_only_what_is_missing(folder, taken):
    make(folder)
    whole = files(folder)
    raw = folder.parent / "out" / "raw"
    lines = (raw / "files.jsonl").read_bytes().splitlines(keepends=True)
    (raw / "files.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])  # half a line
    lost = json.loads(lines[0])["image_id"]
    (raw / "images" / f"{lost}.png").unlink()
    taken.clear()

    make(folder)

    assert len(taken) == 4  # the lost picture, and the three that nobody had noted
    assert files(folder) == whole


def test_another_recipe_makes_all_anew_and_a_file_that_is_gone_takes_its_picture_along(folder, taken):
    make(folder)
    before = files(folder)
    (folder / "s0" / "0.dcm").unlink()
    made = make(folder, Recipe("minmax", 32))

    assert len(taken) == 11
    after = files(folder)
    assert len([name for name in after if name.endswith(".png")]) == 5
    assert not [name for name in after if name.endswith(".png") and after[name] == before[name]]
    assert {one.md5 for one in made.values()} == {
        hashlib.md5(data).hexdigest() for name, data in after.items() if name.endswith(".png")
    }


def test_name_that_is_not_utf8_is_a_name_as_any_other(folder, taken):
    (folder / "s0" / "0.dcm").rename(os.fsdecode(os.fsencode(folder) + b"/M\xfcller.dcm"))
    assert sum(one.code is None for one in make(folder).values()) == 6
    make(folder)
    assert len(taken) == 6


def test_changed_file_is_made_again(folder, taken):
    make(folder)
    write(folder, "s0/0.dcm", dicom(gray(seed=99), number=0, PatientID="longer than before"))
    make(folder)
    assert len(taken) == 7


def test_one_image_in_two_files_counts_once(folder):
    write(folder, "copy/a.dcm", dicom(gray(seed=2), number=2, AccessionNumber="of no matter"))
    made = make(folder)
    assert made["copy/a.dcm"].image_id == made["s0/2.dcm"].image_id
    table = dicom_pictures.table(made.values())
    assert (table.height, table["image_id"].n_unique(), table.unique().height) == (7, 6, 6)


def test_table_has_its_columns_whatever_the_first_files_tell():
    bare = [dicom_pictures.Made(f"k{number}", f"i{number}", width=2, height=3) for number in range(200)]
    told = dicom_pictures.Made("k", "i", spacing_mm_row=0.5, study_date=date(2026, 1, 5), code="x", reason="y")
    table = dicom_pictures.table([*bare, told])
    assert table.row(200, named=True)["spacing_mm_row"] == 0.5
    assert table.schema == dicom_pictures.table([told]).schema


@pytest.mark.parametrize("other", [{"seed": 77}, {"PatientID": "other"}], ids=["another picture", "another patient"])
def test_two_files_with_one_uid_and_other_content_are_both_refused(folder, other):
    seed = other.get("seed", 2)
    tags = {name: value for name, value in other.items() if name != "seed"}
    write(folder, "copy/a.dcm", dicom(gray(seed=seed), number=2, **tags))
    for _ in range(2):  # the second run knows what the first wrote
        made = make(folder)
        assert [made[name].code for name in ("copy/a.dcm", "s0/2.dcm")] == ["uid-twice"] * 2
        assert f"images/{made['s0/2.dcm'].image_id}.png" not in files(folder)


def test_refused_file_has_code_and_sentence_and_is_tried_again(folder, taken):
    write(folder, "text.dcm", b"no DICOM at all")
    write(folder, "multi.dcm", dicom(gray(), number=50, NumberOfFrames=2))
    write(folder, "side.dcm", dicom(gray(), number=51, ViewPosition="LL"))
    made = make(folder, frontal_only=True)
    own = Pseudonyms.open(folder.parent / "out")
    assert {name: one.code for name, one in made.items() if one.code} == {
        "text.dcm": "not-dicom",
        "multi.dcm": "multi-frame",
        "side.dcm": "not-frontal",
    }
    assert made["text.dcm"].image_id is None
    assert made["multi.dcm"].image_id == own.image_id(uid_of(50))
    taken.clear()
    make(folder, frontal_only=True)
    assert len(taken) == 3

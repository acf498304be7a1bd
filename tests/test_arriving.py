"""Files and objects on their way in: each by its kind, in order, and none of them holds the others up."""

from pathlib import Path

import pytest

import dicom_files
import incoming_unit
from memory_pacs import MemoryPacs
from radloop import pixels
from radloop.dataset.incoming import Arrival, Refusal
from radloop.errors import PacsError, TransientPacsError
from radloop.pipelines.arrivals import arriving
from radloop.pipelines.arrivals.arriving import Reader
from radloop.recipe import Recipe

FILES = [dicom_files.dicom(dicom_files.gray(seed=number), number=number) for number in range(1, 6)]


@pytest.fixture
def reader(tmp_path) -> Reader:
    (tmp_path / "new").mkdir()
    return Reader(tmp_path / "new", tmp_path / "out", Recipe("minmax", 64), frontal_only=False, named={})


def all_of(coming) -> list:
    return [one for shard in coming.shards for one in shard]


def test_files_come_in_their_order_from_many_processes_as_from_one(reader):
    for number in range(60):
        dicom_files.write(reader.folder, f"{number:03}.dcm", FILES[number % 5] if number % 7 else b"hello")
    one, many = (all_of(arriving.of_folder(reader, jobs=jobs)) for jobs in (1, 2))
    assert len(one) == 60
    assert one == many
    assert [isinstance(came, Refusal) for came in one] == [number % 7 == 0 for number in range(60)]


def test_a_pacs_gives_its_radiographs_and_what_is_known_is_not_asked_for(reader):
    report = dicom_files.with_file(FILES[4], lambda dataset: setattr(dataset, "Modality", "SR"))
    pacs = MemoryPacs(*FILES[:4], report)
    first = all_of(arriving.of_pacs(reader, pacs, set(), jobs=2))
    assert all(isinstance(one, Arrival) and one.recipe == "minmax@1,size=64,ratio=stretched" for one in first)
    assert len({one.image_id for one in first}) == 4
    pacs.asked.clear()
    again = all_of(arriving.of_pacs(reader, pacs, {one.image_id for one in first[:3]}, jobs=2))
    assert [one and one.image_id for one in again] == [first[3].image_id, None, None, None]
    assert pacs.asked.count("retrieve") == 1


def test_one_object_that_the_pacs_cannot_give_is_refused_and_one_that_refuses_all_stops_the_run(reader):
    def failing(error):
        calls = []

        def before(asked):
            calls.append(asked)
            if calls.count("retrieve") == 1 and asked == "retrieve":
                raise error

        return MemoryPacs(*FILES[:2], before=before)

    gone = all_of(arriving.of_pacs(reader, failing(PacsError("it is gone", code="gone")), set(), jobs=1))
    assert [type(one) for one in gone] == [Refusal, Arrival]
    assert gone[0].code == "pacs-gone"
    for error in (PacsError("no", code="unauthorized"), TransientPacsError("down")):
        with pytest.raises(PacsError):
            all_of(arriving.of_pacs(reader, failing(error), set(), jobs=1))


def test_another_object_than_was_asked_for_is_refused(reader):
    pacs = MemoryPacs(FILES[0])
    uid = next(iter(pacs.objects))
    pacs.retrieve = lambda instance: FILES[1]
    (one,) = all_of(arriving.of_pacs(reader, pacs, set(), jobs=1))
    assert (one.place, one.code) == (uid, "another-object")


def test_file_that_vanishes_or_is_no_file_is_refused(reader):
    dicom_files.write(reader.folder, "a.dcm", FILES[0])
    coming = arriving.of_folder(reader, jobs=1)
    Path(reader.folder / "a.dcm").unlink()
    assert [one.code for one in all_of(coming)] == ["unreadable"]


def test_picture_that_came_in_before_is_not_decoded_again_unless_its_bytes_are_others(reader, monkeypatch):
    films = {name: incoming_unit.png(dicom_files.gray(64, 64, seed=ord(name), bits=8)) for name in "ab"}
    (reader.house / "organized").mkdir(parents=True)
    table = incoming_unit.add(reader.house / "organized", films)
    dicom_files.write(reader.folder, "a.png", films["a"])
    dicom_files.write(reader.folder, "b.png", films["a"])
    looks = []
    decode = pixels.decode
    monkeypatch.setattr(pixels, "decode", lambda picture: looks.append(picture) or decode(picture))
    first, second = all_of(arriving.of_folder(reader, jobs=1))
    assert looks == [films["a"]]
    assert first.looked == second.looked
    assert first.looked.thumbnail == table.filter(image_id="a")["thumbnail"][0]

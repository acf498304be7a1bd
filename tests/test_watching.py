"""A PACS is watched: each image has one feedback and each study one report, whatever is killed when."""

import pytest

from dicom_files import uid_of
from memory_pacs import MemoryPacs
from radloop.catalog import incoming
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.dicom.report import Device
from watched_pacs import build, feedback, linked, radiograph, reports, same_study, watch


@pytest.fixture(scope="module")
def _built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("watched"))


@pytest.fixture
def out(_built, tmp_path):
    return linked(_built, tmp_path / "out")


def test_new_studies_become_pictures_feedback_and_a_report_each(out):
    pacs = MemoryPacs(radiograph(1), same_study(2, 3), same_study(3, 3))
    done = watch(out, pacs)

    assert (done.studies, done.images, done.written, done.reports) == (2, 3, 3, 2)
    ids = {Pseudonyms.open(out).image_id(uid_of(number)) for number in (1, 2, 3)}
    assert set(incoming.read(out / "organized")["image_id"]) == ids
    assert {image_id: len(found) for image_id, found in feedback(out).items()} == dict.fromkeys(ids, 1)
    told = reports(pacs)
    assert sorted(len(one.images) for one in told) == [1, 2]
    assert all(isinstance(one.observer, Device) for one in told)

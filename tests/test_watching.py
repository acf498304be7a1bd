"""A PACS is watched: each image has one feedback and each study one report, whatever is killed when."""

import io
import os
import signal
import sys
import threading

import numpy as np
import pydicom
import pytest

from dicom_files import uid_of, with_file
from memory_pacs import MemoryPacs, gone
from memory_store import KilledError
from radloop import boxes, detectors, files
from radloop.catalog import incoming
from radloop.dataset import incoming_files
from radloop.dicom import quarantine, wrapping
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.dicom.report import Device
from radloop.errors import (
    BusyError,
    DatasetError,
    DetectorError,
    MisreadDetectorError,
    PacsError,
    SourceError,
    TransientDetectorError,
    UsageError,
)
from radloop.feedback import records
from radloop.options import Watch
from radloop.pacs.ledger import Ledger
from radloop.pipelines import watching
from radloop.pipelines.studies import observing
from radloop.predictions import Predictions
from radloop.recipe import Recipe
from radloop.simulation import stopping
from radloop.storage import publish
from taxonomies import VINDR
from watched_pacs import SMALL, Sure, build, feedback, linked, log, radiograph, reports, same_study, watch


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("watched"))


@pytest.fixture
def out(built, tmp_path, monkeypatch):
    monkeypatch.setattr(observing, "_PAUSE_SECONDS", 0.0)
    return linked(built, tmp_path / "out")


def image_id(out, number):
    return Pseudonyms.open(out).image_id(uid_of(number))


def three_studies(**told):
    return MemoryPacs(radiograph(1), radiograph(2), same_study(3, 5), same_study(4, 5), **told)


def test_without_pydicom_nothing_is_refused_for_good(out, monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pydicom", None)
        with pytest.raises(SourceError, match=r"pip install 'radloop\[dicom\]'"):
            watch(out, three_studies())
    assert watch(out, three_studies()).images == 4


def test_new_studies_become_pictures_feedback_and_a_report_each(out):
    pacs = three_studies()
    done = watch(out, pacs)

    ids = {image_id(out, number) for number in (1, 2, 3, 4)}
    assert (done.studies, done.images, done.written, done.reports) == (3, 4, 4, 3)
    table = incoming.read(out / "organized")
    assert set(table["image_id"]) == ids
    told = feedback(out)
    assert {one: len(found) for one, found in told.items()} == dict.fromkeys(ids, 1)
    splits = dict(incoming.images(table).select("image_id", "split").iter_rows())
    assert {one: found[0]["split"] for one, found in told.items()} == splits
    assert all(isinstance(one.observer, Device) for one in reports(pacs))
    assert sorted(len(one.images) for one in reports(pacs)) == [1, 1, 2]
    assert (out / "store/organized/incoming/manifest.parquet").exists()


def test_a_report_holds_the_feedbacks_boxes_in_the_images_own_pixels(out):
    pacs = MemoryPacs(radiograph(1))
    watch(out, pacs, detector=Sure())

    ((told,),) = feedback(out).values()
    ((observed,),) = [one.images for one in reports(pacs)]
    corners = boxes.cxcywh_to_xyxy([one["bbox"] for one in told["detections"]]) * (48, 64, 48, 64)
    np.testing.assert_allclose([one.xyxy_px for one in observed.boxes], corners, atol=0.01)
    assert [one.certainty for one in observed.boxes] == [0.95, 0.5]
    assert [one.code.meaning for one in observed.boxes] == ["Aortic enlargement", "Pneumothorax"]
    assert told["recipe"] == str(Recipe(size_px=128))


def test_what_is_made_up_is_said_to_be(out):
    """The pictures of `radloop simulate --pacs` in the feedback, the boxes of the random detector in the report."""
    pacs = MemoryPacs(radiograph(1, Manufacturer=wrapping.MANUFACTURER), radiograph(2))
    watch(out, pacs)

    marked = {one for one, (told,) in feedback(out).items() if "simulated" in told}
    assert marked == {image_id(out, 1)}
    assert all(b"Random boxes, to try the chain: no findings, not for clinical use." in data for data in pacs.reports)
    pacs.store([radiograph(3)])
    watch(out, pacs, detector=Sure())
    assert sum(b"andom boxes" in data for data in pacs.reports) == 2


def test_a_second_run_finds_nothing_new(out):
    pacs = three_studies()
    watch(out, pacs)
    before = set(pacs.objects)
    again = watch(out, pacs)

    assert (again.studies, again.images, again.written, again.reports) == (0, 0, 0, 0)
    assert set(pacs.objects) == before
    assert "retrieve" not in pacs.asked[pacs.asked.index("stored") + 1 :]


def test_images_that_come_later_have_a_report_of_their_own(out):
    pacs = MemoryPacs(same_study(1, 9))
    watch(out, pacs)
    pacs.store([same_study(2, 9)])
    watch(out, pacs)

    assert [[one.sop_instance_uid for one in report.images] for report in reports(pacs)] == [[uid_of(1)], [uid_of(2)]]
    assert len({report.sop_instance_uid for report in reports(pacs)}) == 2


def test_results_may_be_kept_here(out):
    pacs = three_studies()
    done = watch(out, pacs, send_results="none")

    assert (done.written, done.reports, pacs.reports) == (4, 0, [])
    assert "store" not in pacs.asked


def test_what_cannot_be_used_is_counted_once_and_holds_nothing_up(out):
    broken = with_file(radiograph(2), lambda dataset: dataset.pop("PixelData"))
    ct = radiograph(3, Modality="CT")
    pacs = MemoryPacs(broken, radiograph(4, NumberOfFrames=2), ct, radiograph(1))
    done = watch(out, pacs)
    asked = pacs.asked.count("retrieve")

    assert done.refused == {"no-pixels": 1, "multi-frame": 1}
    assert (done.images, done.reports) == (1, 1)
    assert asked == 3  # nobody asked for CT
    watch(out, pacs)
    assert pacs.asked.count("retrieve") == asked


def test_a_picture_with_text_in_it_waits_for_a_person(out, monkeypatch):
    pacs = MemoryPacs(radiograph(1))
    monkeypatch.setattr("radloop.dicom.burnt.why", lambda values: "it looks like text")
    done = watch(out, pacs)

    assert (done.held, done.images, done.reports, feedback(out)) == (1, 0, 0, {})
    assert watch(out, pacs).images == 0
    place = out / "private" / quarantine.QUARANTINE
    held = place / quarantine.WAITING / f"{image_id(out, 1)}.png"
    held.rename(place / quarantine.RELEASED / held.name)
    released = watch(out, pacs)
    assert (released.images, released.written, released.reports) == (1, 1, 1)


def test_what_is_gone_is_waited_for_and_told(out):
    failing = iter([True] * 2 + [False, True] + [False] * 2 + [True] * 3 + [False] * 100)

    def before(asked):
        if next(failing):
            raise gone()

    done = watch(out, pacs := three_studies(before=lambda asked: None), jobs=1)
    assert done.waits == 0
    pacs.store([radiograph(7), radiograph(8)])
    pacs.before = before
    done = watch(out, pacs, jobs=1)

    assert (done.images, done.written, done.reports) == (2, 2, 2)
    assert done.waits == 6
    waits = [line for line in log(out) if line["event"] == "wait"]
    assert len(waits) == 6
    assert "cannot be reached" in waits[0]["message"]


def test_another_run_in_the_folder_is_waited_for(out, monkeypatch):
    busy = iter([True, True])
    locked = files.locked

    def taken(folder, **told):
        if folder == out and next(busy, False):
            raise BusyError(f"{folder}: another radloop run works here.")
        return locked(folder, **told)

    monkeypatch.setattr(files, "locked", taken)
    done = watch(out, three_studies())
    assert (done.waits, done.images) == (2, 4)


def test_there_is_one_watcher_a_folder(out):
    Pseudonyms.open(out)
    with files.locked(out / "private" / "watch"), pytest.raises(BusyError):
        watch(out, three_studies())


def test_a_pacs_that_lets_nobody_in_ends_the_run(out):
    def before(asked):
        raise PacsError("it wants a password", code="unauthorized")

    with pytest.raises(PacsError):
        watch(out, three_studies(before=before))


def test_a_signal_ends_the_run_after_the_studies_at_hand(out):
    stored = []

    def before(asked):
        if asked == "store" and not stored:
            stored.append(asked)
            os.kill(os.getpid(), signal.SIGTERM)

    pacs = MemoryPacs(*(radiograph(number) for number in range(1, 21)))
    pacs.before = before
    done = watch(out, pacs, once=False, settle_seconds=0)

    assert done.stopped
    assert 0 < done.images < 20
    assert done.written == done.reports == done.images
    assert watch(out, pacs).images == 20 - done.images


def test_a_signal_does_not_wait_for_a_detector_that_never_answers(out, monkeypatch):
    monkeypatch.setattr(stopping, "_GRACE_SECONDS", 0.01)
    given_up = threading.Event()

    def never(picture):
        os.kill(os.getpid(), signal.SIGTERM)
        assert given_up.wait(60), "nobody gave the detector up"
        raise TransientDetectorError("it was given up", kind="timeout")

    detector, pacs = Sure(never), MemoryPacs(radiograph(1))
    detector.give_up = given_up.set
    done = watch(out, pacs, detector=detector, once=False)
    assert done.stopped
    assert done.written == 0
    assert watch(out, pacs).written == 1


def test_a_study_that_still_grows_is_not_taken_yet(out):
    """It is asked for until it has had the same size for a while; a signal ends the run."""
    sizes = iter([same_study(2, 1), same_study(3, 1), None])

    def before(asked):
        if asked == "studies":
            more = next(sizes, "asked again before the signal is seen")
            if more is None:
                os.kill(os.getpid(), signal.SIGTERM)
            elif not isinstance(more, str):
                pacs.before = lambda asked: None
                pacs.store([more])
                pacs.before = before

    pacs = MemoryPacs(same_study(1, 1))
    pacs.before = before
    done = watch(out, pacs, once=False, settle_seconds=3600, poll_seconds=0.001)
    assert done.images == 0
    pacs.before = lambda asked: None
    assert [len(one.images) for one in (watch(out, pacs), reports(pacs)[0])[1:]] == [3]


def test_a_picture_that_the_detector_cannot_read_is_given_up_after_three_tries(out):
    def before(picture):
        if picture.image_id == image_id(out, 1):
            raise DetectorError("it cannot be read")

    detector = Sure(before)
    done = watch(out, three_studies(), detector=detector)
    assert (done.written, done.refused) == (3, {"detector-failed": 1})
    assert detector.asked[image_id(out, 1)] == 3


@pytest.mark.parametrize(
    "error", [DetectorError("it is broken"), MisreadDetectorError("corners")], ids=["all", "misread"]
)
def test_a_broken_detector_ends_the_run(out, error):
    def before(picture):
        raise error

    pacs = MemoryPacs(*(radiograph(number) for number in range(1, 13)))
    with pytest.raises(DetectorError):
        watch(out, pacs, detector=Sure(before))
    assert feedback(out) == {}
    assert pacs.reports == []
    assert watch(out, pacs).written == 12


def test_a_model_of_another_recipe_is_told_of_before_it_looks_at_anything(out, caplog):
    told = []
    detector = Sure(lambda picture: told.append(len(caplog.records)))
    detector.recipe = str(Recipe("minmax"))
    done = watch(out, three_studies(), detector=detector)

    assert told[0] == 1
    assert "minmax@1" in done.notes[0]
    assert str(SMALL) in done.notes[0]
    assert log(out)[0]["notes"] == [done.notes[0]]
    with pytest.raises(UsageError, match="--model-recipe"):
        watch(out, three_studies(), detector=detector, model_recipe=Recipe())


def test_a_report_that_the_pacs_refuses_is_counted_and_holds_no_other_up(out):
    pacs = three_studies()
    store = pacs.store

    def choosy(objects):
        if any(len(read_uids(data)) > 1 for data in objects):
            raise PacsError("it stored 0 of them", code="refused")
        store(objects)

    pacs.store = choosy
    done = watch(out, pacs)
    assert (done.reports, done.refused) == (2, {"report-refused": 1})
    assert watch(out, pacs).reports == 0


def read_uids(data):
    study = pydicom.dcmread(io.BytesIO(data)).CurrentRequestedProcedureEvidenceSequence[0]
    return [one for series in study.ReferencedSeriesSequence for one in series.ReferencedSOPSequence]


def test_no_name_no_id_and_no_uid_leaves_the_private_folder(out):
    secret = {"PatientName": "Doe^Jane", "PatientID": "ID-4711", "InstitutionName": "Saint Mary", "StudyID": "S-99"}
    pacs = MemoryPacs(radiograph(1, **secret), radiograph(2, NumberOfFrames=3, **secret))
    done = watch(out, pacs)

    assert done.images == 1
    hidden = [*secret.values(), "Jane", uid_of(1), uid_of(1, 2), uid_of(1, 3), uid_of(2)]
    for path in out.rglob("*"):
        if path.is_file() and "private" not in path.parts:
            content = path.read_bytes()
            assert not [one for one in hidden if one.encode() in content or one in str(path)], path


def test_dry_run_counts_and_writes_nothing(out):
    before = sorted(out.rglob("*"))
    pacs = three_studies()
    done = watch(out, pacs, dry_run=True)

    assert (done.studies, done.done) == (3, False)
    assert sorted(out.rglob("*")) == before
    assert pacs.asked == ["studies"]
    watch(out, pacs)
    ledgers = out / "private/watch"
    for one in ledgers.glob("*.db"):
        one.chmod(0o400)
    ledgers.chmod(0o500)  # where nothing can be written
    before = {one.name: one.stat().st_mtime_ns for one in ledgers.iterdir()}
    assert watch(out, pacs, dry_run=True).studies == 0
    assert {one.name: one.stat().st_mtime_ns for one in ledgers.iterdir()} == before
    ledgers.chmod(0o700)


def test_dry_run_makes_no_key(out):
    """Where a picture is held, OUT/private is there, and no key."""
    (out / "private").mkdir(mode=0o700)
    assert watch(out, three_studies(), dry_run=True).studies == 3
    assert not [*(out / "private").iterdir()]


def test_an_image_that_stands_in_two_studies_has_one_feedback(out):
    """A PACS that lists an object under another study, too, or a study twice."""
    pacs = MemoryPacs(radiograph(1), radiograph(2))
    studies, instances = pacs.studies, pacs.instances
    pacs.studies = lambda **told: iter([*studies(**told)] * 2)
    pacs.instances = lambda uid: iter(
        [*instances(uid), *(one._replace(study_uid=uid) for one in instances(uid_of(1, 3)))]
    )
    watch(out, pacs)

    assert {one: len(found) for one, found in feedback(out).items()} == {image_id(out, 1): 1, image_id(out, 2): 1}


def test_feedback_that_cannot_be_read_any_more_holds_nothing_up(out):
    pacs = MemoryPacs(radiograph(1), radiograph(2))
    detector = Sure()
    watch(out, pacs, detector=detector)
    (path,) = (out / "feedback").glob(f"{image_id(out, 1)}*")
    path.write_bytes(path.read_bytes().replace(b'"class_id": 0', b'"class_id": 1'))
    (out / "private/watch").rename(out / "private/lost")
    again = watch(out, pacs, detector=detector)

    assert again.refused == {"feedback-changed": 1}
    assert len(feedback(out)) == 2


def test_without_a_dataset_nothing_is_taken(tmp_path):
    with pytest.raises(DatasetError, match="holds no dataset"):
        watch(tmp_path / "empty", three_studies())


def test_nobody_knows_the_truth_of_new_images(out):
    with pytest.raises(UsageError, match="oracle"):
        watching.watch(Watch(out=out, pacs="memory", detector="oracle:0"), pacs=three_studies())


# ---- killed ----------------------------------------------------------------------------------------------------------


class Life:
    """Counts what a run does, and ends it before its `last` deed, or after it."""

    def __init__(self, last=None):
        self.last, self.deeds = last, 0

    def deed(self, *_):
        self.deeds += 1
        if self.last is not None and self.deeds >= self.last:
            raise KilledError

    def around(self, function):
        def lived(*arguments, **told):
            self.deed()
            result = function(*arguments, **told)
            self.deed()
            return result

        return lived


DEEDS = [
    (Pseudonyms, "remember"),
    (incoming_files, "add"),
    (records, "write"),
    (Ledger, "plan"),
    (Ledger, "end"),
    (Ledger, "record"),
    (Ledger, "count"),
    (publish, "publish"),
]


def live(out, pacs, life):
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in DEEDS:
            patch.setattr(owner, name, life.around(getattr(owner, name)))
        pacs.before = life.deed
        try:
            watch(out, pacs, detector=detectors.create("random", VINDR), jobs=1)
        except KilledError:
            return False
        finally:
            pacs.before = lambda asked: None
    return True


def require_whole(out, pacs):
    told = feedback(out)
    assert set(told) == {image_id(out, number) for number in (1, 2, 3, 4)}
    assert {len(found) for found in told.values()} == {1}
    found = reports(pacs)
    assert len({report.study_uid for report in found}) == len(found) == 3
    assert sorted(one.sop_instance_uid for report in found for one in report.images) == sorted(
        map(uid_of, (1, 2, 3, 4))
    )
    by_id = {Pseudonyms.open(out).image_id(one.sop_instance_uid): one for report in found for one in report.images}
    for one, (said,) in told.items():  # what was written and what was reported is the same answer
        sure = [box["confidence"] for box in said["detections"] or []]
        assert [box.certainty for box in by_id[one].boxes] == pytest.approx(sure, abs=1e-6)
    assert set(incoming.read(out / "organized")["image_id"]) == set(told)


def killed_at(what, out, pacs, **told):
    """Watch, and be killed when the PACS is asked for that."""

    def before(asked):
        if asked == what:
            raise KilledError

    pacs.before = before
    with pytest.raises(KilledError):
        watch(out, pacs, **told)
    pacs.before = lambda asked: None


def killed_and_again(built, folder, last):
    """Whether the run was killed before it had ended by itself; what it left is finished by a second one."""
    out, pacs = linked(built, folder), three_studies()
    ended = live(out, pacs, Life(last))
    watch(out, pacs)
    require_whole(out, pacs)
    return not ended


@pytest.mark.parametrize("last", [1, 5, 11, 17, 20, 23, 26, 29, 32])
def test_killed_somewhere_and_run_again_each_image_has_one_feedback_and_each_study_one_report(built, tmp_path, last):
    killed_and_again(built, tmp_path / "out", last)


@pytest.mark.slow
def test_killed_anywhere_and_run_again_each_image_has_one_feedback_and_each_study_one_report(built, tmp_path):
    deeds = 1
    while killed_and_again(built, tmp_path / str(deeds), deeds):
        deeds += 1
    assert deeds > 30


def test_a_study_that_grew_while_nobody_watched_is_reported_once_an_image(built, tmp_path):
    """The report that was stored before the kill is stored again as it was, the new image's beside it."""
    out, pacs = linked(built, tmp_path / "out"), MemoryPacs(same_study(1, 9))
    killed_at("stored", out, pacs)
    pacs.store([same_study(2, 9)])
    watch(out, pacs)

    assert sorted(one.sop_instance_uid for report in reports(pacs) for one in report.images) == [uid_of(1), uid_of(2)]


def test_planned_report_waits_for_an_image_that_is_to_be_tried_again(built, tmp_path):
    """Killed before the report was stored; then one of its images cannot be had for a while."""
    out, pacs = linked(built, tmp_path / "out"), MemoryPacs(same_study(1, 9), same_study(2, 9))
    killed_at("store", out, pacs)
    retrieve, refusals = pacs.retrieve, [uid_of(2)]

    def refusing(instance):
        if instance.sop_instance_uid in refusals:
            refusals.remove(instance.sop_instance_uid)
            raise PacsError("not now", code="refused")
        return retrieve(instance)

    pacs.retrieve = refusing
    watch(out, pacs)

    assert refusals == []
    assert sorted(one.sop_instance_uid for report in reports(pacs) for one in report.images) == [uid_of(1), uid_of(2)]


def test_answers_of_before_a_kill_stand(built, tmp_path):
    """The second run has another answer, of the same model: what was written is what is reported."""
    out, pacs = linked(built, tmp_path / "out"), MemoryPacs(radiograph(1))
    killed_at("store", out, pacs, detector=Sure())

    class Other(Sure):
        def predict(self, picture):
            return Predictions.sorted([], [], [], highest_score=0.1)

    watch(out, pacs, detector=Other())
    ((observed,),) = [one.images for one in reports(pacs)]
    assert [one.certainty for one in observed.boxes] == [0.95, 0.5]

"""Forgetting in a whole loop: feedback, reviews, rounds, incoming pictures, exports, logs, caches, DICOM; and kills."""

import json
import os
import random
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import incoming_unit
import made_up
import small_loop
import traces
from dicom_files import dicom, gray, uid_of
from memory_store import KilledError, MemoryStore
from radloop import files, manifest, storage
from radloop.catalog import audit_lines, incoming, version
from radloop.dataset.forgetting import rows as rows_of
from radloop.dicom import burnt, intake
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import BusyError, DatasetError, DicomError, UsageError
from radloop.feedback import mentions
from radloop.options import Audit, Export, Forget, Ingest, Load, Pull, Retrain, Transform
from radloop.pipelines import auditing, checking, exporting, forgetting, ingesting, offline, retraining
from radloop.recipe import Recipe
from radloop.storage import publish
from test_forgetting import NOW, SALTED, contents, image, marks

pytestmark = pytest.mark.slow
INCOMING = f"{manifest.UNIT}/{manifest.INCOMING}"


@pytest.fixture(scope="module")
def looped(tmp_path_factory):
    """A loop with a round, incoming pictures beside it, and an export."""
    out = tmp_path_factory.mktemp("looped") / "data"
    out.mkdir()
    small_loop.run(out)
    retraining.retrain(Retrain(out=out, allow_simulated=True))
    source = made_up.films(tmp_path_factory.mktemp("more"), 4, seed=9)
    known = version.read(out)
    pictures = {path.stem: path.read_bytes() for path in sorted((source / "train").glob("*.png"))}
    ids = sorted(pictures)
    incoming_unit.add(known.root, pictures, **{ids[0]: {"group": image(out, "production"), "patient": "p" * 32}})
    publish.publish(known.root / manifest.INCOMING, storage.open_store(str(out / "store")), prefix=INCOMING)
    exporting.export(Export(out=out, format="coco"))
    for path in sorted((out / "feedback").iterdir())[40:]:  # each is copied for each kill
        if path.stem.split(".")[0] != trained(out):
            path.unlink()
    return out


@pytest.fixture
def out(looped, tmp_path, monkeypatch):
    monkeypatch.setattr(forgetting, "secrets", SALTED)
    return Path(shutil.copytree(looped, tmp_path / "data", symlinks=True))


def forget(out, asked, **told):
    return forgetting.forget(Forget(out=out, asked=asked, **told), now=NOW)


def trained(out):
    """An image that people have reviewed and a round has learned from."""
    rows = rows_of((out / "organized" / "retrain" / "retrain.csv").read_bytes())
    reviewed = {json.loads(path.read_bytes())["image_id"] for path in (out / "reviews").glob("*.json")}
    return next(row["image_id"] for row in rows if row["trains"] == "true" and row["image_id"] in reviewed)


def leading(out, image_id):
    """Its marks, with the ids of its feedback and reviews."""
    own = marks(out, image_id)
    feedback = [json.loads(path.read_bytes()) for path in (out / "feedback").glob("*.json")]
    ids = {one["feedback_id"] for one in feedback if one["image_id"] == image_id}
    return replace(own, texts=own.texts | ids)


def test_nothing_of_an_image_is_left_in_any_part_of_the_loop(out):
    one = trained(out)
    leads = leading(out, one)
    before = contents(out)
    told = forget(out, one)
    assert traces.of(out, leads, without=[out / "films"]) == []
    kinds = ("feedback", "reviews", "files of re-training", "lines of logs", "cached rows", "exports")
    assert [name for name in kinds if not told.removed[name]] == []
    after = contents(out)
    for folder in ("feedback/", "reviews/"):
        left = {name: md5 for name, md5 in after.items() if name.startswith(folder) and name.count("/.") == 0}
        assert left.items() < {name: md5 for name, md5 in before.items() if name.startswith(folder)}.items()
    for place in (out, out / "store"):
        assert checking.check(place).violations.rows() == []
    report = json.loads((out / "organized" / "retrain" / "report.json").read_bytes())
    assert report["forgotten"] == 1
    assert mentions.find(out / "feedback", mentions.Wanted(frozenset({one}))).count == 0


def test_next_round_knows_nothing_of_it(out):
    one = trained(out)
    leads = leading(out, one)
    forget(out, one)
    retraining.retrain(Retrain(out=out))
    assert traces.of(out, leads, without=[out / "films"]) == []


def test_incoming_picture_goes_and_a_group_gets_another_name(out):
    table = incoming.read(out / "organized")
    grouped = table.filter(pl.col("patient").is_not_null())
    lonely = table.filter(pl.col("patient").is_null())["image_id"][0]
    forget(out, grouped["group"][0])
    left = incoming.read(out / "organized").filter(image_id=grouped["image_id"][0])
    assert left["group"][0] == grouped["image_id"][0]

    told = forget(out, lonely)
    assert (told.removed["files of incoming"], told.removed["files of the dataset"]) == (1, 0)
    assert lonely not in incoming.read(out / "organized")["image_id"]
    assert traces.of(out, traces.Marks(frozenset({lonely}))) == []

    forget(out, "p" * 32, reason="consent withdrawn")
    assert incoming.read(out / "organized").height == 2
    assert contents(out / "organized") == contents(out / "store" / "organized")


def test_version_that_was_not_loaded_yet_still_follows_the_store(out):
    one = image(out, "training")
    offline.transform(Transform(out=out, sizes=small_loop.SIZES, labels="consensus"))
    newer, held = version.read(out).id, version.read(out / "store").id
    assert newer != held
    forget(out, one)
    followed = version.read(out / "store").id
    assert offline.load(Load(out=out, allow_shrink=True)).previous_version == followed
    assert version.read(out / "store").id == version.read(out).id
    assert one not in version.read(out / "store").images["image_id"]


def test_it_waits_for_nobody(out):
    with files.locked(out), pytest.raises(BusyError):
        forget(out, image(out, "training"))


def test_picture_that_would_wait_for_a_persons_look_does_not_come_in_either(out, monkeypatch):
    Pseudonyms.open(out)  # the key that the patients of what came in are named by
    one = image(out, "production")
    picture = next((out / "films" / "train").glob(f"{one}.png"))
    forget(out, one)
    monkeypatch.setattr(burnt, "why", lambda _: "it seems to have text in its pixels")
    (out / "new").mkdir()
    for name in (one, "renamed"):
        shutil.copy(picture, out / "new" / f"{name}.png")
    done = ingesting.ingest(Ingest(from_=str(out / "new"), out=out, jobs=1))
    assert done.refused["code"].to_list() == ["forgotten", "forgotten"]
    assert not list((out / "private").rglob("*.png"))


def test_other_machine_brings_nothing_back(out, tmp_path):
    """One that has pictures, rounds and feedback of its own, and hears of it by the store alone."""
    Pseudonyms.open(out)  # the two have one key
    other = Path(shutil.copytree(out, tmp_path / "other", symlinks=True, ignore=shutil.ignore_patterns("store")))
    one, lonely = trained(out), incoming.read(out / "organized").filter(pl.col("patient").is_null())["image_id"][0]
    for gone in (one, lonely):
        forget(out, gone)
    store = str(out / "store")
    before = contents(out / "store" / "organized" / "incoming")
    with pytest.raises(DatasetError, match=f"radloop forget {lonely}"):
        ingesting.ingest(Ingest(from_=str(out / "films" / "train"), out=other, store=store))
    assert contents(out / "store" / "organized" / "incoming") == before

    offline.pull(Pull(out=other, store=store))
    done = retraining.retrain(Retrain(out=other, store=store, allow_simulated=True))
    assert any("on images that were forgotten" in note for note in done.notes)
    assert traces.of(out / "store", traces.Marks(frozenset({one, lonely}))) == []

    for gone in (one, lonely):
        forget(other, gone, store=store)
    assert traces.of(other, traces.Marks(frozenset({one, lonely})), without=[other / "films"]) == []
    again = ingesting.ingest(Ingest(from_=str(out / "films" / "train"), out=other, store=store))
    assert again.refused["code"].to_list().count("forgotten") == 1


def without_logs(found):
    """Without the lines of audit logs, which tell when each was written."""
    return {name: md5 for name, md5 in found.items() if Path(name).name not in (audit_lines.HEAD, "000001.jsonl")}


def audited(out):
    """The code and the place of whatever `audit verify` finds: what this loop has lost was taken to make it small."""
    return set(auditing.verify(Audit(out=out, action="verify")).faults.select("code", "file").rows())


def linked(source, target):
    """A link, but for what is added to in its place."""
    (shutil.copy if source.endswith(".jsonl") else os.link)(source, target)


@pytest.fixture
def killing(monkeypatch):
    """Kills the process at the so-manieth change of the disk."""
    left = {"changes": sys.maxsize}

    def dying(name):
        original = getattr(os, name)

        def act(*arguments, **named):
            if left["changes"] <= 0:
                raise KilledError
            left["changes"] -= 1
            return original(*arguments, **named)

        monkeypatch.setattr(os, name, act)

    for name in ("replace", "rename", "link", "unlink", "rmdir", "mkdir", "open"):
        dying(name)
    return left


def test_kill_at_any_moment_and_a_second_run_end_the_same(looped, tmp_path, monkeypatch, killing):
    monkeypatch.setattr(forgetting, "secrets", SALTED)
    one = trained(looped)
    whole = Path(shutil.copytree(looped, tmp_path / "whole", symlinks=True))
    killing["changes"] = start = 10**9
    forget(whole, one)
    changes, expected = start - killing["changes"], without_logs(contents(whole))
    killing["changes"], wrong = sys.maxsize, audited(whole)
    moments = sorted({*random.Random(0).sample(range(changes), 8), changes - 1, changes - 3})
    for moment in moments:
        copy = Path(shutil.copytree(looped, tmp_path / "copy", symlinks=True, copy_function=linked))
        killing["changes"] = moment
        with pytest.raises(KilledError):
            forget(copy, one)
        killing["changes"] = sys.maxsize
        with suppress(UsageError):  # where all was done but the end of the process, nothing is known of it
            forget(copy, one)
        assert without_logs(contents(copy)) == expected, moment
        assert audited(copy) == wrong, moment
        shutil.rmtree(copy)


def test_store_of_objects_killed_at_any_request_ends_the_same(looped, tmp_path, monkeypatch):
    monkeypatch.setattr(forgetting, "secrets", SALTED)
    one = trained(looped)

    def begin(name):
        out = Path(shutil.copytree(looped, tmp_path / name, symlinks=True, copy_function=os.link))
        store = MemoryStore()
        unit = out / "store" / "organized"
        store.objects = {
            f"organized/{path.relative_to(unit)}": path.read_bytes() for path in unit.rglob("*") if path.is_file()
        }
        store.objects["organized/notes.txt"] = b"of the user"
        monkeypatch.setattr(storage, "open_store", lambda address, **_: store)
        return out, store

    out, store = begin("whole")
    forget(out, one, store="memory:")
    expected, requests = dict(store.objects), len(store.trace)
    assert not any(one in key or one.encode() in data for key, data in expected.items())
    for moment in range(0, requests, max(1, requests // 8)):
        out, store = begin(f"copy{moment}")
        store.requests_left = moment
        with pytest.raises(KilledError):
            forget(out, one, store="memory:")
        store.requests_left = sys.maxsize
        forget(out, one, store="memory:")
        assert store.objects == expected, moment
        shutil.rmtree(out)


def test_other_forget_ends_what_was_cut_off_first(out, killing):
    one, two = image(out, "training"), image(out, "production")
    killing["changes"] = 900
    with pytest.raises(KilledError):
        forget(out, one)
    killing["changes"] = sys.maxsize
    assert (out / ".forgetting" / "journal.json").exists()
    forget(out, two)
    left = version.read(out).images["image_id"]
    assert one not in left
    assert two not in left
    assert not (out / ".forgetting").exists()


def take(house, number, issuer="A"):
    data = dicom(gray(seed=number), number=number, PatientID="Roe-17", IssuerOfPatientID=issuer)
    return intake.take(data, Recipe("minmax", None), house)


def test_patient_is_known_by_the_clear_id_and_does_not_come_in_again(out):
    house = Pseudonyms.open(out)
    taken = [take(house, 1), take(house, 2)]
    other = take(house, 3, issuer="B")
    incoming_unit.add(out / "organized", {one.image_id: one.png for one in (*taken, other)})
    with pytest.raises(UsageError, match="--issuer") as refused:
        forget(out, "Roe-17")
    assert "Roe" not in str(refused.value)

    told = forget(out, "Roe-17", issuer="A")
    assert told.images == 2
    for one in taken:
        assert traces.of(out, traces.Marks(frozenset({one.image_id}))) == []
    again = Pseudonyms.open(out)
    assert [one.image_id for one in again.origins()] == [other.image_id]
    with pytest.raises(DicomError) as refused:
        take(again, 1)
    assert refused.value.code == "forgotten"
    assert again.back(taken[0].image_id) is None
    assert forget(out, uid_of(3)).images == 1
    assert Pseudonyms.open(out).origins() == []

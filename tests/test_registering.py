"""The incoming unit between this machine and an object store: nothing is lost there, whatever is killed when."""

import shutil
import sys
from pathlib import Path

import pytest

import dicom_files
import made_up
from incoming_unit import png
from memory_store import KilledError, MemoryStore
from radloop import manifest
from radloop.dataset.incoming import Arrival
from radloop.options import Etl
from radloop.pipelines import ingesting, offline
from radloop.pipelines.arrivals.registering import NEVER, Register
from radloop.split_sizes import SplitSizes
from radloop.storage import publish, verify
from radloop.tables import INCOMING

SIZES = SplitSizes.parse("training=6,validation=2,test=2,staging=0,canary=0,production=2")
UNIT = manifest.INCOMING_UNIT


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    films = made_up.films(folder / "films", 12)
    offline.etl(Etl(out=folder / "out", source=str(films), sizes=SIZES, jobs=1))
    return folder / "out"


def register(built: Path, out: Path) -> Register:
    """Of a machine of its own, with the dataset and nothing that came in."""
    shutil.copytree(built, out)
    made = Register(out)
    made.refresh()
    return made


def come(to: Register, *names: str, share: float = 0) -> None:
    arrivals = [Arrival(name, png(dicom_files.gray(64, 64, seed=ord(name), bits=8)), NEVER) for name in names]
    ingesting.take_in(to, arrivals, audit_share=share)


def send(one: Register, store: MemoryStore) -> None:
    publish.publish(one.unit, store, prefix=UNIT)


def of_unit(store: MemoryStore) -> dict[str, bytes]:
    return {key: data for key, data in store.objects.items() if key.startswith(f"{UNIT}/")}


@pytest.mark.parametrize("keeps_md5", [True, False], ids=["keeps MD5s", "keeps none"])
def test_publish_killed_at_any_request_and_a_second_one_end_in_the_same_objects(built, tmp_path, keeps_md5):
    one = register(built, tmp_path / "out")
    come(one, "a", "b")
    before = MemoryStore(keeps_md5=keeps_md5)
    publish.publish(one.root, before)
    send(one, before)
    come(one, "c")
    undisturbed = MemoryStore(keeps_md5=keeps_md5)
    undisturbed.objects = dict(before.objects)
    send(one, undisturbed)
    for at in range(40):
        store = MemoryStore(keeps_md5=keeps_md5)
        store.objects, store.requests_left = dict(before.objects), at
        try:
            send(one, store)
        except KilledError:
            store.requests_left = sys.maxsize
            send(one, store)
            assert store.objects == undisturbed.objects
            continue
        break
    assert at > 3
    assert not verify.verify(undisturbed, prefix=UNIT) or not keeps_md5


def test_publishing_the_dataset_leaves_what_came_in_alone(built, tmp_path):
    one = register(built, tmp_path / "out")
    come(one, "a")
    store = MemoryStore()
    publish.publish(one.root, store)
    send(one, store)
    there = of_unit(store)
    done = publish.publish(one.root, store)
    assert (done.removed, done.notes) == (0, ())
    assert of_unit(store) == there
    assert {key.split("/")[2] for key in there} == {"images", "incoming.parquet", manifest.NAME}


def test_what_came_in_on_two_machines_is_one_unit_in_the_end(built, tmp_path):
    first, second = (register(built, tmp_path / name) for name in ("first", "second"))
    store = MemoryStore()
    come(first, "a", share=1)
    send(first, store)
    come(second, "b")
    second.bring(store)
    send(second, store)
    first.bring(store)
    assert first.table.equals(second.table)
    assert first.table.select("image_id", "audit").rows() == [("a", True), ("b", False)]
    assert (first.unit / "images/b.png").read_bytes() == (second.unit / "images/b.png").read_bytes()
    before = dict(store.objects)
    first.bring(store)
    send(first, store)
    assert store.objects == before


def test_unit_whose_publish_was_cut_off_is_completed_and_not_taken_over(built, tmp_path):
    one = register(built, tmp_path / "out")
    come(one, "a")
    store = MemoryStore()
    send(one, store)
    come(one, "b")
    store.objects[f"{UNIT}/publishing"] = b"of a killed one"
    one.bring(store)
    send(one, store)
    assert f"{UNIT}/publishing" not in store.objects
    assert f"{UNIT}/images/b.png" in store.objects


def test_register_goes_by_the_disk_after_a_kill_between_pictures_and_table(built, tmp_path, monkeypatch):
    one = register(built, tmp_path / "out")
    come(one, "a")

    def killed(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("radloop.dataset.incoming_files.incoming.encode", killed)
        with pytest.raises(KilledError):
            come(one, "b")
    assert (one.unit / "images/b.png").exists()
    again = Register(tmp_path / "out")
    again.refresh()
    assert again.table["image_id"].to_list() == ["a"]
    assert not (one.unit / "images/b.png").exists()
    come(again, "b")
    assert again.table.select(INCOMING.names())["image_id"].to_list() == ["a", "b"]

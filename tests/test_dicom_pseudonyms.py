"""The key is made once and is its owner's alone; the table that leads back loses nothing, whatever is killed when."""

import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.dicom import pseudonyms
from radloop.dicom.pseudonyms import Origin, Pseudonyms
from radloop.errors import SourceError

KEY = "0123456789abcdef" * 4
WRITER = """
import sys
from pathlib import Path
from radloop.dicom.pseudonyms import Origin, Pseudonyms
house = Pseudonyms.open(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    uid = f"1.2.{number}"
    house.remember(Origin(house.image_id(uid), "1", "2", uid, "3", "Miller-7" * 20, "", 4, 5))
    print(number, flush=True)
"""


def origin(house: Pseudonyms, number: int) -> Origin:
    uid = f"1.2.{number}"
    return Origin(house.image_id(uid), "1", "2", uid, "3", "Müller-7", "Haus\n1", 4, 5)


def start(out: Path, first: int, last: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(out), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_the_key_is_its_owners_alone_and_made_once(tmp_path):
    first = Pseudonyms.open(tmp_path)
    key = first.folder / pseudonyms.KEY
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(first.folder).st_mode) == 0o700
    assert Pseudonyms.open(tmp_path).image_id("1.2") == first.image_id("1.2")
    assert [path.name for path in first.folder.iterdir()] == [pseudonyms.KEY]


def test_several_at_once_make_one_key(tmp_path):
    barrier, found = threading.Barrier(8), []

    def make():
        barrier.wait()
        found.append(Pseudonyms.open(tmp_path).image_id("1.2"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("step", ["os.link", "os.replace", "files.write_all"])
def test_a_kill_while_the_key_is_made_leaves_a_whole_key_or_none(tmp_path, step):
    killed = f"""
import os, signal
from pathlib import Path
from radloop import files
from radloop.dicom.pseudonyms import Pseudonyms
{step} = lambda *args, **rest: os.kill(os.getpid(), signal.SIGKILL)
Pseudonyms.open(Path({str(tmp_path)!r}))
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / pseudonyms.FOLDER / pseudonyms.KEY).exists()
    assert Pseudonyms.open(tmp_path).image_id("1.2") == Pseudonyms.open(tmp_path).image_id("1.2")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_an_error_with_a_way_out(tmp_path, mode):
    key = Pseudonyms.open(tmp_path).folder / pseudonyms.KEY
    key.chmod(mode)
    with pytest.raises(SourceError, match=rf"mode {mode:o}.*chmod 600"):
        Pseudonyms.open(tmp_path)
    key.chmod(0o600)
    key.parent.chmod(0o755)
    with pytest.raises(SourceError, match=r"mode 755.*chmod 700"):
        Pseudonyms.open(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [lambda key: b"", lambda key: key[:-9], lambda key: bytes([key[0] ^ 1]) + key[1:], lambda key: b"\xff" * 80],
    ids=range(4),
)
def test_a_damaged_key_is_never_replaced(tmp_path, damage):
    key = Pseudonyms.open(tmp_path).folder / pseudonyms.KEY
    key.write_bytes(damaged := damage(key.read_bytes()))
    with pytest.raises(SourceError, match=r"is damaged.*backup"):
        Pseudonyms.open(tmp_path)
    assert key.read_bytes() == damaged


def test_a_lost_key_beside_its_table_is_an_error(tmp_path):
    house = Pseudonyms.open(tmp_path)
    house.remember(origin(house, 1))
    kept = (house.folder / pseudonyms.KEY).rename(tmp_path / "kept")
    with pytest.raises(SourceError, match=r"is missing.*another pseudonym"):
        Pseudonyms.open(tmp_path)
    kept.rename(house.folder / pseudonyms.KEY)
    assert Pseudonyms.open(tmp_path).back(house.image_id("1.2.1")) == origin(house, 1)


def test_the_key_of_another_house_is_not_taken_for_the_tables(tmp_path):
    here, other = Pseudonyms.open(tmp_path / "here"), Pseudonyms.open(tmp_path / "other")
    here.remember(origin(here, 1))
    (other.folder / pseudonyms.KEY).replace(here.folder / pseudonyms.KEY)
    with pytest.raises(SourceError, match="is not the key"):
        Pseudonyms.open(tmp_path / "here")


def test_another_key_gives_other_pseudonyms():
    here, there = (Pseudonyms(Path(), bytes.fromhex(key)) for key in (KEY, KEY[::-1]))
    assert here.image_id("1.2") != there.image_id("1.2")
    assert here.patient("7") != there.patient("7")
    assert {len(one) for one in (here.image_id("1.2"), here.patient("7"))} == {32}
    assert len({here.image_id("7"), here.patient("7"), here.keyed("site", "7")}) == 3


@pytest.mark.parametrize(
    ("one", "other"), [("0012", "12"), ("12.0", "12"), ("ab-7", "AB-7"), (" 12 ", "12"), ("１２", "12")], ids=range(5)
)
def test_ways_to_write_an_id_are_one_patient(one, other):
    house = Pseudonyms(Path(), bytes.fromhex(KEY))
    assert house.patient(one, "ward") == house.patient(other, "Ward")


@pytest.mark.parametrize("empty", ["", " ", "None", "n/a"])
def test_no_id_is_no_patient(empty):
    assert Pseudonyms(Path(), bytes.fromhex(KEY)).patient(empty, "ward") is None


def test_the_same_id_of_two_issuers_is_two_patients():
    house = Pseudonyms(Path(), bytes.fromhex(KEY))
    assert len({house.patient("12", "A"), house.patient("12", "B"), house.patient("12"), house.patient("12A")}) == 4


@given(st.text(min_size=1))
def test_dates_of_a_patient_are_moved_back_by_the_same_whole_days(patient):
    house = Pseudonyms(Path(), bytes.fromhex(KEY))
    days = house.shift_days(patient)
    assert 1 <= days <= 3650
    assert house.shift_days(patient) == days


@settings(max_examples=25)
@given(cut=st.integers(0, 400))
def test_a_table_that_was_cut_anywhere_is_gone_on_with(tmp_path_factory, cut):
    house = Pseudonyms.open(tmp_path_factory.mktemp("house"))
    for number in range(2):
        house.remember(origin(house, number))
    table = house.folder / pseudonyms.TABLE
    first = table.read_bytes().index(b"\n") + 1
    os.truncate(table, min(first + cut, table.stat().st_size))
    again = Pseudonyms.open(house.folder.parent)
    for number in (1, 2):
        again.remember(origin(again, number))
    last = Pseudonyms.open(house.folder.parent)
    assert [last.back(house.image_id(f"1.2.{number}")) for number in range(3)] == [origin(house, n) for n in range(3)]


def test_two_writers_lose_nothing_and_each_sees_what_the_other_added(tmp_path):
    house = Pseudonyms.open(tmp_path)
    writers = [start(tmp_path, first, first + 200) for first in (0, 100)]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert all(house.back(house.image_id(f"1.2.{number}")) is not None for number in range(300))
    assert stat.S_IMODE(os.stat(house.folder / pseudonyms.TABLE).st_mode) == 0o600


def test_what_a_killed_writer_has_remembered_stays(tmp_path):
    for first in (0, 10_000):
        writer = start(tmp_path, first, first + 10_000)
        for _ in range(20):
            last = int(writer.stdout.readline())
        writer.kill()
        writer.communicate()
        house = Pseudonyms.open(tmp_path)
        assert all(house.back(house.image_id(f"1.2.{number}")) for number in range(first, last + 1))
        house.remember(origin(house, first + 20_000))
        assert Pseudonyms.open(tmp_path).back(house.image_id(f"1.2.{first + 20_000}"))


def test_what_another_process_has_forgotten_is_not_known_any_more(tmp_path):
    house = Pseudonyms.open(tmp_path)
    for number in range(5):
        house.remember(origin(house, number))
    other = Pseudonyms.open(tmp_path)
    other.forget({other.image_id("1.2.0"), other.image_id("1.2.3")})
    other.remember(origin(other, 5))
    known = [house.back(house.image_id(f"1.2.{number}")) for number in range(6)]
    assert [one is not None for one in known] == [False, True, True, False, True, True]


def test_an_image_is_remembered_once(tmp_path):
    house = Pseudonyms.open(tmp_path)
    for _ in range(3):
        house.remember(origin(house, 1))
        Pseudonyms.open(tmp_path).remember(origin(house, 1))
    assert (house.folder / pseudonyms.TABLE).read_bytes().count(b"\n") == 1
    assert house.back("unknown") is None


def test_forgotten_image_has_no_way_back_and_is_known_again_only_by_the_key(tmp_path):
    house = Pseudonyms.open(tmp_path)
    kept, gone = origin(house, 1), origin(house, 2)
    for one in (kept, gone):
        house.remember(one)
    house.forget([gone.image_id])
    house.forget([gone.image_id])
    assert Pseudonyms.open(tmp_path).origins() == house.origins() == [kept]
    assert house.is_forgotten(gone.image_id)
    assert not house.is_forgotten(kept.image_id)
    private = b"".join(path.read_bytes() for path in house.folder.iterdir())
    assert gone.image_id.encode() not in private
    assert gone.sop_instance_uid.encode() not in private
    assert stat.S_IMODE((house.folder / pseudonyms.FORGOTTEN).stat().st_mode) == 0o600


def test_row_that_is_added_while_others_are_forgotten_is_not_lost(tmp_path):
    house = Pseudonyms.open(tmp_path)
    gone = [origin(house, number).image_id for number in range(30)]
    for number in range(30):
        house.remember(origin(house, number))
    writer = start(tmp_path, 100, 400)
    for one in gone:
        Pseudonyms.open(tmp_path).forget([one])
    writer.communicate()
    left = {one.image_id for one in Pseudonyms.open(tmp_path).origins()}
    assert left == {house.image_id(f"1.2.{number}") for number in range(100, 400)}


def test_who_only_looks_leaves_nothing_and_is_told_the_same(tmp_path):
    Pseudonyms.open(tmp_path, writing=False).remember(origin(Pseudonyms.open(tmp_path, writing=False), 1))
    assert list(tmp_path.iterdir()) == []
    house = Pseudonyms.open(tmp_path)
    house.remember(origin(house, 1))
    before = (house.folder / pseudonyms.TABLE).read_bytes()
    looking = Pseudonyms.open(tmp_path, writing=False)
    looking.remember(origin(looking, 2))
    assert looking.back(house.image_id("1.2.2")) == origin(house, 2)
    assert looking.back(house.image_id("1.2.1")) == origin(house, 1)
    assert (house.folder / pseudonyms.TABLE).read_bytes() == before


def test_pseudonyms_travel_to_another_process(tmp_path):
    here = Pseudonyms.open(tmp_path)
    there = pickle.loads(pickle.dumps(here))
    assert there.image_id("1.2.3") == here.image_id("1.2.3")

"""A zip moved out of itself: nothing unsafe, nothing twice on the disk, nothing lost by a kill."""

import contextlib
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import DownloadError, SourceError
from radloop.sources import archive

WANTED = re.compile(r"train/[^/]+\.png|train_meta\.csv")
MIB = 2**20


def noise(count: int, side_bytes: int = 1000) -> dict[str, bytes]:
    return {f"train/{number:03}.png": random.Random(number).randbytes(side_bytes) for number in range(count)}


def pack(path: Path, members: dict[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items() if isinstance(members, dict) else members:
            opened.writestr(name, content)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def on_disk(*roots: Path) -> int:
    paths = [path for root in roots for path in (root, *root.rglob("*"))]
    return sum(path.stat().st_blocks * 512 for path in paths if path.is_file())


def test_only_what_is_wanted_is_unpacked(tmp_path):
    pictures = noise(3)
    others = {"test/a.png": b"unlabelled", "readme.txt": b"x", "train/deep/a.png": b"x", "sub/train/a.png": b"x"}
    packed = pack(tmp_path / "a.zip", {**others, **pictures, "train_meta.csv": b"image_id,dim0,dim1\n"})
    archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    assert content(tmp_path / "out") == {**pictures, "train_meta.csv": b"image_id,dim0,dim1\n"}


UNSAFE = ["/train/a.png", "../a.png", "train/../../a.png", "train/..", "C:/a.png", "C:a.png", "train\\..\\a.png"]


@pytest.mark.parametrize("name", [*UNSAFE, "train//a.png", "train/./a.png", "train/a\n.png", f"train/{'a' * 250}.png"])
def test_one_unsafe_name_condemns_the_zip(tmp_path, name):
    packed = pack(tmp_path / "a.zip", [("train/good.png", b"good"), (name, b"bad")])
    with pytest.raises(DownloadError, match="unsafe name"):
        archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    assert content(tmp_path) == {}


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param([(link("train/a.png"), b"/etc/passwd")], "not a plain file", id="symlink"),
        pytest.param([("train/a.png", b"1"), ("train/A.png", b"2")], "twice", id="names that differ by case only"),
        pytest.param([("train/a.png", bytes(2**26 + 1))], "would take 67,108,865 bytes", id="bomb"),
    ],
)
def test_hostile_member_condemns_the_zip(tmp_path, members, reason):
    packed = pack(tmp_path / "a.zip", members)
    with pytest.raises(DownloadError, match=reason):
        archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    assert content(tmp_path) == {}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_same_name_twice_condemns_the_zip(tmp_path):
    packed = pack(tmp_path / "a.zip", [("train/a.png", b"1"), ("train/a.png", b"2")])
    with pytest.raises(DownloadError, match=r"train/a\.png twice"):
        archive.unpack(packed, tmp_path / "out", wanted=WANTED)


def test_bomb_that_understates_its_size_is_found_by_its_crc(tmp_path):
    packed = pack(tmp_path / "a.zip", {"train/a.png": bytes(50 * MIB)})
    data = packed.read_bytes()
    declared = (50 * MIB).to_bytes(4, "little")
    assert data.count(declared) == 2
    packed.write_bytes(data.replace(declared, (1000).to_bytes(4, "little")))
    with pytest.raises(DownloadError, match=r"train/a\.png is damaged"):
        archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    assert content(tmp_path) == {}


def test_damaged_member_is_not_kept_and_the_others_stay(tmp_path):
    pictures = noise(3)
    packed = pack(tmp_path / "a.zip", pictures)
    data = bytearray(packed.read_bytes())
    data[data.index(pictures["train/001.png"][:100]) + 50] ^= 1
    packed.write_bytes(data)
    with pytest.raises(DownloadError, match=r"train/001\.png is damaged in it\. It was removed"):
        archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    assert content(tmp_path) == {"out/train/000.png": pictures["train/000.png"]}

    archive.unpack(pack(packed, pictures), tmp_path / "out", wanted=WANTED)
    assert content(tmp_path / "out") == pictures


@given(st.data())
def test_any_damage_ends_in_one_clear_error_or_in_the_right_bytes(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    pictures = noise(3, 40)
    packed = pack(folder / "a.zip", pictures)
    body = bytearray(packed.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=3)):
        body[position] = data.draw(st.integers(0, 255))
    packed.write_bytes(body[: data.draw(st.integers(0, len(body)))])
    with contextlib.suppress(DownloadError):
        archive.unpack(packed, folder / "out", wanted=WANTED)
    # A damaged name or a lost member may take a picture away; a picture that is there has its bytes.
    assert set(content(folder / "out").values()) <= set(pictures.values())


def test_what_is_there_is_not_written_again_and_what_was_changed_is(tmp_path):
    pictures = noise(2)
    packed = pack(tmp_path / "a.zip", pictures)
    archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    kept, changed = tmp_path / "out/train/000.png", tmp_path / "out/train/001.png"
    before = kept.stat().st_ino
    changed.write_bytes(bytes(1000))
    archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    assert content(tmp_path / "out") == pictures
    assert kept.stat().st_ino == before


def test_zip_and_content_are_never_on_the_disk_twice(tmp_path, monkeypatch):
    pictures = noise(100, MIB // 2)
    packed, out = pack(tmp_path / "a.zip", pictures), tmp_path / "out"
    if not archive._can_free(tmp_path):
        pytest.skip("this file system has no holes")
    before = on_disk(packed)
    used = []
    flush = archive._flush

    def measure(paths):
        flush(paths)
        used.append(on_disk(packed, out))

    monkeypatch.setattr(archive, "_flush", measure)
    archive.unpack(packed, out, wanted=WANTED)
    assert content(out) == pictures
    assert max(used) <= before + archive.BATCH_BYTES + 2 * MIB
    assert on_disk(packed) <= archive.BATCH_BYTES + 2 * MIB


def test_it_also_works_where_files_have_no_holes(tmp_path, monkeypatch):
    pictures = noise(10)
    packed = pack(tmp_path / "a.zip", pictures)
    monkeypatch.setattr(archive, "BATCH_BYTES", 2000)
    monkeypatch.setattr(archive, "_free", lambda path, end: False)
    before = packed.read_bytes()
    archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    assert content(tmp_path / "out") == pictures
    assert packed.read_bytes() == before


KILLED = """
import os, re, signal, sys
from pathlib import Path
from radloop import files
from radloop.sources import archive

archive.BATCH_BYTES = 3000
left = int(sys.argv[3])

def mortal(function):
    def call(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call

os.replace, os.fsync, archive._free = mortal(os.replace), mortal(os.fsync), mortal(archive._free)
archive.unpack(Path(sys.argv[1]), Path(sys.argv[2]), wanted=re.compile(sys.argv[4]))
"""


@pytest.mark.slow
def test_kill_at_every_step_and_a_second_run_end_in_the_same_bytes(tmp_path):
    pictures = noise(8)
    killed = 0
    for steps in range(100):
        packed, out = pack(tmp_path / "a.zip", pictures), tmp_path / f"out{steps}"
        command = [sys.executable, "-c", KILLED, packed, out, str(steps), WANTED.pattern]
        status = subprocess.run(command, check=False).returncode
        if status == 0:
            break
        assert status == -signal.SIGKILL
        killed += 1
        archive.unpack(packed, out, wanted=WANTED)
        assert content(out) == pictures
    assert killed > 15


def test_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    packed = pack(tmp_path / "a.zip", noise(10))
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 5))
    with pytest.raises(SourceError, match=r"unpacking takes .* GB more, 0\.0 GB are free"):
        archive.unpack(packed, tmp_path / "out", wanted=WANTED)
    assert packed.exists()
    assert content(tmp_path / "out") == {}


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=44m", "none", disk]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_disk_with_room_for_the_zip_and_one_batch_is_enough(small_disk):
    pictures = noise(50, MIB // 2)
    packed = pack(small_disk / "a.zip", pictures)
    archive.unpack(packed, small_disk / "out", wanted=WANTED)
    assert content(small_disk / "out") == pictures


def test_disk_that_fills_up_under_way_is_said_and_a_second_run_goes_on(small_disk, monkeypatch):
    pictures = noise(50, MIB // 2)
    packed = pack(small_disk / "a.zip", pictures)
    ballast = small_disk / "ballast"

    def fill(what, done, total, unit):
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - MIB))

    with pytest.raises(SourceError, match=r"No space left on device\. Mend that and run the same command again"):
        archive.unpack(packed, small_disk / "out", wanted=WANTED, progress=fill)
    assert 0 < len(content(small_disk / "out")) < 50
    ballast.unlink()
    archive.unpack(packed, small_disk / "out", wanted=WANTED)
    assert content(small_disk / "out") == pictures


def test_progress_ends_at_the_whole(tmp_path):
    seen = []
    packed = pack(tmp_path / "a.zip", {"train/a.png": b"12345", "test/a.png": b"123"})
    archive.unpack(packed, tmp_path / "out", wanted=WANTED, progress=lambda *step: seen.append(step))
    assert seen == [("unpack", 5, 5, "bytes")]

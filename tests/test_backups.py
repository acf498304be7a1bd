"""`radloop backup` and `restore`: the same bytes come back, what is new alone is sent, and no kill loses a backup."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

import small_loop
from memory_store import MemoryStore
from radloop import cli, files
from radloop.catalog import audit_lines, audit_log, tombstones
from radloop.errors import DatasetError, StoreError, UsageError
from radloop.options import Backup, Forget, Restore
from radloop.pipelines import backing_up, checking, forgetting, restoring
from radloop.pipelines.backing_up import BackedUp
from radloop.pipelines.keeping import scanning
from radloop.pipelines.restoring import Restored
from radloop.storage import backups, vault
from radloop.storage.vault import FolderVault, ObjectVault

pyrage = pytest.importorskip("pyrage")

NOT_COMPARED = ("cache", "raw", "export", "audit")  # the first three are not kept, to the last a restore adds


def contents(out: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and mode of all that a backup is to hold, but for the audit log."""
    return {
        name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and (name := path.relative_to(out).as_posix()).partition("/")[0] not in NOT_COMPARED
        and not name.startswith("private/backup/")
        and path.name != ".radloop.lock"
    }


def backup(out: Path, to: Path | str, **changes: Any) -> BackedUp:
    return backing_up.backup(Backup(out=out, to=str(to), **changes))


def restore(to: Path | str, out: Path, **changes: Any) -> Restored:
    return restoring.restore(Restore(out=out, from_=str(to), **changes))


@pytest.mark.parametrize("damage", [b"{", b"newer"], ids=["damaged", "of a newer radloop"])
def test_older_backup_never_passes_for_the_newest(tmp_path, damage):
    out, to = tmp_path / "out", tmp_path / "to"
    (out / "feedback").mkdir(parents=True)
    (out / "feedback" / "a.json").write_bytes(b"1")
    kept = Backup(out=out, to=str(to))
    first = backing_up.backup(kept, now=datetime(2026, 11, 29, tzinfo=UTC)).backup
    (out / "feedback" / "b.json").write_bytes(b"2")
    second = backing_up.backup(kept, now=datetime(2026, 11, 30, tzinfo=UTC)).backup
    head = to / vault.FOLDER / "heads" / f"{second}.json"
    data = head.read_bytes()
    head.write_bytes(damage if damage == b"{" else data.replace(b'"format": 1', b'"format": 2'))
    assert head.read_bytes() != data
    with pytest.raises(StoreError, match=rf"{second}\.json, the newest backup, is damaged or .* --backup: {first}"):
        restore(to, tmp_path / "new")
    restore(to, tmp_path / "new", backup=first)
    assert [one.name for one in (tmp_path / "new" / "feedback").iterdir()] == ["a.json"]


def parts(to: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (to / vault.FOLDER / "parts").iterdir()}


def few(out: Path) -> Path:
    """A little of everything that has a place in OUT."""
    texts = {
        "feedback/a.json": b'{"image_id": "a"}',
        "feedback/b.json": b'{"image_id": "b"}',
        "reviews/f.ann.0123456789abcdef.json": b'{"image_id": "a", "verdict": "normal"}',
        "models/aliases.json": b"{}",
        "organized/test/images/a_R1.png": b"\x89PNG one",
        "logs/online_data.log": b"{}\n",
        "private/key": b"0" * 64,
    }
    for name, data in texts.items():
        files.write_atomic(out / name, data, mode=0o600 if name.startswith("private") else 0o640)
    os.chmod(out / "private", 0o700)
    os.link(out / "organized/test/images/a_R1.png", out / "organized/test/images/a_R2.png")
    return out


@pytest.fixture
def out(tmp_path) -> Path:
    return few(tmp_path / "out")


def test_a_restore_is_a_line_more_in_the_log_that_came_back(out, tmp_path):
    audit_log.of(out, "radloop load").record("load", "organized", old="v1", new="v2")
    before = list(audit_lines.lines(out / "audit"))
    kept = backup(out, tmp_path / "to").backup
    restore(tmp_path / "to", tmp_path / "back")
    told = audit_lines.verify(tmp_path / "back/audit")
    *same, last = told.lines
    assert (same, told.faults) == (before, ())
    assert (last.what, last.subject, last.new) == ("restore", str(tmp_path / "to"), {"backup": kept, "lost": 0})


names = st.text("abc.-é", min_size=1, max_size=6).filter(
    lambda name: name.strip(".") and not name.startswith(".") and not name.endswith(".tmp")
)
paths = st.tuples(st.sampled_from(["feedback", "reviews", "models", "organized/test", "private"]), names).map("/".join)
trees = st.dictionaries(paths, st.binary(max_size=200), min_size=1, max_size=12)
steps = st.lists(trees, min_size=1, max_size=3)


@hypothesis.given(steps, st.booleans())
@hypothesis.settings(max_examples=25, deadline=None)
def test_what_comes_back_from_every_backup_is_what_was_there(history, encrypted):
    secret = pyrage.x25519.Identity.generate()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        key = place / "key"
        files.write_atomic(key, str(secret).encode(), mode=0o600)
        flags = {"encrypt_to": (str(secret.to_public()),)} if encrypted else {}
        were = []
        for tree in history:
            for name, data in tree.items():
                files.write_atomic(place / "out" / name, data)
            were.append((backup(place / "out", place / "to", **flags), contents(place / "out")))
        for number, (made, there) in enumerate(were):
            back = place / f"back{number}"
            told = restore(place / "to", back, backup=made.backup, identity=key if encrypted else None)
            assert contents(back) == there
            assert (told.files, told.lost) == (len(there), ())


def test_a_second_backup_sends_what_is_new_alone_and_rewrites_no_part(out, tmp_path):
    first = backup(out, tmp_path / "to")
    before = parts(tmp_path / "to")
    assert first.new_files == 7  # two names of one picture are one file
    again = backup(out, tmp_path / "to")
    assert (again.new_files, again.parts) == (0, 0)
    files.write_atomic(out / "feedback/c.json", b'{"image_id": "c"}')
    third = backup(out, tmp_path / "to")
    assert (third.new_files, third.parts, third.kept) == (1, 1, 3)
    assert before.items() < parts(tmp_path / "to").items()


def test_links_and_modes_come_back_and_a_backup_is_its_owners_alone(out, tmp_path):
    backup(out, tmp_path / "to")
    restore(tmp_path / "to", tmp_path / "back")
    one, other = (tmp_path / "back/organized/test/images" / name for name in ("a_R1.png", "a_R2.png"))
    assert os.path.samefile(one, other)
    assert stat.S_IMODE((tmp_path / "back/private").stat().st_mode) == 0o700
    assert not [path for path in (tmp_path / "to" / vault.FOLDER).rglob("*") if path.stat().st_mode & files.OTHERS]


def test_many_small_files_are_few_parts(tmp_path):
    for number in range(3000):
        path = tmp_path / "out" / "feedback" / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"image_id": "{number}"}}')
    assert backup(tmp_path / "out", tmp_path / "to").parts == 1


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_part_is_named_and_the_rest_can_be_salvaged(out, tmp_path, harm):
    backup(out, tmp_path / "to")
    picture = next(path for path in (tmp_path / "to" / vault.FOLDER / "parts").iterdir() if path.suffix == ".tar")
    data = picture.read_bytes()
    if harm == "remove":
        picture.unlink()
    else:
        picture.write_bytes(data[:-1] if harm == "cut" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(StoreError, match=picture.name) as refused:
        restore(tmp_path / "to", tmp_path / "back")
    assert "a_R1.png" in str(refused.value)
    assert not (tmp_path / "back").exists()
    told = restore(tmp_path / "to", tmp_path / "back", salvage=True)
    assert set(told.lost) == {"organized/test/images/a_R1.png", "organized/test/images/a_R2.png"}
    whole = contents(out)
    assert contents(tmp_path / "back") == {name: whole[name] for name in whole if name not in told.lost}


def test_every_single_byte_of_a_backup_that_is_flipped_is_noticed(out, tmp_path):
    backup(out, tmp_path / "to")
    there = contents(out)
    for path in sorted((tmp_path / "to" / vault.FOLDER).rglob("*.*")):
        data = path.read_bytes()
        for place in range(0, len(data), max(1, len(data) // 12)):
            path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
            try:
                restore(tmp_path / "to", tmp_path / "back")
            except StoreError:
                assert not (tmp_path / "back").exists()
            else:  # a word of the head that says nothing of the files, such as when it was made
                assert path.parent.name == "heads"
                assert contents(tmp_path / "back") == there
                shutil.rmtree(tmp_path / "back")
        path.write_bytes(data)


def test_nothing_is_overwritten(out, tmp_path):
    backup(out, tmp_path / "to")
    with pytest.raises(UsageError, match="not empty"):
        restore(tmp_path / "to", out)


def test_a_dry_run_verifies_all_and_writes_nothing(out, tmp_path):
    backup(out, tmp_path / "to")
    before = sorted(tmp_path.rglob("*"))
    assert not restore(tmp_path / "to", tmp_path / "back", dry_run=True).done
    assert not backup(out, tmp_path / "other", dry_run=True).done
    assert sorted(tmp_path.rglob("*")) == before


def test_a_backup_within_what_it_keeps_is_refused(out):
    with pytest.raises(UsageError, match="is no backup"):
        backup(out, out / "backup")


def test_nothing_to_keep_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="nothing to back up"):
        backup(tmp_path / "nowhere", tmp_path / "to")


def test_older_backups_go_with_what_they_alone_need(out, tmp_path):
    picture = out / "organized/test/images/a_R3.png"
    files.write_atomic(picture, b"\x89PNG another")
    backup(out, tmp_path / "to")
    picture.unlink()
    files.write_atomic(out / "organized/test/images/a_R4.png", b"\x89PNG a third")
    for _ in range(2):
        told = backup(out, tmp_path / "to", keep=2)
    assert told.kept == 2
    there = contents(out)
    restore(tmp_path / "to", tmp_path / "back")
    assert contents(tmp_path / "back") == there
    listing = FolderVault(tmp_path / "to").listing()
    needed = {key for head in backups.heads(FolderVault(tmp_path / "to"), listing) for key in head.keys}
    assert {key for key in listing if not key.startswith("heads/")} == needed


@pytest.fixture
def remote(monkeypatch) -> ObjectVault:
    kept = ObjectVault(MemoryStore())
    monkeypatch.setattr(vault, "opened", lambda address: kept)
    return kept


def plain(remote: ObjectVault) -> bytes:
    return b"".join(remote.get(key) or b"" for key in remote.listing())


def test_the_private_part_never_goes_to_a_remote_in_clear_and_that_is_said(out, tmp_path, remote):
    told = backup(out, "far:away")
    assert told.private_left_out == 1
    assert "NOT backed up: 1 private file" in told.notes[0]
    back = restore("far:away", tmp_path / "back")
    assert {name.partition("/")[0] for name in contents(tmp_path / "back")} == {
        "feedback", "reviews", "models", "organized", "logs",
    }  # fmt: skip
    assert any("no OUT/private" in note for note in back.notes)


def test_an_encrypted_backup_in_a_remote_holds_the_private_part_and_opens_with_its_key_alone(out, tmp_path, remote):
    secret, other = (pyrage.x25519.Identity.generate() for _ in range(2))
    for name, key in (("key", secret), ("other", other)):
        files.write_atomic(tmp_path / name, str(key).encode(), mode=0o600)
    told = backup(out, "far:away", encrypt_to=(str(secret.to_public()),))
    assert (told.encrypted, told.private_left_out) == (True, 0)
    assert b"private/key" not in plain(remote)
    assert b"image_id" not in plain(remote)
    assert all(key.endswith(".age") for key in remote.listing() if not key.startswith("heads/"))
    with pytest.raises(StoreError, match="--identity"):
        restore("far:away", tmp_path / "back")
    with pytest.raises(StoreError, match="does not open"):
        restore("far:away", tmp_path / "back", identity=tmp_path / "other")
    restore("far:away", tmp_path / "back", identity=tmp_path / "key")
    assert contents(tmp_path / "back") == contents(out)
    assert backup(tmp_path / "back", "far:away", encrypt_to=(str(secret.to_public()),)).new_files == 2  # the log


def test_a_secret_key_that_others_can_read_is_refused(out, tmp_path):
    backup(out, tmp_path / "to")
    key = tmp_path / "key"
    key.write_text(str(pyrage.x25519.Identity.generate()))
    key.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        restore(tmp_path / "to", tmp_path / "back", identity=key)
    with pytest.raises(UsageError, match="not a public key"):
        backup(out, tmp_path / "to", encrypt_to=("age1wrong",))


KILLED = """
import os, signal, sys
from pathlib import Path
from radloop.options import Backup, Restore
from radloop.pipelines import backing_up, restoring
left = int(sys.argv[1])
def watch(event, arguments):
    global left
    writes = event in ("os.rename", "os.remove", "os.mkdir", "os.link", "os.chmod")
    writes |= event == "open" and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if writes:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
if sys.argv[2] == "backup":
    backing_up.backup(Backup(out=Path(sys.argv[3]), to=sys.argv[4], keep=1))
else:
    restoring.restore(Restore(out=Path(sys.argv[3]), from_=sys.argv[4]))
"""


def killed(after: int, what: str, out: Path, to: Path) -> bool:
    """Whether it was killed at the so many-th call that writes; False: it ended before."""
    script = [sys.executable, "-c", KILLED, str(after), what, str(out), str(to)]
    source = str(Path(__file__).parent.parent / "src")
    done = subprocess.run(script, env=os.environ | {"PYTHONPATH": source}, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def test_lines_that_a_log_gets_while_it_is_backed_up_come_with_the_next_backup(out, tmp_path, monkeypatch):
    log = audit_log.AuditLog(out / "reviews/.audit", "radloop dashboard")
    log.record("review", "before")
    scan = scanning.scan

    def meanwhile(options: Backup, work: Path) -> scanning.Scan:
        found = scan(options, work)
        for number in range(12):
            log.record("review", f"meanwhile {number}")
        return found

    monkeypatch.setattr(scanning, "scan", meanwhile)
    backup(out, tmp_path / "to")
    restore(tmp_path / "to", tmp_path / "back")
    told = audit_lines.verify(tmp_path / "back/reviews/.audit")
    assert told.faults == ()
    assert told.lines[-1].subject == "before"


@pytest.mark.slow
def test_a_backup_killed_at_any_write_leaves_the_last_one_readable_and_the_next_one_whole(out, tmp_path):
    backup(out, tmp_path / "first")
    before = contents(out)
    files.write_atomic(out / "feedback/c.json", b'{"image_id": "c"}')
    after = contents(out)
    point, step = 1, 3
    while True:
        to = tmp_path / f"to{point}"
        shutil.copytree(tmp_path / "first", to)
        shutil.rmtree(out / "private/backup", ignore_errors=True)
        was_killed = killed(point, "backup", out, to)
        restore(to, tmp_path / "back")
        assert contents(tmp_path / "back") in ((before, after) if was_killed else (after,))
        shutil.rmtree(tmp_path / "back")
        backup(out, to, keep=1)
        restore(to, tmp_path / "back")
        assert contents(tmp_path / "back") == after
        shutil.rmtree(tmp_path / "back")
        shutil.rmtree(to)
        if not was_killed:
            break
        point += step
    assert point > 20


@pytest.mark.slow
def test_a_restore_killed_at_any_write_leaves_nothing_or_all(out, tmp_path):
    backup(out, tmp_path / "to")
    there, back, point = contents(out), tmp_path / "back", 1
    while killed(point, "restore", back, tmp_path / "to"):
        if back.exists():
            assert contents(back) == there
            shutil.rmtree(back)
        point += 4
    assert contents(back) == there
    assert point > 20
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("loop") / "data"
    small_loop.run(out)
    return out


def test_what_was_forgotten_after_a_backup_does_not_come_back_with_it(loop, tmp_path):
    out = shutil.copytree(loop, tmp_path / "data", symlinks=True)
    shutil.move(out / "store", tmp_path / "store")
    store = str(tmp_path / "store")
    backup(out, tmp_path / "to", store=store)
    image = next((out / "feedback").glob("*.json")).name.partition(".")[0]
    forgetting.forget(Forget(asked=image, out=out, store=store))
    told = restore(tmp_path / "to", tmp_path / "back", store=store)
    assert told.forgotten == 1
    assert not [path for path in (tmp_path / "back").rglob("*") if image in path.name and "films" not in path.parts]
    assert tombstones.forgotten(tombstones.read(tmp_path / "back"), [image])
    assert checking.check(str(tmp_path / "back"), jobs=1).violations.is_empty()


def test_what_a_later_backup_knows_as_forgotten_does_not_come_back_with_an_earlier_one(loop, tmp_path):
    out = shutil.copytree(loop, tmp_path / "data", symlinks=True)
    first = backup(out, tmp_path / "to")
    image = next((out / "feedback").glob("*.json")).name.partition(".")[0]
    forgetting.forget(Forget(asked=image, out=out))
    backup(out, tmp_path / "to")
    shutil.rmtree(out)
    told = restore(tmp_path / "to", out, backup=first.backup)
    assert told.forgotten == 1
    assert not [path for path in out.rglob("*") if image in path.name and "films" not in path.parts]


def test_the_command_prints_one_object(out, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["backup", str(tmp_path / "to"), "--out", str(out), "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["files"] == 8

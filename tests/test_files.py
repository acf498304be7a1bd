"""Writing that leaves the old file or the new, switching trees, and the lock."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from radloop import files
from radloop.errors import BusyError


def tree(root: Path, **texts: str) -> Path:
    root.mkdir()
    for name, text in texts.items():
        (root / name).write_text(text)
    return root


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refuse(number: int) -> object:
    def call(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("durable", [False, True])
def test_atomic_write_makes_its_folder_and_leaves_nothing_beside_the_file(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "new" / "a.json"
    files.write_atomic(path, b"one", durable=durable)
    files.write_atomic(path, b"two", durable=durable)
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["a.json"]


def test_failed_atomic_write_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, b"old")
    monkeypatch.setattr(os, "replace", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_what_a_killed_writer_left_is_used_again(tmp_path: Path) -> None:
    (tmp_path / ".a.json.tmp").write_bytes(b"longer than what is written now")
    files.write_atomic(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


def test_many_writers_of_one_file_leave_the_whole_of_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    texts = [bytes([number]) * 100_000 for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda data: files.write_atomic(path, data), texts * 5))
    assert path.read_bytes() in texts
    assert names(tmp_path) == ["a.json"]


def test_link_is_the_same_file(tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(b"picture")
    assert files.link_or_copy(source, target)
    assert os.path.samefile(source, target)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_what_cannot_be_linked_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(b"picture")
    monkeypatch.setattr(os, "link", refuse(number))
    assert not files.link_or_copy(source, target)
    assert target.read_bytes() == b"picture"


def test_a_name_that_is_taken_is_never_overwritten(tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(b"picture")
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        files.link_or_copy(source, target)
    assert target.read_bytes() == b"mine"


def test_exchange_swaps_two_folders(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "first", a="1"), tree(tmp_path / "second", b="2")
    files.exchange(first, second)
    assert (names(first), names(second)) == (["b"], ["a"])


def test_exchange_with_a_missing_name_is_an_error_that_names_both(tmp_path: Path) -> None:
    first = tree(tmp_path / "first", a="1")
    with pytest.raises(FileNotFoundError) as failed:
        files.exchange(first, tmp_path / "second")
    assert failed.value.filename == str(first)
    assert failed.value.filename2 == str(tmp_path / "second")


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("replaces", [True, False])
def test_replaced_tree_is_the_new_one_and_the_old_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool, replaces: bool
) -> None:
    if replaces:
        tree(tmp_path / "current", old="1")
    if not can_exchange:
        monkeypatch.setattr(files, "exchange", refuse(errno.EINVAL))
    files.replace_tree(tree(tmp_path / "new", fresh="2"), tmp_path / "current")
    assert names(tmp_path) == ["current"]
    assert names(tmp_path / "current") == ["fresh"]


def test_refused_exchange_leaves_both_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current, new = tree(tmp_path / "current", old="1"), tree(tmp_path / "new", fresh="2")
    monkeypatch.setattr(files, "exchange", refuse(errno.EACCES))
    with pytest.raises(PermissionError):
        files.replace_tree(new, current)
    assert names(current) == ["old"]
    assert names(new) == ["fresh"]


def test_kill_between_the_two_renames_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current, new = tree(tmp_path / "current", old="1"), tree(tmp_path / "new", fresh="2")
    rename = os.rename
    monkeypatch.setattr(files, "exchange", refuse(errno.ENOSYS))

    def rename_once(source: Path, target: Path) -> None:
        if source == new:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_once)
    with pytest.raises(KeyboardInterrupt):
        files.replace_tree(new, current)
    monkeypatch.undo()
    assert not current.exists()
    files.recover_tree(current)
    assert names(current) == ["old"]


def test_kill_after_the_two_renames_leaves_the_new_tree_alone(tmp_path: Path) -> None:
    tree(tmp_path / "current", fresh="2")
    tree(tmp_path / ".current.old", old="1")
    files.recover_tree(tmp_path / "current")
    assert names(tmp_path) == ["current"]
    assert names(tmp_path / "current") == ["fresh"]


def test_nothing_to_recover_is_no_error(tmp_path: Path) -> None:
    files.recover_tree(tmp_path / "current")
    assert names(tmp_path) == []


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds `folder` until its stdin is closed."""
    code = "import sys; from pathlib import Path; from radloop import files\n"
    code += "with files.locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_of_several_who_write_a_new_file_the_firsts_stays(tmp_path: Path) -> None:
    files.write_new(tmp_path / "key", b"first", mode=0o600)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: files.write_new(tmp_path / "key", b"later%d" % number), range(8)))
    assert (tmp_path / "key").read_bytes() == b"first"
    assert (tmp_path / "key").stat().st_mode & files.OTHERS == 0
    assert os.listdir(tmp_path) == ["key"]


def test_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with holder(out) as process, pytest.raises(BusyError, match=f"process {process.pid}"), files.locked(out):
        pass
    with files.locked(out):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    with files.locked(tmp_path):
        pass


def test_lock_ends_with_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.locked(tmp_path):
        raise ZeroDivisionError
    with files.locked(tmp_path):
        pass

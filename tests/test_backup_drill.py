"""The restore drill of docs/backup.md, by its own commands: machine lost, a new one, the loop goes on."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import small_loop
from radloop.catalog import version
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.feedback import logged

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "backup.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Those of the drill, as the page has them."""
    block = re.search(r"<!-- the drill.*?-->\n```\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return [line for line in block[1].splitlines() if line.startswith("radloop ")]


def run(command: str, place: Path) -> str:
    words = shlex.split(command.replace("/mnt/backup", str(place / "backup")))
    done = subprocess.run(
        [sys.executable, "-m", "radloop.cli", *words[1:]],
        cwd=place / "machine",
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def said(out: Path) -> dict[str, bytes]:
    """All that people and detectors said, and the key."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for name in ("feedback", "reviews", "private")
        for path in (out / name).rglob("*")
        if path.is_file() and not {"backup", logged.FOLDER} & set(path.parts)
    }


@pytest.mark.slow
def test_a_lost_machine_comes_back_by_the_commands_of_the_page_and_nothing_is_lost(tmp_path):
    out = tmp_path / "machine" / "data"
    out.mkdir(parents=True)
    small_loop.run(out)
    keyed = Pseudonyms.open(out)
    first, *others = commands()
    assert [shlex.split(one)[1] for one in others[:2]] == ["restore", "check"]
    assert [shlex.split(one)[1] for one in others][-2:] == ["retrain", "backup"]
    run(first, tmp_path)
    before, was, pseudonym = said(out), version.read(out / "organized"), keyed.patient("4711")
    shutil.rmtree(tmp_path / "machine")
    (tmp_path / "machine").mkdir()
    run(others[0], tmp_path)
    assert said(out) == before
    now = version.read(out / "organized")
    assert (now.id, now.summary, now.memory.equals(was.memory)) == (was.id, was.summary, True)
    assert Pseudonyms.open(out).patient("4711") == pseudonym
    for command in others[1:]:
        run(command, tmp_path)
    assert before.items() <= said(out).items()
    assert len(said(out)) > len(before)

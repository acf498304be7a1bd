"""The pages by which a stranger comes in say what is there: the house, the glossary, how to contribute."""

import re
from pathlib import Path
from typing import get_args

import pytest

from radloop.catalog import rounds
from radloop.feedback.reviews import Verdict
from radloop.words import INCOMING, SPLITS, Boxes, Exit

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "radloop"
HOUSE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
PATH = re.compile(r"`([a-z_./]+(?:\.py|/))`")
BANISHED = ("made-up", "feedbacks", "how-manieth", "cannot be meant", "cannot be had")  # the field has other words


def rooms():
    """What the house must show: every package, every module at its top, every flow."""
    packages = {f"{path.parent.relative_to(SOURCE)}/" for path in SOURCE.rglob("__init__.py")} - {"./"}
    flows = {path.relative_to(SOURCE) for path in (*SOURCE.glob("*.py"), *SOURCE.glob("pipelines/*.py"))}
    return packages | {path.as_posix() for path in flows if path.name != "__init__.py"}


def test_house_shows_every_room_and_every_flow_and_none_that_is_not_there():
    assert rooms() - set(PATH.findall(HOUSE)) == set()
    assert [path for path in PATH.findall(HOUSE) if not (SOURCE / path).exists()] == []


def test_whoever_contributes_is_sent_to_places_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:src|docs|tests)/[\w./-]*)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("word", [*SPLITS, INCOMING, *get_args(Verdict), *rounds.FATES, *get_args(Boxes)[1:]])
def test_glossary_has_every_fixed_word(word):
    assert f"`{word}`" in GLOSSARY


def test_glossary_has_every_exit_code():
    (line,) = [line for line in GLOSSARY.splitlines() if line.startswith("Exit codes:")]
    assert [int(code) for code in re.findall(r"\b\d\b", line)] == list(Exit)


@pytest.mark.parametrize("word", BANISHED)
def test_word_that_is_not_the_fields_is_used_nowhere(word):
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *SOURCE.rglob("*.py")]
    used = [path.name for path in pages if path.name != "CHANGELOG.md" and word in path.read_text(encoding="utf-8")]
    assert used == []

"""What a terminal gets of texts that somebody else wrote."""

import json
import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop import cli, display, visible
from radloop.display import Grid, Summary
from radloop.errors import DatasetError
from radloop.simulation.journal import Journal

EVIL = "\x1b[2J\x1b]0;owned\x07 \r\x9b31m\u202egnp.exe\u2066\u2028\n\udcff\U000e0041 é 漢字"
IN_JSON = EVIL.replace("\udcff", "\ufffd")  # half of a character is no JSON
ANY = st.text(st.characters(codec=None))


def obeyed(text):
    """What of a text a terminal would do, rather than show."""
    turns = {"RLO", "LRO", "RLE", "LRE", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return {
        one
        for one in text
        if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(one) in turns
    } - {"\n"}


@given(ANY)
def test_any_text_is_one_line_that_nothing_in_it_can_move(text):
    shown = visible.line(text)
    assert len(shown.splitlines()) <= 1
    assert not obeyed(shown)
    assert isinstance(shown.encode(), bytes)
    assert visible.line(shown) == shown


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner), max_leaves=5))
def test_json_says_the_same_and_moves_nothing(value):
    document = json.dumps(value, indent=2, ensure_ascii=False)
    shown = visible.in_json(document)
    assert json.loads(shown) == json.loads(re.sub("[\ud800-\udfff]", "\ufffd", document))
    assert not obeyed(shown)
    assert isinstance(shown.encode(), bytes)


def test_letters_of_any_language_stay_as_they_are():
    for text in ("Größe é", "漢字かな", "می\u200cخواهم", "עברית", "क्\u200dष", "👩\u200d⚕️"):
        assert visible.line(text) == text


def test_every_part_of_a_summary_is_shown_and_not_obeyed(capsys):
    summary = Summary(
        EVIL,
        facts=((EVIL, EVIL),),
        lines=(EVIL,),
        grids=(Grid(EVIL, ((EVIL, EVIL), (EVIL, EVIL))),),
        notes=(EVIL,),
        following=(EVIL,),
    )
    display.print_summary(summary)
    said = capsys.readouterr().out
    assert not obeyed(said)
    assert "漢字" in said
    display.print_json({EVIL: [EVIL]})
    said = capsys.readouterr().out
    assert not obeyed(said)
    assert json.loads(said) == {IN_JSON: [IN_JSON]}


def test_progress_in_a_log_is_one_line(capsys):
    with display.Display() as shown:
        shown(f"waiting: {EVIL}", 1, 1)
    said = capsys.readouterr().err
    assert not obeyed(said)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("error", [DatasetError(EVIL), OSError(2, EVIL, EVIL)], ids=["radloop's", "the system's"])
def test_an_error_that_ends_a_command_is_one_line(monkeypatch, capsys, error):
    def failing(**named):
        raise error

    monkeypatch.setattr(cli, "app", failing)
    with pytest.raises(SystemExit):
        cli.main([])
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert not obeyed(said)


def test_wrong_words_of_a_command_and_names_of_files_are_shown(tmp_path):
    for words in (
        ["che\x1b[2Jck"],
        ["check", "nowhere\x1b[2J\udcff"],
        ["explain", "a\x9b\u202e", "--out", str(tmp_path)],
    ):
        done = subprocess.run([sys.executable, "-m", "radloop.cli", *words], capture_output=True, check=False)
        said = done.stderr.decode()
        assert done.returncode in (1, 2)
        assert "Traceback" not in said
        assert not obeyed(said)


def test_the_log_of_a_run_is_lines_of_json_that_move_nothing(tmp_path):
    with Journal(tmp_path / "log", "run") as journal:
        journal.write("failed", message=EVIL)
    (written,) = (tmp_path / "log").read_text().splitlines()
    assert not obeyed(written)
    assert json.loads(written)["message"] == IN_JSON

"""The command line: exit status, one line for an error, one object with --json."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import made_up
from radloop import cli, options

SIZES = "training=20,validation=4,test=4,staging=4,canary=4,production=4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_up.films(tmp_path_factory.mktemp("films"))


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_etl_prints_one_json_object_and_exits_0(folder, tmp_path, capsys):
    status = run("etl", "--source", folder, "--out", tmp_path, "--sizes", SIZES, "--json")

    printed = json.loads(capsys.readouterr().out)
    assert status == 0
    assert printed["transformed"]["images"]["training"] == 20
    assert printed["published"]["version"] == printed["transformed"]["version"]


def test_summary_says_rows_splits_and_where_to_go_on(folder, tmp_path, capsys):
    run("etl", "--source", folder, "--out", tmp_path, "--sizes", SIZES)

    printed = capsys.readouterr().out
    assert "0 refused" in printed
    assert "production" in printed
    assert "radloop check" in printed


def test_check_exits_1_where_a_label_was_changed(folder, tmp_path, capsys):
    run("etl", "--source", folder, "--out", tmp_path, "--sizes", SIZES)
    assert run("check", tmp_path) == 0

    next((tmp_path / "organized" / "training" / "labels").iterdir()).write_text("3 0.5 0.5 2 2\n")
    capsys.readouterr()
    assert run("check", tmp_path, "--json") == 1
    rules = {violation["rule"] for violation in json.loads(capsys.readouterr().out)["violations"]}
    assert "file-changed" in rules


def test_strict_exits_3_where_rows_were_refused(folder, tmp_path):
    made_up.write_rows(folder, [*made_up.rows(folder), made_up.rows(folder)[0]])
    assert run("etl", "--source", folder, "--out", tmp_path, "--sizes", SIZES) == 0
    assert run("transform", "--out", tmp_path, "--sizes", SIZES, "--strict") == 3


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        pytest.param(["extract"], 2, "--source", id="no source"),
        pytest.param(["extract", "--source", "synthetic:many"], 2, "synthetic:600", id="no number"),
        pytest.param(["extract", "--source", "/does/not/exist"], 1, "/does/not/exist", id="no such folder"),
        pytest.param(["transform", "--labels", "best"], 2, "--labels", id="unknown choice"),
        pytest.param(["transform", "--sizes", "training=1"], 2, "--sizes", id="sizes incomplete"),
        pytest.param(["transform"], 1, "radloop extract", id="nothing extracted"),
        pytest.param(["load"], 1, "radloop transform", id="nothing transformed"),
        pytest.param(["check", "/does/not/exist"], 1, "/does/not/exist", id="check nothing"),
        pytest.param(["pull", "--store", "/does/not/exist"], 1, "/does/not/exist", id="pull from nothing"),
        pytest.param(["pull", "--splits", "trainig"], 2, "--splits", id="split misspelt"),
        pytest.param(["trasform"], 2, "Did you mean 'transform'? See radloop --help.", id="command misspelt"),
        pytest.param(["load", "--sotre", "x"], 2, "Did you mean --store? See radloop load --help.", id="flag misspelt"),
        pytest.param(["load", "--qqq"], 2, "No such option: --qqq. See radloop load --help.", id="no such flag"),
        pytest.param(["explain"], 2, "IMAGE_ID|FEEDBACK_ID", id="no argument"),
        pytest.param(["load", "--store"], 2, "'--store' requires an argument", id="flag without its value"),
        pytest.param(["load", "x"], 2, "unexpected extra argument", id="one word too many"),
    ],
)
def test_error_is_one_line_that_names_the_thing_and_the_way_out(
    arguments, status, sentence, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == status

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("radloop: ")
    assert printed.err.count("\n") == 1
    assert sentence in printed.err


def test_environment_is_read_where_no_flag_is_given(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RADLOOP_OUT", str(tmp_path))
    monkeypatch.setenv("RADLOOP_SOURCE", str(folder))
    assert run("extract", "--json") == 0
    assert json.loads(capsys.readouterr().out)["annotations"] == str(folder / "train.csv")
    monkeypatch.setenv("RADLOOP_SOURCE", "kaggle")
    assert run("extract", "--source", folder, "--json") == 0


def test_bad_environment_variable_is_named(monkeypatch, capsys):
    monkeypatch.setenv("RADLOOP_JOBS", "several")
    assert run("transform") == 2
    assert "RADLOOP_JOBS" in capsys.readouterr().err


COMMANDS = cli.app.registered_commands


def test_help_lists_every_command_in_its_group_with_a_whole_sentence_on_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("--help") == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    groups = [part.partition(":\n") for part in printed.split("\n\n") if part.partition(":")[0] in get_args(cli.Group)]
    assert tuple(title for title, _, _ in groups) == get_args(cli.Group)
    listed = {line.split()[0]: (title, line) for title, _, lines in groups for line in lines.splitlines()}
    assert listed.keys() == {step.__name__.lower() for step in options.STEPS}
    for command in COMMANDS:
        title, line = listed[command.name]
        assert title == cli.group_of(command)
        assert line.endswith(f"  {command.short_help}")
        assert command.help.startswith(command.short_help[:-1])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_of_a_command_begins_with_the_sentence_of_the_list(command):
    assert command.short_help[0].isupper()
    assert command.short_help.endswith(".")
    assert command.help[-1] in ".)"


def test_nothing_said_is_answered_with_the_help_and_exit_2(capsys):
    assert run() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Data:" in printed.err


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["etl", "--help"], id="help of a command"),
        pytest.param(["etl", "--sorce", "x"], id="misspelt"),
    ],
)
def test_help_loads_nothing_heavy(words):
    heavy = ("polars", "numpy", "scipy", "rich", "PIL", "yaml", "radloop.pipelines", "radloop.api")
    code = (
        "import atexit, sys; from radloop import cli; "
        f"atexit.register(lambda: print('loaded', *[name for name in {heavy} if name in sys.modules])); "
        f"cli.main({words})"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.splitlines()[-1] == "loaded"
    assert "\x1b" not in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        pytest.param(["tr"], ["transform"], id="command"),
        pytest.param(["load", "--st"], ["--store"], id="flag"),
        pytest.param(["extract", "--format", "c"], ["csv", "coco", "cvat"], id="choice"),
        pytest.param(["pull", "--splits", "test,st"], ["test,staging"], id="the last of several"),
        pytest.param(["extract", "--source", ""], [], id="files are the shell's"),
    ],
)
def test_bash_completes_commands_flags_and_choices(words, completions, bash):
    ask = 'eval "$1"; shift; COMP_WORDS=(radloop "$@") COMP_CWORD=$#; _radloop_completion radloop; echo ${COMPREPLY[@]}'
    assert bash(ask, bash("radloop --show-completion"), *words).split() == completions


@pytest.fixture(scope="module")
def bash():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    @functools.cache
    def run_in_bash(script: str, *arguments: str) -> str:
        command = ["bash", "-c", script, "bash", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | {"PATH": path}
        ).stdout

    return run_in_bash

"""The command line: exit status, one line for an error, one object with --json."""

import json

import pytest

import made_up
from radloop import cli

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

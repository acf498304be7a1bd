"""radloop from Python: the same work as the command line, without its environment; light to import, typed."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import made_up
import radloop
from radloop import cli, settings
from radloop.api import given, steps
from radloop.errors import UsageError

ROOT = Path(__file__).parent.parent
SIZES = "training=20,validation=4,test=4,staging=4,canary=4,production=4"
STEPS = {"etl": "Etl", "extract": "Extract", "transform": "Transform", "load": "Load", "pull": "Pull"}
STEPS |= {"simulate": "Simulate", "review": "Review", "retrain": "Retrain", "evaluate": "Evaluate", "export": "Export"}
STEPS |= {"import_reviews": "Import", "versions": "Versions", "rollback": "Rollback", "prune": "Prune"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_up.films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def out(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    radloop.etl(source=folder, out=out, sizes=SIZES, jobs=1)
    return out


def test_import_loads_nothing_but_the_front_door():
    code = "import sys; before = {*sys.modules}; import radloop; print(*{*sys.modules} - before)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = told.stdout.split()
    assert [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names] == ["radloop"]


def test_every_name_that_is_offered_is_there_and_listed():
    assert {name: getattr(radloop, name).__name__.rpartition(".")[2] for name in radloop.__all__} == {
        name: "open_dataset" if name == "open" else name for name in radloop.__all__
    }
    assert {*radloop.__all__, "__version__"} <= {*dir(radloop)}
    assert radloop.etl is steps.etl
    assert not hasattr(radloop, "nothing_of_ours")


@pytest.mark.parametrize("name", STEPS)
def test_help_of_a_step_names_every_option_that_has_a_flag(name):
    step = getattr(radloop.options, STEPS[name])
    flags = {setting.name for setting in settings.of(step) if setting.flag or setting.about.argument} - {"json"}
    assert {*inspect.signature(getattr(radloop, name)).parameters} == {"options", "progress", *flags}


def test_command_line_and_api_give_the_same_version(folder, out, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["etl", "--source", str(folder), "--out", str(tmp_path / "cli"), "--sizes", SIZES, "--json"])
    printed = json.loads(capsys.readouterr().out)["transformed"]["version"]

    assert radloop.open(out).version == printed
    chosen = radloop.options.Transform(out=out, sizes=radloop.SplitSizes.parse(SIZES), jobs=1)
    again = radloop.transform(chosen)
    assert (again.version, again.written) == (printed, False)
    assert radloop.transform(chosen, labels="consensus", dry_run=True).version != printed


def test_environment_is_not_read(out, monkeypatch):
    monkeypatch.setenv("RADLOOP_OUT", "/does/not/exist")
    monkeypatch.setenv("RADLOOP_LABELS", "consensus")
    monkeypatch.setenv("RADLOOP_MAX_REFUSED", "nonsense")
    monkeypatch.setenv("RCLONE_CONTAINER", "somewhere")
    again = radloop.transform(out=out, sizes=SIZES, jobs=1)
    assert (again.organized, again.written) == (out / "organized", False)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        pytest.param(
            {"min_readers": 99}, "min_readers: '99' cannot be used: it has to be a whole number from 1", id="range"
        ),
        pytest.param({"jobs": 1.5}, "jobs: '1.5' cannot be used", id="no whole number"),
        pytest.param({"jobs": True}, "jobs: 'true' cannot be used", id="a truth for a number"),
        pytest.param({"labels": "best"}, "labels: 'best' cannot be used: it has to be per-reader or", id="choice"),
        pytest.param({"fresh": "perhaps"}, "fresh: 'perhaps' cannot be used: it has to be true or", id="truth"),
        pytest.param({"seed": None}, "seed: 'None' cannot be used", id="nothing where something is asked for"),
        pytest.param({"out": 3}, "out: '3' cannot be used: it has to be a path", id="path"),
        pytest.param({"store": 3}, "store: '3' cannot be used: it has to be a text", id="text"),
        pytest.param({"map": 3}, "map: '3' cannot be used: it has to be a list of texts", id="list"),
        pytest.param({"map": {"a": "b"}}, "it has to be a list of texts", id="mapping"),
        pytest.param({"map": [None]}, "map: 'None' cannot be used", id="list of nothing"),
        pytest.param({"sizes": "training=1"}, "sizes: 'training=1' lacks validation", id="sizes"),
        pytest.param({"lables": "consensus"}, "'lables' of transform: did you mean labels?", id="misspelt"),
        pytest.param({"quux": 1}, "unknown option 'quux' of transform: they are out, store", id="unknown"),
    ],
)
def test_wrong_value_is_the_error_that_a_flag_gets(keywords, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        radloop.transform(**keywords)


def test_wrong_value_in_the_options_is_found_too():
    chosen = replace(radloop.options.Transform(), min_readers=99)
    with pytest.raises(UsageError, match="min_readers"):
        radloop.transform(chosen)
    with pytest.raises(UsageError, match=re.escape("give a radloop.options.Transform, or keywords")):
        radloop.transform(radloop.options.Load())


def test_what_has_to_be_given_is_missed_by_name():
    with pytest.raises(UsageError, match="source is missing"):
        radloop.etl(out="nowhere")


def test_keyword_wins_over_the_options_and_texts_and_lists_mean_what_flags_mean():
    base = radloop.options.Simulate(splits=("test",), seed=3)
    chosen = given.checked(radloop.options.Simulate, base, {"splits": ["canary", "test"], "out": "here", "seed": "4"})
    assert (chosen.splits, chosen.out, chosen.seed) == (("canary", "test"), Path("here"), 4)
    assert given.checked(radloop.options.Simulate, base, {"splits": "canary,test"}).splits == ("canary", "test")
    assert given.checked(radloop.options.Retrain, None, {"wait": "90s"}).wait.seconds == 90


def test_progress_is_silent_told_to_a_function_or_shown(out, capsys):
    heard = []
    radloop.load(out=out, store=out / "silent", jobs=1)
    assert capsys.readouterr() == ("", "")

    radloop.load(out=out, store=out / "heard", jobs=1, progress=lambda what, *_: heard.append(what))
    assert heard
    assert capsys.readouterr() == ("", "")

    radloop.load(out=out, store=out / "shown", jobs=1, progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert heard[-1] in printed.err


@pytest.mark.slow
def test_script_without_a_guard_is_not_run_again_in_the_processes_that_it_asks_for(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import radloop\n"
        f"done = radloop.etl(source='synthetic:40', out='data', sizes='{SIZES}', jobs=2)\n"
        "print(done.transformed.images['training'])\n"
    )
    told = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (told.stdout, told.stderr) == ("20\n", "")


USER = """
import radloop
from radloop.options import Etl

radloop.etl(source="a", out="b", splits=1)  # wrong
radloop.etl(out="b")  # wrong
radloop.etl(source="a", labels="best", sizes=3)  # wrong
radloop.nothing  # wrong
reveal_type(radloop.etl(source="a", sizes="training=1", store=None, map=["a=b"]).published.version)
reveal_type(radloop.etl(source="a", dry_run=True))
reveal_type(radloop.etl(source="a", dry_run=bool(1)))
reveal_type(radloop.etl(Etl(source="a")))
reveal_type(radloop.transform(out="x"))
reveal_type(radloop.review(queue=True))
reveal_type(radloop.open("x").annotations)
reveal_type(radloop.open("x").image("a").boxes[0].xyxy_px)
"""


@pytest.mark.slow
def test_type_checker_knows_keywords_and_records(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(tmp_path / "user.py")]
    told = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"MYPYPATH": str(ROOT / "src"), "NO_COLOR": "1"}
    )
    errors = {USER.splitlines()[int(line) - 1] for line in re.findall(r"user.py:(\d+): error", told.stdout)}
    assert errors == {line for line in USER.splitlines() if line.endswith("# wrong")}
    kinds = [
        re.sub(r"[a-z_]+\.", "", kind) for kind in re.findall(r'user.py:.* note: Revealed type is "(.+)"', told.stdout)
    ]
    assert kinds == [
        "str",
        "EtlPreview",
        "Loaded | EtlPreview",
        "Loaded | EtlPreview",
        "Transformed",
        "Queued",
        "DataFrame",
        "tuple[float, float, float, float]",
    ]

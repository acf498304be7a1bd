"""How the dashboard is started, and what it is told."""

import importlib.util
import runpy
import tomllib
from pathlib import Path

import pytest
from streamlit import runtime

from radloop import cli
from radloop.dashboard import app, launch
from radloop.dashboard.inputs import Inputs
from radloop.errors import UsageError

ROOT = Path(__file__).parent.parent
OTHER = ROOT / "data-pipeline" / "streamlit-dashboard" / "data_dashboard.py"
CONFIG = launch.SCRIPT.parent / ".streamlit" / "config.toml"


def test_inputs_survive_the_command_line():
    inputs = Inputs(dataset=Path("--odd name"), reviews=Path("r"), log=Path("/l"), seed=7)
    assert Inputs.parse(inputs.arguments()) == inputs


def test_default_is_used_where_nothing_was_said():
    assert Inputs.parse(["--feedback=f"], feedback=Path("x"), log=Path("l"), seed=3) == Inputs(
        feedback=Path("f"), log=Path("l"), seed=3
    )


def test_server_listens_where_it_is_told_and_shows_what_it_is_given():
    command = launch.command(Inputs(dataset=Path("d")), host="127.0.0.1", port=8501)
    assert command[-4:] == ["--server.address=127.0.0.1", "--server.port=8501", "--", "--dataset=d"]
    assert launch.SCRIPT.is_file()


@pytest.mark.parametrize(
    ("arguments", "environment", "seed"),
    [
        pytest.param([], {}, 0, id="neither"),
        pytest.param([], {"RADLOOP_SEED": "5"}, 5, id="environment"),
        pytest.param(["--seed", "6"], {"RADLOOP_SEED": "5"}, 6, id="flag"),
    ],
)
def test_server_is_given_the_seed_of_the_setting(arguments, environment, seed, monkeypatch):
    served = []
    monkeypatch.setattr(launch, "serve", lambda inputs, **_: served.append(inputs))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["dashboard", *arguments])
    assert [inputs.seed for inputs in served] == [seed]


@pytest.mark.parametrize("script", [launch.SCRIPT, OTHER], ids=["own", "the users'"])
def test_script_that_is_imported_draws_nothing(script, monkeypatch):
    drawn = []
    monkeypatch.setattr(app, "main", drawn.append)
    monkeypatch.setattr(cli, "main", drawn.append)
    runpy.run_path(str(script), run_name="imported")
    assert drawn == []


@pytest.mark.parametrize("script", [launch.SCRIPT, OTHER], ids=["own", "the users'"])
def test_script_that_streamlit_runs_is_asked_for_what_its_arguments_say(script, monkeypatch):
    asked = []
    monkeypatch.setattr(app, "main", asked.append)
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr("sys.argv", ["main.py", "--dataset=d", "--seed=8"])
    runpy.run_path(str(script), run_name="__main__")
    assert [(inputs.dataset, inputs.seed) for inputs in asked] == [(Path("d"), 8)]


def test_other_entry_takes_the_seed_of_the_environment(monkeypatch):
    asked = []
    monkeypatch.setattr(app, "main", asked.append)
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr("sys.argv", ["data_dashboard.py"])
    monkeypatch.setenv("RADLOOP_SEED", "9")
    runpy.run_path(str(OTHER), run_name="__main__")
    assert [inputs.seed for inputs in asked] == [9]


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"radloop\[dashboard\]"):
        launch.serve(Inputs(), host="127.0.0.1", port=8501)


def test_nothing_is_told_to_outside_hosts():
    settings = tomllib.loads(CONFIG.read_text())
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["logger"]["hideWelcomeMessage"] is True
    assert settings["server"]["address"] == "127.0.0.1"


def test_other_entry_is_served_the_same_way():
    other = OTHER.parent / ".streamlit" / "config.toml"
    assert other.read_text() == CONFIG.read_text()


def test_no_page_fetches_an_icon():
    sources = [*(ROOT / "src" / "radloop" / "dashboard").rglob("*.py"), *(ROOT / "data-pipeline").rglob("*.py")]
    assert [path.name for path in sources if ":material/" in path.read_text()] == []


def test_streamlit_is_imported_by_the_dashboard_alone():
    others = [path for path in (ROOT / "src" / "radloop").rglob("*.py") if "dashboard" not in path.parts]
    assert [path.name for path in others if "import streamlit" in path.read_text()] == []

"""How the dashboard is started, and what it is told."""

import importlib.util
import runpy
import tomllib
from pathlib import Path

import pytest
from streamlit.starlette import App
from streamlit.web.server import app_discovery

from radloop import cli, settings
from radloop.dashboard import app, launch, serving
from radloop.errors import UsageError
from radloop.options import Dashboard

ROOT = Path(__file__).parent.parent
OTHER = ROOT / "data-pipeline" / "streamlit-dashboard" / "data_dashboard.py"
CONFIG = launch.SCRIPT.parent / ".streamlit" / "config.toml"


def test_inputs_survive_the_command_line():
    told = Dashboard(dataset=Path("--odd name"), reviews=Path("r"), log=Path("/l"), seed=7)
    assert settings.parse(Dashboard, settings.words(told)) == told


def test_server_is_told_what_the_command_was_whatever_the_environment_says(monkeypatch):
    told = Dashboard(out=Path("o"), dataset=Path("d"), port=9000)
    command = launch.command(told)
    flags = command[: command.index("--")]
    assert flags[-2:] == ["--server.address=127.0.0.1", "--server.port=9000"]
    assert launch.SCRIPT.is_file()
    for name in ("OUT", "DATASET", "FEEDBACK", "REVIEWS", "IMAGES", "RETRAIN", "LOG"):
        monkeypatch.setenv(f"RADLOOP_{name}", "elsewhere")
    assert settings.parse(Dashboard, command[command.index("--") + 1 :]) == told


def test_parts_lie_where_the_pipeline_leaves_them_and_were_named(tmp_path):
    told = Dashboard(out=tmp_path, retrain=tmp_path / "r.csv")
    parts = (told.dataset_folder, told.feedback_folder, told.reviews_folder, told.retrain_table, told.log_file)
    names = ("organized", "feedback", "reviews", "r.csv", "logs/online_data.log")
    assert parts == tuple(tmp_path / name for name in names)
    assert Dashboard(dataset=tmp_path).retrain_table == tmp_path / "retrain" / "retrain.csv"


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
def test_streamlit_finds_the_server_with_its_gate_in_a_script_that_serves_nothing_when_imported(script, monkeypatch):
    served = []
    monkeypatch.setattr(cli, "main", served.append)
    found = runpy.run_path(str(script), run_name="imported")["app"]
    assert (type(found), found.script_path, served) == (App, serving.PAGE, [])
    assert app_discovery.discover_asgi_app(script).app_name == "app"


def test_script_that_python_runs_is_the_command(monkeypatch):
    served = []
    monkeypatch.setattr(cli, "main", served.append)
    monkeypatch.setattr("sys.argv", ["data_dashboard.py", "--seed=8"])
    runpy.run_path(str(OTHER), run_name="__main__")
    assert served == [["dashboard", "--seed=8"]]


@pytest.mark.parametrize(
    ("arguments", "environment", "seed"),
    [pytest.param(["--seed=8"], "5", 8, id="flag"), pytest.param([], "5", 5, id="environment")],
)
def test_page_is_drawn_of_what_the_server_was_told(arguments, environment, seed, monkeypatch):
    drawn = []
    monkeypatch.setattr(app, "main", drawn.append)
    monkeypatch.setattr("sys.argv", ["main.py", "--dataset=d", *arguments])
    monkeypatch.setenv("RADLOOP_SEED", environment)
    serving.options.cache_clear()
    runpy.run_path(str(serving.PAGE), run_name="__main__")
    serving.options.cache_clear()
    assert [(inputs.dataset, inputs.seed) for inputs in drawn] == [(Path("d"), seed)]


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"radloop\[dashboard\]"):
        launch.serve(Dashboard())


def test_nothing_is_told_to_outside_hosts():
    config = tomllib.loads(CONFIG.read_text())
    assert config["browser"]["gatherUsageStats"] is False
    assert config["logger"]["hideWelcomeMessage"] is True
    assert config["server"]["address"] == "127.0.0.1"


def test_other_entry_is_served_the_same_way():
    other = OTHER.parent / ".streamlit" / "config.toml"
    assert other.read_text() == CONFIG.read_text()


def test_no_page_fetches_an_icon():
    sources = [*(ROOT / "src" / "radloop" / "dashboard").rglob("*.py"), *(ROOT / "data-pipeline").rglob("*.py")]
    assert [path.name for path in sources if ":material/" in path.read_text()] == []


def test_streamlit_is_imported_by_the_dashboard_alone():
    others = [path for path in (ROOT / "src" / "radloop").rglob("*.py") if "dashboard" not in path.parts]
    assert [path.name for path in others if "import streamlit" in path.read_text()] == []

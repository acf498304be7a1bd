"""How the dashboard is started, and what it is told."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

from radloop.dashboard import launch
from radloop.dashboard.inputs import Inputs
from radloop.errors import UsageError

ROOT = Path(__file__).parent.parent
CONFIG = launch.SCRIPT.parent / ".streamlit" / "config.toml"


def test_inputs_survive_the_command_line():
    inputs = Inputs(dataset=Path("--odd name"), reviews=Path("r"), log=Path("/l"))
    assert Inputs.parse(inputs.arguments()) == inputs


def test_default_is_used_where_nothing_was_said():
    defaults = Inputs(feedback=Path("x"), log=Path("l"))
    assert Inputs.parse(["--feedback=f"], defaults) == Inputs(feedback=Path("f"), log=Path("l"))


def test_server_listens_where_it_is_told_and_shows_what_it_is_given():
    command = launch.command(Inputs(dataset=Path("d")), host="127.0.0.1", port=8501)
    assert command[-4:] == ["--server.address=127.0.0.1", "--server.port=8501", "--", "--dataset=d"]
    assert launch.SCRIPT.is_file()


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
    other = ROOT / "data-pipeline" / "streamlit-dashboard" / ".streamlit" / "config.toml"
    assert other.read_text() == CONFIG.read_text()


def test_no_page_fetches_an_icon():
    sources = [*(ROOT / "src" / "radloop" / "dashboard").rglob("*.py"), *(ROOT / "data-pipeline").rglob("*.py")]
    assert [path.name for path in sources if ":material/" in path.read_text()] == []


def test_streamlit_is_imported_by_the_dashboard_alone():
    others = [path for path in (ROOT / "src" / "radloop").rglob("*.py") if "dashboard" not in path.parts]
    assert [path.name for path in others if "import streamlit" in path.read_text()] == []

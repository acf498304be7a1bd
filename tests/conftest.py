"""What all tests share."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import taxonomies
from tiny_unit import NEW, OLD, write_unit

# The machine may be slow and shared: an example has no deadline, and a failing one is printed to be run again.
settings.register_profile(
    "radloop", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("radloop")


def pytest_collection_modifyitems(config, items):
    """The comparisons with other people's packages (tests/peers) are run where they are asked for: `-m peers`."""
    if "peers" not in config.option.markexpr:
        items[:] = [item for item in items if not item.get_closest_marker("peers")]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("RADLOOP_", "RCLONE_", "KAGGLE_")):
            monkeypatch.delenv(name)


MAIN = sys.modules["__main__"]


@pytest.fixture(autouse=True)
def _main_module_is_ours(monkeypatch):
    """Streamlit's AppTest leaves its script as `__main__`, which a spawned worker of a later test would import."""
    monkeypatch.setitem(sys.modules, "__main__", MAIN)


@pytest.fixture(params=taxonomies.EVERY.values(), ids=taxonomies.EVERY)
def classes(request):
    """Each list of classes in turn, for tests of what does not depend on which ones they are."""
    return request.param


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A small unit to publish (`tiny_unit`), and the one that follows it: `new`."""
    return write_unit(tmp_path / "old", OLD)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """The unit that follows `old`."""
    return write_unit(tmp_path / "new", NEW)


@pytest.fixture
def csv_file(tmp_path):
    """Writes a table, and says where."""

    def make(content, name="train.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


@pytest.fixture
def tree(tmp_path):
    """Writes the files of a folder, {name: content}, and says where it is."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return make

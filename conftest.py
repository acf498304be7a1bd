"""Where the examples of the API run, in a folder with some radiographs and a loop made of them; and collecting."""

import gc
import json
import shutil
from datetime import UTC, datetime

import pytest

import made_up
import radloop

SIZES = "training=18,validation=4,test=6,staging=4,canary=2,production=6"


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Spare the garbage collector what stays until the end: thousands of tests and all modules."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def _example(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    made_up.films(folder / "my-xrays")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        radloop.etl(source="my-xrays", out="data", sizes=SIZES, jobs=1)
        radloop.simulate(out="data", detector="oracle:0.2", load_pattern="1", stage_seconds=0.2, jobs=1)
        radloop.review(out="data", simulated=True, jobs=1)
        exported = radloop.export(format="label-studio", out="data", splits=["test"])
    tasks = json.loads((folder / exported.folder / "tasks.json").read_bytes())
    read = {"id": 1, "completed_by": 7, "result": [], "updated_at": datetime.now(UTC).isoformat()}
    waiting = [task | {"annotations": [read]} for task in tasks if "feedback_id" in task["data"]]
    (folder / "from-label-studio.json").write_text(json.dumps(waiting))
    return folder


@pytest.fixture(autouse=True)
def _examples_run_beside_a_dataset(request, monkeypatch):
    if isinstance(request.node, pytest.DoctestItem) and request.node.name.startswith("radloop.api."):
        folder = request.getfixturevalue("tmp_path")
        shutil.copytree(request.getfixturevalue("_example"), folder, dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        request.getfixturevalue("doctest_namespace")["radloop"] = radloop

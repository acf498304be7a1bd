"""Every export, opened by the tool that it is for: the same boxes, readers and bytes as the dataset's own tables tell.

pycocotools, supervision and Datumaro open theirs in the daily tests (tests/test_export_coco.py, test_export_cvat.py).
torchvision's CocoDetection is a thin layer on pycocotools, and 5 GB to install: it is not run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import exports
from browser_session import free_port
from radloop.catalog import version
from radloop.options import Export
from radloop.pipelines import exporting

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from benchmarks import label_studio  # noqa: E402

pytestmark = pytest.mark.peers

PAGE = HERE.parent.parent / "docs" / "exporting.md"
PYTHON = HERE.parent.parent / ".venv-peers/bin/python"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
TOOLS = ("webdataset", "parquet", "croissant")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("loop")
    exports.organized(out, images=48)
    for name in TOOLS:
        exporting.export(Export(out=out, format=name, license="CC-BY-4.0"))
    return out


def run(out: Path, *command: str | Path) -> str:
    environment = {**os.environ, **OFFLINE, "HOME": str(out / "home")}
    done = subprocess.run([PYTHON, *command], cwd=out, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def found(out: Path) -> dict[str, Any]:
    return json.loads(run(out, HERE / "exported.py", out / "export"))


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_finds_every_readers_box(out: Path, found: dict[str, Any], tool: str) -> None:
    boxes = sorted((*box[:3], *(round(edge, 6) for edge in box[3:])) for box in found[tool]["boxes"])
    assert boxes == exports.drawn(out / "organized")


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_finds_every_picture_once_in_its_split_and_who_looked(out: Path, found: dict[str, Any], tool: str) -> None:
    known = version.read(out / "organized")
    assert found[tool]["pictures"] == {
        image_id: [split, md5] for image_id, split, md5 in known.images.select("image_id", "split", "md5").iter_rows()
    }
    looked = known.annotations.group_by("image_id").agg("rad_id")
    assert found[tool]["readers"] == {image_id: sorted(set(who)) for image_id, who in looked.iter_rows()}


@pytest.mark.parametrize("heading", ["WebDataset", "Parquet", "Croissant"])
def test_what_the_page_says_runs(out: Path, heading: str) -> None:
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    if not (out / "data").exists():
        (out / "data").symlink_to(out)
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code
    run(out, "-c", code[1])


def test_label_studio_takes_tasks_predictions_interface_and_pictures(out: Path, tmp_path: Path) -> None:
    folder = exporting.export(Export(out=out, format="label-studio")).folder
    tasks = json.loads((folder / "tasks.json").read_bytes())
    label_studio.install()
    with label_studio.served(tmp_path / "served", free_port()) as server:
        shutil.copytree(folder / "images", tmp_path / "served" / "images")
        interface = (folder / "label-config.xml").read_text(encoding="utf-8")
        project = server.ask("/api/projects", {"title": "radloop", "label_config": interface})["id"]
        pictures = {"project": project, "path": str(tmp_path / "served" / "images"), "use_blob_urls": True}
        server.ask("/api/storages/localfiles", pictures)
        taken = server.ask(f"/api/projects/{project}/import", tasks)
        assert (taken["task_count"], taken["prediction_count"]) == (len(tasks), len(tasks))
        kept = server.ask(f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
        assert [one["data"] for one in sorted(kept, key=lambda one: one["id"])] == [one["data"] for one in tasks]
        for task, one in zip(tasks, sorted(kept, key=lambda one: one["id"]), strict=True):
            (prediction,) = server.ask(f"/api/predictions?task={one['id']}")
            assert prediction["model_version"] == task["predictions"][0]["model_version"]
            assert prediction["result"] == task["predictions"][0]["result"]
            assert exports.md5(server.read(task["data"]["image"])) == task["data"]["image_md5"]

"""Every export, opened by the tool that it is for: the same boxes, readers and bytes as the dataset's own tables tell.

pycocotools, supervision and Datumaro open theirs in the daily tests (tests/test_export_coco.py, test_export_cvat.py).
torchvision's CocoDetection is a thin layer on pycocotools, and 5 GB to install: it is not run.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import exports
from radloop.catalog import version
from radloop.options import Export
from radloop.pipelines import exporting

pytestmark = pytest.mark.peers

HERE = Path(__file__).parent
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

"""The notebooks of the documentation run from their first cell to their last."""

import json
import re
from pathlib import Path

import pytest

import radloop

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))
CELLS = {path.stem: json.loads(path.read_text(encoding="utf-8"))["cells"] for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_committed(path):
    assert [cell["id"] for cell in CELLS[path.stem] if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    text = "\n".join("".join(cell["source"]) for cell in CELLS[path.stem] if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.slow
def test_loop_ends_in_a_next_version_with_a_reviewed_image_in_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for cell in CELLS["loop"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)

    assert len(names["coco"]["images"]) == 12
    assert names["retrained"].version
    moved = names["following"].transformed.difference.moved
    assert {*moved.select("before", "after").iter_rows()} == {("production", "training")}
    now = radloop.open("loop")
    assert now.version == names["following"].transformed.version != names["dataset"].version
    assert {*moved["image_id"]} <= {*now.images.filter(split="training")["image_id"]}
    assert now.check().sound

"""The examples do with a dataset what their pages say; `make test-peers` runs them with the trainers themselves."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from radloop import options, settings, tree

ROOT = Path(__file__).parent.parent


@pytest.fixture
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train", ROOT / "examples/ultralytics/train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def organized(folder: Path, *, round_of: str | None) -> Path:
    """The files of version v2 that the recipe reads, with the re-training data of a round on `round_of`."""
    (folder / "retrain").mkdir(parents=True)
    places = {"train": "training/images", "val": "validation/images", "test": "test/images"}
    (folder / tree.DATA).write_bytes(tree.data_yaml(places, ["Nodule", "ILD"]))
    (folder / tree.SUMMARY).write_bytes(tree.json_file({"version": "v2"}))
    if round_of:
        (folder / "retrain" / tree.RETRAIN_DATA).write_bytes(tree.data_yaml({"train": "images"}, ["Nodule", "ILD"]))
        (folder / "retrain" / tree.REPORT).write_bytes(tree.json_file({"dataset": round_of}))
    return folder


def test_a_round_on_this_version_is_learned_from_beside_it(recipe, tmp_path):
    root = organized(tmp_path, round_of="v2")
    assert recipe.data_file(root) == {
        "train": [f"{root}/training/images", f"{root}/retrain/images"],
        "val": [f"{root}/validation/images"],
        "test": [f"{root}/test/images"],
        "names": {0: "Nodule", 1: "ILD"},
    }


@pytest.mark.parametrize("round_of", [None, "v1"])
def test_a_round_that_has_joined_the_dataset_is_not_learned_from_twice(recipe, tmp_path, round_of):
    root = organized(tmp_path, round_of=round_of)
    assert recipe.data_file(root)["train"] == [f"{root}/training/images"]


def test_the_page_of_the_recipe_names_the_command_as_it_is():
    page = (ROOT / "examples/ultralytics/README.md").read_text(encoding="utf-8")
    assert "python examples/ultralytics/train.py data/organized" in page
    code = (ROOT / "examples/ultralytics/train.py").read_text(encoding="utf-8")
    assert all(f"`{word}=0`" in page and f"{word}=0.0" in code for word in ("fliplr", "hsv_h", "hsv_s"))


def test_every_command_of_the_story_is_one_of_radloop_with_flags_that_it_has():
    script = (ROOT / "examples/loop/loop.sh").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:run|ends_with \d) radloop (\w+)(.*)$", script, re.MULTILINE)
    assert len(commands) > 15
    steps = {step.__name__.lower(): step for step in options.STEPS}
    for name, rest in commands:
        known = {setting.flag for setting in settings.of(steps[name])}
        assert set(re.findall(r"--[a-z-]+", rest)) - {"--sizes", "--source"} <= known

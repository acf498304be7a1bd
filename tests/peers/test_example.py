"""The recipe in examples/ultralytics, run by the trainer itself; radloop then asks the model that came of it."""

import json
import subprocess
from pathlib import Path

import pytest

from radloop.catalog import version
from radloop.detectors.onnx import Onnx
from radloop.options import Etl
from radloop.pipelines import offline
from radloop.predictions import Picture
from radloop.split_sizes import SplitSizes

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".venv-peers/bin/python"
SIZES = SplitSizes.parse("training=24,validation=8,test=4,staging=4,canary=4,production=4")
STUBBED = ROOT / "tests/peers/without_torchvision.py"


def test_the_recipe_trains_a_model_that_radloop_can_ask(tmp_path: Path) -> None:
    offline.etl(Etl(source="synthetic:48", out=tmp_path, sizes=SIZES))
    root = tmp_path / "organized"
    example = [ROOT / "examples/ultralytics/train.py", root, "--out", tmp_path / "run"]
    smallest = ["--model", "yolo26n.yaml", "--epochs", "1", "--imgsz", "64"]
    subprocess.run([PYTHON, STUBBED, *example, *smallest], cwd=tmp_path, check=True)

    known = version.read(root)
    model = Onnx(tmp_path / "run/yolo26n.onnx", known.taxonomy)
    key = known.files.filter(kind="image")["key"][0]
    answer = model.predict(Picture("one", (root / key).read_bytes()))
    assert len(answer.confidences) <= 300
    assert not model.notes  # the model names its classes, and they are the dataset's

    import onnxruntime

    told = onnxruntime.InferenceSession(tmp_path / "run/yolo26n.onnx").get_modelmeta().custom_metadata_map
    assert told["radloop_dataset"] == json.loads((root / "summary.json").read_bytes())["version"] == known.id

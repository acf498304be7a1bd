"""What Ultralytics makes of each dataset in a folder of datasets, as JSON: run with the Python of .venv-peers.

usage: trainer.py FOLDER     (FOLDER/NAME/data.yaml; the datasets may be changed by it)
"""

import io
import json
import os
import re
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import without_torchvision  # noqa: F401  before the trainer

os.environ["YOLO_VERBOSE"] = "false"

import ultralytics
from ultralytics.data import utils
from ultralytics.data.dataset import YOLODataset

utils.check_font = lambda name: None  # which it would download


def of_split(root: Path, data: dict, split: str) -> dict:
    """The fate of each picture of a split."""
    told = {"refused": None, "elsewhere": False, "dropped": [], "missing": [], "saved anew": [], "stops at": []}
    told |= {"boxes": {}, "repeated": 0}
    try:
        files = YOLODataset.get_img_files(SimpleNamespace(prefix="", fraction=1.0), data[split])
        for file, label in zip(files, utils.img2label_paths(files), strict=True):
            told["elsewhere"] |= not os.path.isabs(file)
            key = os.path.relpath(file, root)
            found = utils.verify_image_label((file, label, "", False, len(data["names"]), *shape(data), False))
            missing, message = found[5], found[9]
            told["missing"] += [key] if missing else []
            if found[0] is None:
                told["dropped"].append(key)
            else:
                told["boxes"][key] = len(found[1])
            told["saved anew"] += [key] if "restored and saved" in message else []
            if repeated := re.search(r"(\d+) duplicate labels removed", message):
                told["repeated"] += int(repeated[1])
        dataset = YOLODataset(img_path=data[split], data=data, task="detect", augment=split == "train", imgsz=32)
        for number, file in enumerate(dataset.im_files):
            try:
                dataset.load_image(number)
            except FileNotFoundError:
                told["stops at"].append(os.path.relpath(file, root))
    except Exception as error:  # noqa: BLE001 - whatever it raises, it refuses
        told["refused"] = type(error).__name__
    return told


def shape(data: dict) -> tuple[int, int]:
    """The number of keypoints and of numbers for each."""
    points, numbers = data.get("kpt_shape", (0, 0))
    return points, numbers


def of_dataset(root: Path) -> dict:
    """What becomes of the dataset in a folder, as the trainer and its evaluation on test go on."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            data = utils.check_det_dataset(str(root / "data.yaml"))
    except Exception as error:  # noqa: BLE001 - as above
        return {"refused": type(error).__name__, "splits": {}, "printed": printed.getvalue()}
    names = [split for split in ("train", "val", "test") if split != "test" or data.get(split)]
    splits = {split: of_split(root, data, split) for split in names}
    return {"refused": None, "splits": splits, "printed": printed.getvalue()}


def main() -> None:
    """Judge every dataset, from a working directory that is none of them."""
    os.chdir(tempfile.mkdtemp())
    roots = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir())
    told = {
        "trainer": f"Ultralytics {ultralytics.__version__}",
        "told": {root.name: of_dataset(root) for root in roots},
    }
    json.dump(told, sys.__stdout__)


if __name__ == "__main__":
    main()

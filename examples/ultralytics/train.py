"""Train Ultralytics on a dataset of radloop and its re-training data, and export a model that radloop takes.

    python examples/ultralytics/train.py data/organized --epochs 100

It needs `pip install ultralytics onnx`, and nothing of radloop.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml


def data_file(organized: Path) -> dict[str, Any]:
    """The trainer's file: the dataset, and the re-training data of a round that was made on this very version.

    An earlier round's is left out: what it taught has joined the dataset with `etl --add`, and would count twice.
    """
    data = yaml.safe_load((organized / "data.yaml").read_text(encoding="utf-8"))
    places = {split: [str(organized / data[split])] for split in ("train", "val", "test") if split in data}
    if (organized / "retrain/data-retrain.yaml").is_file():
        report = json.loads((organized / "retrain/report.json").read_bytes())
        if report["dataset"] == _summary(organized)["version"]:
            places["train"].append(str(organized / "retrain/images"))
    return {**places, "names": data["names"]}


def train(organized: Path, out: Path, *, model: str, **settings: Any) -> Path:
    """The trained model as `out`/NAME.onnx; it tells radloop its classes, its recipe and the dataset's version."""
    import onnx
    from ultralytics import YOLO

    out.mkdir(parents=True, exist_ok=True)
    data = out / "data.yaml"
    data.write_text(yaml.safe_dump(data_file(organized), sort_keys=False, allow_unicode=True), encoding="utf-8")
    detector = YOLO(model)
    # a radiograph is not mirrored: the heart lies on the left; and it has no colours
    detector.train(data=str(data), project=str(out), exist_ok=True, fliplr=0.0, hsv_h=0.0, hsv_s=0.0, **settings)

    best = YOLO(detector.trainer.best)
    exported = onnx.load(best.export(format="onnx", simplify=False))
    told = _summary(organized)
    for key, value in {"radloop_dataset": told["version"], "radloop_recipe": told.get("recipe")}.items():
        if value:
            exported.metadata_props.add(key=key, value=value)
    path = out / f"{Path(model).stem}.onnx"
    onnx.save(exported, path)
    return path


def _summary(organized: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((organized / "summary.json").read_bytes())
    return summary


def main() -> None:
    """Read the command line, and print the next command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("organized", type=Path, help="the dataset: OUT/organized")
    parser.add_argument("--model", default="yolo26n.pt", help="weights to begin from, or a .yaml to begin from nothing")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--imgsz", type=int, default=640, help="side of the pictures, pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("training-run"))
    chosen = vars(parser.parse_args())
    path = train(chosen.pop("organized").resolve(), chosen.pop("out").resolve(), **chosen)
    print(f"{path}: radloop compare champion onnx:{path} --splits staging")


if __name__ == "__main__":
    main()

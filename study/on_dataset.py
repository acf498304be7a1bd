"""The study's net, trained on a dataset of radloop and written as ONNX: so `make demo-loop` has models of its own.

    python -m study.on_dataset data/organized model.onnx --steps 300

It learns what at least two readers drew on the training images, and is calibrated on validation. It needs `onnx`.
"""

import argparse
import io
import json
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import polars as pl
import torch
from study import model, net
from study.patients import SIDE, Cohort
from torch import Tensor, nn

from radloop.catalog import version
from radloop.catalog.version import Version
from radloop.detectors.yolo import letterbox
from radloop.pixels import decode
from radloop.tables import TRUTH

_RATE: Final = 4e-3


class Exported(nn.Module):
    """The net as others run it: boxes in pixels above calibrated scores, (n, 4 + classes, cells)."""

    def __init__(self, learned: model.Model) -> None:
        """Take a net with the scale of its scores, (2, classes)."""
        super().__init__()
        self.net = learned.net
        slope, shift = torch.from_numpy(learned.scale.astype(np.float32))
        self.register_buffer("slope", slope)
        self.register_buffer("shift", shift)

    def forward(self, images: Tensor) -> Tensor:
        """Answer for pictures in [0, 1]."""
        found, logits = self.net(images)
        return torch.cat([found * SIDE, (self.slope * logits + self.shift).sigmoid()], dim=2).transpose(1, 2)


def cohort(known: Version, split: str) -> Cohort:
    """The images of a split, with their readers' boxes; nothing of what was truly there is known."""
    own = known.own_images.filter(split=split).sort("image_id")
    keys = dict(known.files.filter(kind="image").sort("key", descending=True).select("image_id", "key").iter_rows())
    ids = own["image_id"].to_list()
    pictures = [letterbox(decode((known.root / keys[one]).read_bytes()), width=SIDE, height=SIDE)[0] for one in ids]
    readings = known.readings.join(own, on="image_id", how="semi")
    return Cohort(ids, np.stack(pictures), TRUTH.to_frame(), readings)


def train(root: Path, *, steps: int, seed: int) -> onnx.ModelProto:
    """The model as ONNX, with its classes, recipe and the dataset's version in its metadata."""
    known = version.read(root)
    training = cohort(known, "training")
    labels = training.consensus().with_columns(weight=pl.lit(1.0), ignore=pl.lit(value=False))
    torch.manual_seed(seed)
    fresh = net.Detector().to(memory_format=torch.channels_last)
    learned = model.calibrated(
        model.train(training, labels, fresh, steps=steps, rate=_RATE, seed=seed), cohort(known, "validation")
    )
    data = io.BytesIO()
    torch.onnx.export(
        Exported(learned).to(memory_format=torch.contiguous_format).eval(),
        (torch.zeros(1, 1, SIDE, SIDE),),
        data,
        input_names=["images"],
        output_names=["output0"],
        opset_version=17,
        dynamo=False,
    )
    written = onnx.load_from_string(data.getvalue())
    told = {"names": json.dumps(dict(enumerate(known.taxonomy.names))), "radloop_dataset": known.id}
    for key, value in (told | ({"radloop_recipe": known.recipe} if known.recipe else {})).items():
        written.metadata_props.add(key=key, value=value)
    return written


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("organized", type=Path, help="the dataset: OUT/organized")
    parser.add_argument("model", type=Path, help="the ONNX file to write")
    parser.add_argument("--steps", type=int, default=300, help="batches of 16 pictures")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    onnx.save(train(chosen.organized, steps=chosen.steps, seed=chosen.seed), chosen.model)


if __name__ == "__main__":
    main()

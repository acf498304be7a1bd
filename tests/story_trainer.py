"""Stands for training in tests of examples/loop: the first model is the tiny one that is sure of nothing.

usage: story_trainer.py ORGANIZED MODEL.onnx --steps N
"""

import sys
from pathlib import Path

import numpy as np

from radloop.detectors.onnx import TINY
from radloop.vindr.classes import TAXONOMY

_SHIFTS = b"detector.shift\x4a\x38"  # the name of the 14 numbers, and how long they are (onnx.proto3)


def doubting(model: bytes) -> bytes:
    """The tiny model with lower scores for Cardiomegaly, and scores near 0 for every other class."""
    begin = model.index(_SHIFTS) + len(_SHIFTS)
    end = begin + 4 * len(TAXONOMY)
    shifts = np.frombuffer(model[begin:end], "<f4").copy()
    shifts += np.where(np.array(TAXONOMY.names) == "Cardiomegaly", -2, -8).astype("<f4")
    return model[:begin] + shifts.tobytes() + model[end:]


def main() -> None:
    _, model = map(Path, sys.argv[1:3])
    learned = TINY.read_bytes()
    model.write_bytes(doubting(learned) if model.stem == "first" else learned)


if __name__ == "__main__":
    main()

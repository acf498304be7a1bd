"""ONNX models that give one answer to every picture, written without any ONNX package (onnx.proto3 has the numbers)."""

from pathlib import Path

import numpy as np

FLOAT, HALF = 1, 10


def write(
    path: Path,
    answer: np.ndarray,
    *,
    takes: tuple[int | str, ...] = (1, 1, 32, 32),
    gives: tuple[int | str, ...] | None = None,
    element: int = FLOAT,
    inputs: int = 1,
    names: object = None,
    recipe: str | None = None,
) -> Path:
    """A model with `inputs` pictures of the shape `takes`; a string is a free dimension.

    `names` are those of its classes, as its metadata has them: written by `repr`, unless they are a text.
    """
    values = answer.astype(np.float32)
    constant = b"".join(_number(1, size) for size in values.shape)
    constant += _number(2, FLOAT) + _bytes(8, b"answer") + _bytes(9, values.tobytes())
    node = _bytes(1, b"answer") + _bytes(2, b"output0") + _bytes(4, b"Identity")
    graph = _bytes(1, node) + _bytes(2, b"made up") + _bytes(5, constant)
    for number in range(inputs):
        graph += _bytes(11, _tensor(f"images{number}", element, takes))
    graph += _bytes(12, _tensor("output0", FLOAT, gives or values.shape))
    model = _number(1, 8) + _bytes(8, _bytes(1, b"") + _number(2, 17)) + _bytes(7, graph)
    if names is not None:
        text = names if isinstance(names, str) else repr(names)
        model += _bytes(14, _bytes(1, b"names") + _bytes(2, text.encode()))
    if recipe is not None:
        model += _bytes(14, _bytes(1, b"radloop_recipe") + _bytes(2, recipe.encode()))
    path.write_bytes(model)
    return path


def answer(*found: tuple[int, float, tuple[float, float, float, float]], classes: int = 14) -> np.ndarray:
    """The answer (1, 4 + classes, n) with these detections: class, score, cxcywh in pixels."""
    values = np.zeros((1, 4 + classes, max(len(found), 1)))
    for number, (class_id, score, box) in enumerate(found):
        values[0, :4, number] = box
        values[0, 4 + class_id, number] = score
    return values


def ended(*found: tuple[int, float, tuple[float, float, float, float]], rows: int = 300) -> np.ndarray:
    """The answer (1, rows, 6) of a model that suppresses by itself: class, score, x1 y1 x2 y2 in pixels."""
    values = np.zeros((1, rows, 6))
    for number, (class_id, score, box) in enumerate(found):
        values[0, number] = (*box, score, class_id)
    return values


def _tensor(name: str, element: int, shape: tuple[int | str, ...]) -> bytes:
    sizes = [_number(1, size) if isinstance(size, int) else _bytes(2, size.encode()) for size in shape]
    dimensions = b"".join(_bytes(1, size) for size in sizes)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, element) + _bytes(2, dimensions)))


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value

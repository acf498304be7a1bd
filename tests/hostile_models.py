"""ONNX models that mean harm, each as small as can be: they want all time, all memory, or files that are not theirs."""

from pathlib import Path

import numpy as np

from made_up_model import FLOAT, _bytes, _number, _tensor, _varint

INT64, BOOL = 7, 9
TAKES = (1, 1, 32, 32)
GIVES = (1, 18, "anchors")


def save(path: Path, graph: bytes, *, gives=GIVES, takes=TAKES, metadata: bytes = b"") -> Path:
    """A model of this graph, whose input is `images` and whose output is `output0`."""
    graph += _bytes(2, b"hostile") + _bytes(11, _tensor("images", FLOAT, takes))
    graph += _bytes(12, _tensor("output0", FLOAT, gives))
    path.write_bytes(_number(1, 8) + _bytes(8, _bytes(1, b"") + _number(2, 17)) + _bytes(7, graph) + metadata)
    return path


def node(kind: str, inputs: tuple[str, ...], outputs: tuple[str, ...], *attributes: bytes) -> bytes:
    """A NodeProto among the nodes of a graph."""
    names = b"".join(_bytes(1, name.encode()) for name in inputs) + b"".join(
        _bytes(2, name.encode()) for name in outputs
    )
    return _bytes(1, names + _bytes(4, kind.encode()) + b"".join(_bytes(5, one) for one in attributes))


def constant(name: str, values: object, element: int = INT64) -> bytes:
    """An initializer."""
    array = np.asarray(values, {INT64: np.int64, FLOAT: np.float32, BOOL: np.bool_}[element])
    dims = b"".join(_number(1, size) for size in array.shape)
    return _bytes(5, dims + _number(2, element) + _bytes(8, name.encode()) + _bytes(9, array.tobytes()))


def subgraph(name: str, graph: bytes) -> bytes:
    """An attribute that is a graph."""
    return _bytes(1, name.encode()) + _bytes(6, graph) + _number(20, 5)


def number(name: str, value: int) -> bytes:
    """An attribute that is an integer."""
    return _bytes(1, name.encode()) + _number(3, value) + _number(20, 2)


def numbers(name: str, values: tuple[int, ...]) -> bytes:
    """An attribute that is a list of integers."""
    return _bytes(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, 7)


def body(*, inner: bytes = b"") -> bytes:
    """What a loop does each time: nothing."""
    graph = _bytes(2, b"body") + inner
    graph += node("Identity", ("condition_in",), ("condition_out",)) + node("Identity", ("carried",), ("carried_out",))
    graph += _bytes(11, _tensor("at", INT64, ())) + _bytes(11, _tensor("condition_in", BOOL, ()))
    graph += _bytes(11, _tensor("carried", FLOAT, ("n",)))
    graph += _bytes(12, _tensor("condition_out", BOOL, ())) + _bytes(12, _tensor("carried_out", FLOAT, ("n",)))
    return graph


ANSWER = constant("answer", np.zeros((1, 18, 7)), FLOAT)
SUM = node("ReduceSum", ("images",), ("sum",), number("keepdims", 0))
ZERO = SUM + constant("none", 0.0, FLOAT) + node("Mul", ("sum", "none"), ("zero",))  # known by the picture alone


def looping(path: Path, times: int = 10**12) -> Path:
    """A loop of 10^12 turns, each an operator that can be stopped."""
    graph = ANSWER + constant("times", times) + constant("yes", True, BOOL) + constant("start", [0.0], FLOAT)
    graph += node("Loop", ("times", "yes", "start"), ("looped",), subgraph("body", body()))
    return save(path, graph + node("Add", ("answer", "looped"), ("output0",)))


def one_long_operator(path: Path, kernel: int = 2048) -> Path:
    """A single operator that takes hours: nothing stops it but the end of its process."""
    graph = ANSWER + ZERO + constant("side", [1, 1, 4096, 4096]) + node("Expand", ("zero", "side"), ("large",))
    graph += node("MaxPool", ("large",), ("pooled",), numbers("kernel_shape", (kernel, kernel)))
    graph += node("ReduceSum", ("pooled",), ("total",), number("keepdims", 0))
    return save(path, graph + node("Add", ("answer", "total"), ("output0",)))


def demanding(path: Path, elements: int = 10**12) -> Path:
    """A tensor of 10^12 numbers, whose size nobody knows before the picture is there."""
    graph = ANSWER + ZERO
    graph += node("Cast", ("zero",), ("whole",), number("to", INT64)) + constant("elements", [elements])
    graph += node("Add", ("elements", "whole"), ("shape",)) + node("ConstantOfShape", ("shape",), ("filled",))
    graph += node("ReduceSum", ("filled",), ("total",), number("keepdims", 0))
    graph += node("Add", ("answer", "total"), ("output0",))
    return save(path, graph)


def demanding_at_load(path: Path, elements: int = 10**12) -> Path:
    """A tensor of 10^12 zeros that ONNX Runtime itself works out when it loads the model."""
    graph = ANSWER + constant("elements", [elements]) + node("ConstantOfShape", ("elements",), ("filled",))
    graph += node("ReduceSum", ("filled",), ("total",), number("keepdims", 0))
    graph += node("Add", ("answer", "total"), ("output0",))
    return save(path, graph)


def outside(path: Path, location: str = "../secret.bin") -> Path:
    """Weights that lie in a file outside of the model's folder."""
    told = _bytes(1, b"location") + _bytes(2, location.encode())
    length = _bytes(1, b"length") + _bytes(2, str(4 * 18 * 7).encode())
    tensor = b"".join(_number(1, size) for size in (1, 18, 7)) + _number(2, FLOAT) + _bytes(8, b"answer")
    tensor += _bytes(13, told) + _bytes(13, length) + _number(14, 1)
    return save(path, _bytes(5, tensor) + ZERO + node("Add", ("answer", "zero"), ("output0",)))


def header_of_two_gigabytes(path: Path) -> Path:
    """An initializer that says it has 2 GB, and has not."""
    tensor = _number(1, 1 << 29) + _number(2, FLOAT) + _bytes(8, b"answer")
    claims = _varint(9 << 3 | 2) + _varint((1 << 31) - 1) + b"few"
    path.write_bytes(_number(1, 8) + _bytes(7, _bytes(5, tensor + claims)))
    return path


def shape_of_two_gigabytes(path: Path) -> Path:
    """An initializer of 2^40 numbers by its shape, with four bytes."""
    tensor = _number(1, 1 << 40) + _number(2, FLOAT) + _bytes(8, b"answer") + _bytes(9, b"\0" * 4)
    return save(path, _bytes(5, tensor) + node("Add", ("answer", "images"), ("output0",)))


def deep(path: Path, depth: int = 20_000) -> Path:
    """One operator after the other, 20,000 times."""
    graph = ANSWER + ZERO
    graph += b"".join(node("Abs", (f"s{at}" if at else "zero",), (f"s{at + 1}",)) for at in range(depth))
    return save(path, graph + node("Add", ("answer", f"s{depth}"), ("output0",)))


def nested(path: Path, depth: int = 2000) -> Path:
    """Loops within loops, 2,000 deep."""
    inner = b""
    for _ in range(depth):
        inner = node("Loop", ("at", "condition_in", "carried"), ("nested",), subgraph("body", body(inner=inner)))
    graph = ANSWER + constant("times", 1) + constant("yes", True, BOOL) + constant("start", [0.0], FLOAT)
    graph += node("Loop", ("times", "yes", "start"), ("looped",), subgraph("body", body(inner=inner)))
    return save(path, graph + node("Add", ("answer", "looped"), ("output0",)))


def other_shape_at_run_time(path: Path) -> Path:
    """An answer of another shape than the file says."""
    graph = constant("answer", np.zeros((1, 9, 7)), FLOAT) + ZERO + node("Add", ("answer", "zero"), ("output0",))
    return save(path, graph, gives=("a", "b", "c"))


def no_numbers(path: Path) -> Path:
    """NaN in every place."""
    graph = (
        constant("answer", np.full((1, 18, 7), np.nan), FLOAT) + ZERO + node("Add", ("answer", "zero"), ("output0",))
    )
    return save(path, graph)


def many_boxes(path: Path, boxes: int = 10**7) -> Path:
    """An answer of 10^7 boxes, all sure and all alike."""
    graph = constant("row", np.array([8, 8, 4, 4, *[0.9] * 14]).reshape(1, 18, 1), FLOAT) + ZERO
    graph += node("Add", ("row", "zero"), ("one",)) + constant("shape", [1, 18, boxes])
    return save(path, graph + node("Expand", ("one", "shape"), ("output0",)))


def talkative(path: Path, length: int = 50_000_000) -> Path:
    """Names of classes of 50 MB."""
    told = _bytes(14, _bytes(1, b"names") + _bytes(2, b"[" * length))
    return save(path, ANSWER + ZERO + node("Add", ("answer", "zero"), ("output0",)), metadata=told)


def stuck_on_bright(path: Path) -> Path:
    """A single operator of hours on a white picture, and an answer at once to any other."""
    large = constant("side", [1, 1, 4096, 4096]) + node("Expand", ("zero", "side"), ("large",))
    large += node("MaxPool", ("large",), ("pooled",), numbers("kernel_shape", (2048, 2048)))
    large += node("ReduceSum", ("pooled",), ("total",), number("keepdims", 0)) + _bytes(2, b"long")
    short = _bytes(2, b"short") + node("Identity", ("zero",), ("short",)) + _bytes(12, _tensor("short", FLOAT, ()))
    graph = ANSWER + ZERO + constant("most", 1000.0, FLOAT) + node("Greater", ("sum", "most"), ("bright",))
    graph += node(
        "If",
        ("bright",),
        ("chosen",),
        subgraph("then_branch", large + _bytes(12, _tensor("total", FLOAT, ()))),
        subgraph("else_branch", short),
    )
    return save(path, graph + node("Add", ("answer", "chosen"), ("output0",)))

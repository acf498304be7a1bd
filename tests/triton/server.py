"""A real Triton Inference Server with models that tests/test_detectors_triton.py asks for.

Run by .venv-triton's Python: server.py MODEL.onnx PORT FOLDER NAME…. Prints "ready" once it answers; ends when its
standard input does, and so with whoever started it.
"""

import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.exceptions import PyTritonRuntimeError
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main(path: str, port: str, folder: str, *names: str) -> None:
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever Triton and its models print is log
    config = TritonConfig(
        http_address="127.0.0.1", http_port=int(port), allow_grpc=False, allow_metrics=False, exit_timeout_secs=5
    )
    models = {"chest_xray_detector": plain, "batched": batched, "fails": failing}
    session = onnxruntime.InferenceSession(path)
    with Triton(config=config, workspace=Path(folder)) as triton:
        for name in names:
            models[name](triton, name, session)
        triton.run()
        os.write(answer, b"ready\n")
        sys.stdin.read()


def plain(triton: Triton, name: str, session: onnxruntime.InferenceSession) -> None:
    """One picture a call, as an exported model takes it."""

    def detect(requests):
        return [{"output0": session.run(None, {"images": request["images"]})[0]} for request in requests]

    bind(triton, name, detect, batching=False)


def batched(triton: Triton, name: str, session: onnxruntime.InferenceSession) -> None:
    """Triton gathers the pictures of several callers."""

    @batch
    def detect(images):
        return {"output0": np.concatenate([session.run(None, {"images": image[None]})[0] for image in images])}

    bind(triton, name, detect, batching=True)


def failing(triton: Triton, name: str, session: onnxruntime.InferenceSession) -> None:
    def fail(requests):
        raise PyTritonRuntimeError("the model has a bad day")

    bind(triton, name, fail, batching=False)


def bind(triton, name, function, *, batching: bool) -> None:
    one = () if batching else (1,)
    triton.bind(
        model_name=name,
        infer_func=function,
        inputs=[Tensor(name="images", dtype=np.float32, shape=(*one, 1, 256, 256))],
        outputs=[Tensor(name="output0", dtype=np.float32, shape=(*one, 18, -1))],
        config=ModelConfig(batching=batching),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

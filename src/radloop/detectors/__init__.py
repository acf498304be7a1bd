"""Detectors: a picture becomes predictions. `create` makes the one that a person names."""

import math
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import polars as pl

from radloop.detectors.names import Wishes
from radloop.errors import UsageError
from radloop.predictions import MIN_CONFIDENCE, Detector
from radloop.taxonomy import Taxonomy

_FORMS: Final = "random, oracle:NOISE, onnx:MODEL.onnx, onnx:tiny or triton:http://HOST:8000/MODEL"
_MOST_NOISE: Final = 3.0


def create(
    spec: str,
    classes: Taxonomy,
    *,
    wishes: Wishes | None = None,
    seed: int = 0,
    inference_ms: float = 0,
    timeout_s: float = 5.0,
    memory_gb: float = 4.0,
    min_confidence: float = MIN_CONFIDENCE,
    truth: pl.DataFrame | None = None,
    triton_url: str | None = None,
    stop: threading.Event | None = None,
) -> Detector:
    """The detector that `spec` names, ready to be asked from many threads; it answers in numbers of `classes`.

    random takes `inference_ms` an answer, until `stop` is set. oracle needs `truth` (TRUTH). onnx and triton follow
    `wishes` about the names of their classes, and have `timeout_s` for an answer; onnx may take `memory_gb`. triton
    without an address takes `triton_url` (http://HOST:PORT, or with a model's name). Raises UsageError for another
    spec, DetectorError where the detector cannot be used, TransientDetectorError where it cannot be used yet,
    TaxonomyError where its classes are others.
    """
    kind, _, value = spec.partition(":")
    if kind == "random" and not value:
        from radloop.detectors.chance import Chance

        return Chance(classes, seed=seed, inference_ms=inference_ms, stop=stop)
    if kind == "oracle":
        from radloop.detectors.oracle import Oracle

        noise = _noise(spec, value)
        if truth is None:
            raise UsageError(f"--detector {spec} needs the truth about the images: a dataset with its annotations.")
        return Oracle(truth, classes, noise=noise, seed=seed, min_confidence=min_confidence)
    if kind == "onnx" and value:
        from radloop.detectors.apart import Limits
        from radloop.detectors.onnx import TINY, Onnx

        path = TINY if value == "tiny" else Path(value)
        limits = Limits(timeout_s, memory_gb)
        return Onnx(path, classes, wishes=wishes, min_confidence=min_confidence, limits=limits)
    if kind == "triton":
        from radloop.detectors.triton import Triton

        url, model = _address(spec, value or triton_url or "")
        return Triton(url, classes, model=model, wishes=wishes, timeout_s=timeout_s, min_confidence=min_confidence)
    raise UsageError(f"--detector {spec}: there are {_FORMS}.")


def notes(detector: Detector) -> tuple[str, ...]:
    """What is to be said of a detector in the summary of a run."""
    runs_it = provider(detector)
    how = () if runs_it is None else (f"{detector.name} was run by ONNX Runtime's {runs_it}",)
    return (*how, *getattr(detector, "notes", ()))


def provider(detector: Detector) -> str | None:
    """What of ONNX Runtime runs a detector in this process; None for any other."""
    return getattr(detector, "provider", None)


def _noise(spec: str, value: str) -> float:
    try:
        noise = float(value or 1)
    except ValueError:
        noise = math.nan
    if not 0 <= noise <= _MOST_NOISE:
        raise UsageError(f"--detector {spec}: NOISE is a number from 0 (the truth) over 1 (a radiologist) to 3.")
    return noise


def _address(spec: str, address: str) -> tuple[str, str]:
    """Server and model; a model that is not named has the name that the users' own has."""
    from radloop.detectors.triton import MODEL

    if not address:
        raise UsageError(
            f"--detector {spec}: name the server, as in triton:http://localhost:8000/{MODEL}, or TRITON_URL."
        )
    unreadable = UsageError(f"--detector {spec}: {address} is no address such as http://localhost:8000/{MODEL}.")
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        _ = parts.port  # may be none
    except ValueError:
        raise unreadable from None
    if "@" in parts.netloc:  # neither sent nor shown
        raise UsageError("credentials in the address of a Triton are not taken: leave them out of --detector.")
    path, _, model = parts.path.rstrip("/").rpartition("/")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise unreadable
    return f"{parts.scheme}://{parts.netloc}{path}", model or MODEL

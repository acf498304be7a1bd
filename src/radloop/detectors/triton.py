"""A YOLO model in a Triton Inference Server, asked by KServe's protocol, version 2, over HTTP."""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt

from radloop import transport
from radloop.detectors import names, recipes, yolo
from radloop.detectors.conventions import Conventions
from radloop.detectors.names import Wishes
from radloop.errors import DetectorError, TransientDetectorError
from radloop.predictions import MIN_CONFIDENCE, Picture, Predictions
from radloop.taxonomy import Taxonomy
from radloop.transport import Server, Transport

MODEL: Final = "chest_xray_detector"  # where an address names none
_PASSING: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_NOT_READY: Final = re.compile(r"not ready|no available versions|unavailable|stopping|shutting down", re.IGNORECASE)
_MOST_BYTES: Final = 64 << 20  # of an answer: a YOLO head of 80 classes for 1280 × 1280 pixels has 11 MB
_LONGEST: Final = 300  # of a server's words in an error
_SAFE: Final = "%/:@!$&'()*+,;=~"  # in a path
_LENGTH: Final = "Inference-Header-Content-Length"


class Triton:
    """A model that a server has; its version is the newest that the server tells, that of an answer what it says.

    `recipe` is that of the pictures that it was trained on, where the server tells one (`recipes`).
    """

    def __init__(
        self,
        url: str,
        classes: Taxonomy,
        *,
        model: str = MODEL,
        wishes: Wishes | None = None,
        timeout_s: float = 5.0,
        min_confidence: float = MIN_CONFIDENCE,
    ) -> None:
        """Check server and model: ready, one picture in, a YOLO head out. The protocol tells no names of classes.

        Raises TransientDetectorError where the server does not answer or the model is not ready (yet), DetectorError
        where it is the wrong one, TaxonomyError where its classes are others.
        """
        self.name = model
        self._url = url.rstrip("/")
        self._model = f"{self._url}/{model}"
        self._timeout_s, self._min_confidence = timeout_s, min_confidence
        self._scores = names.match(classes, None, wishes or Wishes(), model=self._model)
        self.notes = () if self._scores.note is None else (self._scores.note,)
        self._codec = _codec()
        parts = urlsplit(self._url)
        context = ssl.create_default_context() if parts.scheme == "https" else None
        server = Server(parts.hostname or "", parts.port or (443 if context else 80), context)
        self._path = parts.path
        self._transport = Transport(server, seconds=timeout_s, most_bytes=_MOST_BYTES)
        told = self._metadata()
        self.recipe = self._recipe()
        self.version = str(max(told.get("versions") or ["1"], key=_number))
        inputs, outputs = told["inputs"], told["outputs"]
        if [tensor["datatype"] for tensor in (*inputs, *outputs)] != ["FP32", "FP32"] or len(inputs) != 1:
            raise DetectorError(
                f"{self._model} takes {_tensors(inputs)} and gives {_tensors(outputs)}, not one picture and one "
                "tensor of FP32. Serve a detection model."
            )
        self._input, self._output = inputs[0]["name"], outputs[0]["name"]
        self._shape = yolo.check_shapes(self._model, inputs[0]["shape"], outputs[0]["shape"], self._scores)
        self._conventions: dict[str, Conventions] = {}

    def predict(self, picture: Picture) -> Predictions:
        """The boxes above the thresholds, after suppression within each class where the model has none."""
        tensor, frame = yolo.prepare(picture, self._shape)
        output, version = self._infer(tensor)
        predictions = yolo.decode(output, frame, self._scores, min_confidence=self._min_confidence)
        self._conventions_of(version).require(output, min_confidence=self._min_confidence)
        return replace(predictions, model_version=version)

    def give_up(self) -> None:
        """End all requests that wait for an answer: they are late."""
        self._transport.give_up()

    def _conventions_of(self, version: str) -> Conventions:
        """Those of the version that answered: a server may load another in the middle of a run."""
        return self._conventions.setdefault(version, Conventions(self._model, self._shape, self._scores))

    def _infer(self, tensor: yolo.Tensor) -> tuple[npt.NDArray[np.floating[Any]], str]:
        """The output, and the version of the model that it is of."""
        codec = self._codec
        asked = codec.InferInput(self._input, list(tensor.shape), "FP32")
        asked.set_data_from_numpy(tensor)
        body, length = codec.InferenceServerClient.generate_request_body(
            [asked], outputs=[codec.InferRequestedOutput(self._output)]
        )
        headers = {"Content-Type": "application/octet-stream"}
        if length is not None:
            headers[_LENGTH] = str(length)
        data, answered = self._request("POST", f"/v2/models/{self.name}/infer", body, headers)
        try:
            result = codec.InferenceServerClient.parse_response_body(
                data, header_length=int(answered[_LENGTH.lower()]) if _LENGTH.lower() in answered else None
            )
            output: npt.NDArray[np.floating[Any]] | None = result.as_numpy(self._output)
        except Exception as garbled:
            raise DetectorError(
                f"{self._model} answered what is no KServe v2 response: {garbled}", kind="answer"
            ) from garbled
        if output is None:
            raise DetectorError(f"{self._model} answered without the tensor {self._output!r}.", kind="answer")
        told = result.get_response().get("model_version")
        return output, str(told) if told else self.version

    def _metadata(self) -> dict[str, Any]:
        """What the server tells of the model, once both are ready."""
        self._request("GET", "/v2/health/ready")
        try:
            data, _ = self._request("GET", f"/v2/models/{self.name}")
            self._request("GET", f"/v2/models/{self.name}/ready")
        except TransientDetectorError:
            raise
        except DetectorError as unknown:
            raise DetectorError(f"{unknown} {self._served()}") from unknown
        try:
            told: dict[str, Any] = json.loads(data)
            for tensor in told["inputs"] + told["outputs"]:
                tensor["name"], tensor["datatype"], list(tensor["shape"])
        except (ValueError, TypeError, KeyError) as garbled:
            raise DetectorError(f"{self._model} is no KServe v2 server: it describes no tensors.") from garbled
        return told

    def _recipe(self) -> str | None:
        """The recipe among the parameters of Triton's own configuration of the model; other servers tell none."""
        try:
            data, _ = self._request("GET", f"/v2/models/{self.name}/config")
            return recipes.read(json.loads(data)["parameters"][recipes.KEY]["string_value"])
        except (DetectorError, ValueError, TypeError, KeyError):
            return None

    def _served(self) -> str:
        """Which models there are, as a sentence."""
        try:
            data, _ = self._request("POST", "/v2/repository/index", b"{}")
            names = sorted({str(model["name"]) for model in json.loads(data)})
        except (DetectorError, ValueError, TypeError, KeyError):
            return "Is the name right?"
        return f"The server has: {', '.join(names) or 'no model'}."

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[bytearray, Mapping[str, str]]:
        """Body and headers of the answer; names of headers are in lower case."""
        told = {"Content-Length": str(len(body)), **(headers or {})} if body is not None else {}
        try:
            answer = self._transport.request(method, quote(self._path + path, _SAFE), [body] if body else [], told)
        except transport.LateError as late:
            sentence = f"{self._url} did not answer within {self._timeout_s:g} s."
            raise TransientDetectorError(sentence, kind="timeout") from late
        except transport.UnreachableError as broken:
            raise TransientDetectorError(f"{self._url} cannot be reached: {broken}.", kind="connection") from broken
        except transport.UntrustedError as unproven:
            raise DetectorError(f"{self._url} cannot be trusted: {unproven}.", kind="connection") from unproven
        except transport.TooLargeError as large:
            sentence = f"{self._url} answered with more than {_MOST_BYTES:,} bytes, which is not taken."
            raise DetectorError(sentence, kind="too large") from large
        except transport.PackedError as packed:
            sentence = f"{self._url} answered packed (Content-Encoding), which was not asked for and is not taken."
            raise DetectorError(sentence, kind="packed") from packed
        if answer.status == HTTPStatus.OK:
            return answer.body, answer.headers
        said = _said(answer.body)
        sentence = f"{self._model} answered {answer.status}{said and ': ' + said}."
        kind = f"status {answer.status}"
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _PASSING or _NOT_READY.search(said):
            raise TransientDetectorError(sentence, kind=kind)
        raise DetectorError(sentence, kind=kind)


def _codec() -> Any:
    """Triton's own codec; its client bounds neither the time of a request nor the size of an answer."""
    try:
        from tritonclient import http
    except ImportError as missing:
        raise DetectorError("--detector triton needs Triton's client: pip install 'radloop[triton]'.") from missing
    return http


def _said(body: bytearray) -> str:
    """The server's own words, on one line."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        said = body.decode(errors="replace")
    return " ".join(str(said).split())[:_LONGEST].rstrip(".")


def _number(version: str) -> tuple[int, str]:
    """Triton's own order: versions are numbers."""
    return (int(version), version) if version.isdigit() else (-1, version)


def _tensors(told: list[dict[str, Any]]) -> str:
    return ", ".join(f"{tensor['name']} {tensor['datatype']} {tensor['shape']}" for tensor in told) or "none"

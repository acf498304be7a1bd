"""A YOLO model in this process, run by ONNX Runtime."""

import hashlib
import os
from pathlib import Path
from typing import Any, Final

from radloop.detectors import names, recipes, yolo
from radloop.detectors.conventions import Conventions
from radloop.detectors.names import Wishes
from radloop.errors import DetectorError
from radloop.predictions import MIN_CONFIDENCE, Picture, Predictions
from radloop.taxonomy import Taxonomy

_NAMES: Final = "names"  # in the metadata, as Ultralytics writes it
_ELSEWHERE: Final = "AzureExecutionProvider"  # asks a server for operators of its own, and runs no model here
TINY: Final = Path(__file__).with_name("tiny.onnx")  # trained on synthetic pictures: training/train.py


class Onnx:
    """A model with a YOLO head (`yolo.check_shapes`); its version is the beginning of the file's MD5.

    `recipe` is that of the pictures that it was trained on, where its metadata tell one (`recipes`). `provider` is the
    part of ONNX Runtime that runs it: the processor's where a graphics card cannot be used.
    """

    def __init__(
        self,
        path: Path,
        classes: Taxonomy,
        *,
        wishes: Wishes | None = None,
        min_confidence: float = MIN_CONFIDENCE,
    ) -> None:
        """Load and check the model.

        Raises DetectorError where it, or ONNX Runtime, cannot be used, TaxonomyError where its classes are others.
        """
        self.name = path.stem
        try:
            data = path.read_bytes()
        except OSError as missing:
            raise DetectorError(f"The model {path} cannot be read: {missing.strerror}.") from missing
        self.version = hashlib.md5(data).hexdigest()[:12]
        self._session = _session(path, data)
        taken, given = self._session.get_inputs(), self._session.get_outputs()
        if len(taken) != 1 or len(given) != 1 or taken[0].type != "tensor(float)":
            raise DetectorError(
                f"{path} has {len(taken)} inputs ({', '.join(tensor.type for tensor in taken)}) and {len(given)} "
                "outputs, not one picture of 32-bit numbers in and one tensor out. Export a detection model "
                "(Ultralytics: model.export(format='onnx'), without half)."
            )
        self._input = taken[0].name
        asked = wishes or Wishes()
        metadata = self._session.get_modelmeta().custom_metadata_map
        text = None if asked.declared else metadata.get(_NAMES)
        self.recipe = recipes.read(metadata.get(recipes.KEY))
        told = None if text is None else names.parse(text, model=str(path))
        self._scores = names.match(classes, told, asked, model=str(path))
        self.provider: str = self._session.get_providers()[0]
        self.notes = () if self._scores.note is None else (self._scores.note,)
        self._shape = yolo.check_shapes(str(path), taken[0].shape, given[0].shape, self._scores)
        self._conventions = Conventions(str(path), self._shape, self._scores)
        self._min_confidence = min_confidence

    def predict(self, picture: Picture) -> Predictions:
        """The boxes above the thresholds, after suppression within each class where the model has none."""
        tensor, frame = yolo.prepare(picture, self._shape)
        try:
            (output,) = self._session.run(None, {self._input: tensor})
        except Exception as failed:
            raise DetectorError(f"{self.name} failed on image {picture.image_id}: {failed}") from failed
        predictions = yolo.decode(output, frame, self._scores, min_confidence=self._min_confidence)
        self._conventions.require(output, min_confidence=self._min_confidence)
        return predictions


def _session(path: Path, data: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as missing:
        raise DetectorError("--detector onnx needs ONNX Runtime: pip install 'radloop[onnx]'.") from missing
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # all callers share these threads; spinning ones would take the cores from those who decode pictures
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [name for name in onnxruntime.get_available_providers() if name != _ELSEWHERE]
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as broken:
        raise DetectorError(
            f"{path} is no model that ONNX Runtime {onnxruntime.__version__} can run: {broken}"
        ) from broken

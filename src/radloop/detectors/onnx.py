"""A YOLO model on this machine, run by ONNX Runtime in a process of its own (`apart`)."""

from pathlib import Path
from typing import Final

from radloop.detectors import names, recipes, yolo
from radloop.detectors.apart import Apart, Limits
from radloop.detectors.conventions import Conventions
from radloop.detectors.names import Wishes
from radloop.detectors.onnx_worker import PICTURE_BYTES
from radloop.errors import DetectorError
from radloop.predictions import MIN_CONFIDENCE, Picture, Predictions
from radloop.taxonomy import Taxonomy

_NAMES: Final = "names"  # in the metadata, as Ultralytics writes it
_MOST_PIXELS: Final = PICTURE_BYTES // 12  # in three channels of four bytes
_MOST_SHOWN: Final = 8
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
        limits: Limits | None = None,
    ) -> None:
        """Load and check the model.

        Raises DetectorError where it, or ONNX Runtime, cannot be used or takes more than `limits`, TaxonomyError where
        its classes are others.
        """
        self.name = path.stem
        self._session = Apart(path, limits or Limits())
        about = self._session.about
        self.version = about["md5"][:12]
        taken, given = about["inputs"], about["outputs"]
        if len(taken) != 1 or len(given) != 1 or taken[0][1] != "tensor(float)":
            raise DetectorError(
                f"{path} has {len(taken)} inputs ({', '.join(kind for _, kind, _ in taken[:_MOST_SHOWN])}) and "
                f"{len(given)} outputs, not one picture of 32-bit numbers in and one tensor out. Export a detection "
                "model (Ultralytics: model.export(format='onnx'), without half)."
            )
        asked = wishes or Wishes()
        metadata = about["metadata"]
        text = None if asked.declared else metadata.get(_NAMES)
        self.recipe = recipes.read(metadata.get(recipes.KEY))
        told = None if text is None else names.parse(text, model=str(path))
        self._scores = names.match(classes, told, asked, model=str(path))
        self.provider: str = about["provider"]
        self.notes = () if self._scores.note is None else (self._scores.note,)
        self._shape = yolo.check_shapes(str(path), taken[0][2], given[0][2], self._scores)
        if (asked_pixels := self._shape.height * self._shape.width) > _MOST_PIXELS:
            raise DetectorError(f"{path} takes pictures of {asked_pixels:,} pixels, and {_MOST_PIXELS:,} are the most.")
        self._conventions = Conventions(str(path), self._shape, self._scores)
        self._min_confidence = min_confidence

    def predict(self, picture: Picture) -> Predictions:
        """The boxes above the thresholds, after suppression within each class where the model has none."""
        tensor, frame = yolo.prepare(picture, self._shape)
        output = self._session.run(tensor, image_id=picture.image_id)
        predictions = yolo.decode(output, frame, self._scores, min_confidence=self._min_confidence)
        self._conventions.require(output, min_confidence=self._min_confidence)
        return predictions

    def give_up(self) -> None:
        """End all requests that wait for an answer: they are late."""
        self._session.give_up()

"""A detector's answer as the feedback that is written."""

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from radloop.errors import UNDECODABLE, DetectorError
from radloop.feedback import records
from radloop.feedback.records import Detection, Feedback, Model
from radloop.predictions import Found, Predictions
from radloop.taxonomy import Taxonomy


def feedback(image_id: str, predictions: Predictions, classes: Taxonomy, model: Model, **told: Any) -> Feedback:
    """The rich form, with what else is `told` by a field's name. The model is the one that answered.

    Raises DetectorError for a box that reading the feedback would refuse: nothing is written then.
    """
    detections = _listed(predictions, classes)
    top = detections[0] if detections else None
    class_id = top.class_id if top else classes.nothing
    return Feedback(
        image_id=image_id,
        class_id=class_id,
        confidence=top.confidence if top else 1.0 - predictions.highest_score,
        bbox=top.bbox if top else None,
        class_name=classes.name(class_id),
        detections=detections,
        low_detections=_listed(predictions.low, classes) or None,
        kept_from=predictions.kept_from,
        model=_answering(model, predictions),
        schema_version=records.SCHEMA_VERSION,
        **told,
    )


class _Answer(msgspec.Struct):
    """Whose answer a feedback is."""

    image_id: str
    model: Model | None = None
    stage: int | None = None


_DECODER: Final = msgspec.json.Decoder(_Answer)


def find(folder: Path, image_id: str, model: Model) -> Path | None:
    """The file of what a model has said of an image outside of a simulated run; None where it has said nothing yet."""
    first = folder / f"{image_id}.json"
    if not first.is_file():
        return None
    if _is_of(first, image_id, model):
        return first
    others = sorted(entry.name for entry in os.scandir(folder) if entry.name.startswith(f"{image_id}."))
    return next((folder / name for name in others if _is_of(folder / name, image_id, model)), None)


def _is_of(path: Path, image_id: str, model: Model) -> bool:
    try:
        told = _DECODER.decode(path.read_bytes())
    except (OSError, *UNDECODABLE):
        return False
    return (told.image_id, told.model, told.stage) == (image_id, model, None)


def _listed(found: Found, classes: Taxonomy) -> list[Detection]:
    for box in found.cxcywh_norm.tolist():
        if not records.is_inside(*box):
            raise DetectorError(f"The detector's answer holds the box {box}, outside of the picture.", kind="answer")
    rows = zip(found.class_ids.tolist(), found.confidences.tolist(), found.cxcywh_norm.tolist(), strict=True)
    return [
        Detection(class_id=class_id, class_name=classes.name(class_id), confidence=confidence, bbox=tuple(box))
        for class_id, confidence, box in rows
    ]


def _answering(model: Model, predictions: Predictions) -> Model:
    """The model that answered: a server may load another version in the middle of a run."""
    version = predictions.model_version
    return model if version is None else Model(name=model.name, version=version)

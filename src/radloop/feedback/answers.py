"""A detector's answer as the feedback that is written."""

from typing import Any

from radloop.feedback import records
from radloop.feedback.records import Detection, Feedback, Model
from radloop.predictions import Found, Predictions
from radloop.taxonomy import Taxonomy


def feedback(image_id: str, predictions: Predictions, classes: Taxonomy, model: Model, **told: Any) -> Feedback:
    """The rich form, with what else is `told` by a field's name. The model is the one that answered."""
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


def _listed(found: Found, classes: Taxonomy) -> list[Detection]:
    rows = zip(found.class_ids.tolist(), found.confidences.tolist(), found.cxcywh_norm.tolist(), strict=True)
    return [
        Detection(class_id=class_id, class_name=classes.name(class_id), confidence=confidence, bbox=tuple(box))
        for class_id, confidence, box in rows
    ]


def _answering(model: Model, predictions: Predictions) -> Model:
    """The model that answered: a server may load another version in the middle of a run."""
    version = predictions.model_version
    return model if version is None else Model(name=model.name, version=version)

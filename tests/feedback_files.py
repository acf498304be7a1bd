"""Files of feedback for tests: the bare form, the rich one, and whatever else somebody puts into the folder."""

import json
from collections.abc import Callable
from pathlib import Path

from radloop.errors import FeedbackError
from radloop.feedback.records import Detection, Feedback, Model, PictureMeasures, Simulated
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR


def bare(**changes) -> dict:
    return {
        "image_id": "a1",
        "class_id": 3,
        "confidence": 0.95,
        "bbox": [0.5, 0.5, 0.2, 0.4],
        "timestamp": "2026-11-22T10:00:00.250000+00:00",
        **changes,
    }


def rich(classes: Taxonomy = VINDR, **changes) -> Feedback:
    values = {
        "image_id": "a1",
        "class_id": 3,
        "confidence": 0.95,
        "bbox": (0.5, 0.5, 0.2, 0.4),
        "timestamp": "2026-11-22T10:00:00.250000+00:00",
        "class_name": classes.name(3),
        "detections": [
            Detection(class_id=3, class_name=classes.name(3), confidence=0.95, bbox=(0.5, 0.5, 0.2, 0.4)),
            Detection(class_id=0, class_name=classes.name(0), confidence=0.4, bbox=(0.3, 0.3, 0.1, 0.1)),
        ],
        "split": "production",
        "image_md5": "0" * 32,
        "image_phash": "f" * 16,
        "picture": PictureMeasures(mean=120.0, std=50.5, sharpness=900.25),
        "model": Model(name="oracle", version="noise-1"),
        "latency_ms": 12.5,
        "stage": 4,
        "arrived_at": "2026-11-22T10:00:00.230000+00:00",
        "feedback_id": "f1",
        "run_id": "run-1",
        "simulated": Simulated(site="north", view="PA", device="DX-1"),
        "schema_version": 1,
    }
    return Feedback(**values | changes)


def put(folder: Path, name: str, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else json.dumps(content, indent=2).encode()
    (folder / name).write_bytes(data)
    return folder / name


def refused_by(read: Callable[..., object], *arguments: object, **options: object) -> FeedbackError | None:
    """What `read` raises, or None."""
    try:
        read(*arguments, **options)
    except FeedbackError as refused:
        return refused
    return None


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())

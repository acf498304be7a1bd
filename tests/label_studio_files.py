"""Files as Label Studio exports them, built by hand."""

import json

from radloop.sources.bundle import Bundle
from radloop.sources.formats import label_studio


def region(name="Nodule", x=10.0, y=20.0, width=30.0, height=40.0, **changes):
    """One rectangle of an annotation, as version 1.23 writes it."""
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [name]}
    return {
        "id": "Dx_aB91ISN", "type": "rectanglelabels", "value": value | changes.pop("value", {}), "origin": "manual",
        "to_name": "image", "from_name": "label", "image_rotation": 0, "original_width": 1000, "original_height": 2000,
    } | changes  # fmt: skip


def choice(*names):
    return {"id": "c", "type": "choices", "value": {"choices": [*names]}, "to_name": "image", "from_name": "picture"}


def annotation(*result, id=1, completed_by=1, **changes):  # noqa: A002  the key's name
    return {
        "id": id, "completed_by": completed_by, "result": [*result], "was_cancelled": False, "ground_truth": False,
        "created_at": "2026-02-03T08:00:00.000000Z", "updated_at": "2026-02-03T08:01:00.000000Z", "lead_time": 12.5,
    } | changes  # fmt: skip


def task(*annotations, id=1, image="/data/upload/1/0a1b2c3d-a1.png", **changes):  # noqa: A002
    data = {"image": image} | changes.pop("data", {})
    return {"id": id, "annotations": [*annotations], "drafts": [], "predictions": [], "data": data} | changes


def write(folder, *tasks, name="export.json"):
    path = folder / name
    path.write_text(json.dumps([*tasks]))
    return path


def read(folder, *tasks):
    return label_studio.read(Bundle(write(folder, *tasks)))

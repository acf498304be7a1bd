"""Label Studio: `tasks.json` to import, `label-config.xml` for the project's labelling interface, and the pictures.

`data` begins with `image_id` and, where there is feedback, `feedback_id`: `radloop import` makes a review of it. The
boxes to begin from are predictions: one for each model, or reader, that drew them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import msgspec

from radloop.dataset.export import pictures
from radloop.dataset.export.contents import Contents
from radloop.dataset.export.tasks import Tasks, by_image
from radloop.progress import Progress, silent
from radloop.tables import EDGES
from radloop.words import UNREADABLE

TASKS: Final = "tasks.json"
CONFIG: Final = "label-config.xml"
LABEL, IMAGE = "label", "image"  # the names of the interface's two parts, which every result repeats


def write(contents: Contents, tasks: Tasks, folder: Path, *, prefix: str, progress: Progress = silent) -> None:
    """Write tasks and interface, and link the pictures; an image's address is `prefix` and its file's name."""
    content = msgspec.json.format(msgspec.json.encode(documents(tasks, prefix=prefix)), indent=1)
    (folder / TASKS).write_bytes(content + b"\n")
    (folder / CONFIG).write_text(config(contents.classes.names), encoding="utf-8")
    pictures.link(contents.root, contents.images, folder, pictures.flat, progress)


def documents(tasks: Tasks, *, prefix: str) -> list[dict[str, Any]]:
    """The tasks, in the order of image ids."""
    authors = by_image(tasks.authors)
    boxes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for box in tasks.boxes.iter_rows(named=True):
        boxes.setdefault((box["image_id"], box["author"]), []).append(box)
    return [
        {
            "data": _data(task, prefix),
            "predictions": [
                _prediction(task, author, boxes.get((task["image_id"], author["author"]), []))
                for author in authors.get(task["image_id"], [])
            ],
        }
        for task in tasks.images.iter_rows(named=True)
    ]


def _data(task: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    told = {name: task[name] for name in ("image_id", "feedback_id", "image_md5", "split") if task[name] is not None}
    return {**told, IMAGE: prefix + quote(task["file"])}


def _prediction(
    task: Mapping[str, Any], author: Mapping[str, Any], boxes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    score = {} if author["score"] is None else {"score": author["score"]}
    results = [_result(task, box, number) for number, box in enumerate(boxes, 1)]
    return {"model_version": author["author"], **score, "result": results}


def _result(task: Mapping[str, Any], box: Mapping[str, Any], number: int) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = (100 * box[edge] for edge in EDGES)
    place = {"x": x_min, "y": y_min, "width": x_max - x_min, "height": y_max - y_min, "rotation": 0}
    return {
        "id": f"b{number}",
        "type": "rectanglelabels",
        "from_name": LABEL,
        "to_name": IMAGE,
        "original_width": task["width"],
        "original_height": task["height"],
        "image_rotation": 0,
        **({} if box["score"] is None else {"score": box["score"]}),
        "value": {**place, "rectanglelabels": [box["class_name"]]},
    }


def config(names: Sequence[str]) -> str:
    """The labelling interface: the picture with its controls, a rectangle for each class, a word for the unreadable."""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in names)
    return (
        "<View>\n"
        f'  <Image name="{IMAGE}" value="${IMAGE}" zoom="true" zoomControl="true" brightnessControl="true" '
        'contrastControl="true"/>\n'
        f'  <RectangleLabels name="{LABEL}" toName="{IMAGE}">\n{labels}  </RectangleLabels>\n'
        f'  <Choices name="picture" toName="{IMAGE}">\n    <Choice value="{UNREADABLE}"/>\n  </Choices>\n'
        "</View>\n"
    )

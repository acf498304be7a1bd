"""CVAT for images 1.1: `annotations.xml` to upload, `labels.json` for the task's label constructor, and the pictures.

The boxes to begin from have the source "auto". "No finding", "Reviewed" and "Not readable" are labels of type tag, so
that an image that a person found right or empty can be told from one that nobody has read. CVAT keeps of an image its
name alone: `feedback.json` beside the pictures says which feedback a name stands for, and `radloop import` reads it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from radloop import tree
from radloop.dataset.export import pictures
from radloop.dataset.export.contents import Contents
from radloop.dataset.export.tasks import Tasks, by_image
from radloop.progress import Progress, silent
from radloop.tables import EDGES
from radloop.taxonomy import NOTHING
from radloop.words import REVIEWED, UNREADABLE

ANNOTATIONS: Final = "annotations.xml"
LABELS: Final = "labels.json"
FEEDBACK: Final = "feedback.json"
TAGS: Final = (NOTHING, REVIEWED, UNREADABLE)  # what an image without a drawn box cannot say otherwise


def write(contents: Contents, tasks: Tasks, folder: Path, progress: Progress = silent) -> None:
    """Write the three files, and link the pictures."""
    labels = [{"name": name, "type": kind, "attributes": []} for name, kind in _labels(contents)]
    (folder / ANNOTATIONS).write_text(document(contents, tasks), encoding="utf-8")
    (folder / LABELS).write_bytes(tree.json_file(labels))
    (folder / FEEDBACK).write_bytes(tree.json_file(_speaking(tasks)))
    pictures.link(contents.root, contents.images, folder, pictures.flat, progress)


def _labels(contents: Contents) -> list[tuple[str, str]]:
    return [*((name, "rectangle") for name in contents.classes.names), *((name, "tag") for name in TAGS)]


def _speaking(tasks: Tasks) -> dict[str, dict[str, str]]:
    """{name of an image: what it is of}."""
    told = tasks.images.select("file", "image_id", "feedback_id", "image_md5").iter_rows(named=True)
    return {row["file"]: {name: row[name] for name in row if name != "file" and row[name]} for row in told}


def document(contents: Contents, tasks: Tasks) -> str:
    """The content of annotations.xml."""
    labels = "".join(
        f"        <label><name>{escape(name)}</name><type>{kind}</type><attributes></attributes></label>\n"
        for name, kind in _labels(contents)
    )
    drawn = by_image(tasks.boxes)
    images = "".join(
        _image(number, task, "".join(_box(task, box) for box in drawn.get(task["image_id"], [])))
        for number, task in enumerate(tasks.images.iter_rows(named=True))
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
        f"      <name>radloop {contents.version}</name>\n      <size>{tasks.images.height}</size>\n"
        f"      <mode>annotation</mode>\n      <labels>\n{labels}      </labels>\n    </task>\n  </meta>\n"
        f"{images}</annotations>\n"
    )


def _image(number: int, task: Mapping[str, Any], boxes: str) -> str:
    sides = f'width="{task["width"]}" height="{task["height"]}"'
    return f'  <image id="{number}" name={quoteattr(task["file"])} {sides}>\n{boxes}  </image>\n'


def _box(task: Mapping[str, Any], box: Mapping[str, Any]) -> str:
    """In pixels of the picture, in as many digits as say exactly where."""
    sides = (task["width"], task["height"]) * 2
    corners = zip(("xtl", "ytl", "xbr", "ybr"), EDGES, sides, strict=True)
    place = " ".join(f'{name}="{box[edge] * side!r}"' for name, edge, side in corners)
    return f'    <box label={quoteattr(box["class_name"])} source="auto" occluded="0" {place} z_order="0"></box>\n'

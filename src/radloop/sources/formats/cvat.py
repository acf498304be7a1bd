"""CVAT for images 1.1: an XML file, or several, with each image's shapes; CVAT's "YOLO 1.1" is read as YOLO.

CVAT writes every image of a task, whether anybody has read it or not, and not whether its job is completed. So an image
says that nothing was found only by a tag "No finding" (or "Reviewed", without a box); one without shape and tag is
unlabelled, and so is one whose boxes a program put there and nobody touched or tagged.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle
from radloop.sources.formats import cvat_xml, readings, yolo
from radloop.sources.formats.cvat_xml import Element, File, Image
from radloop.sources.formats.labels import Labels
from radloop.sources.formats.readings import Drawn, Export, Reading, Refused
from radloop.sources.formats.xml import XmlError
from radloop.taxonomy import NOTHING, Taxonomy, is_nothing, normal
from radloop.words import REVIEWED

_CORNERS: Final = ("xtl", "ytl", "xbr", "ybr")
_OF_BOXES: Final = (None, "", "any", "rectangle", "bbox")  # types of labels
_ROUNDED_PX: Final = 0.0051  # CVAT writes two decimals
_BY_PROGRAM: Final = "auto"


def find(bundle: Bundle) -> tuple[str, ...]:
    """The XML files that begin as CVAT's."""
    return tuple(name for name in bundle.ending(".xml") if b"<annotations" in bundle.head(name)[:4096])


def read(bundle: Bundle) -> Labels:
    """What the readers drew, in pixels of the original."""
    if not find(bundle) and yolo.find(bundle):
        return yolo.read(bundle)
    return readings.to_labels(export(bundle))


def export(bundle: Bundle) -> Export:
    """What people drew. Raises AnnotationError where a file is not of CVAT for images."""
    found: list[Reading] = []
    unread = 0
    names: dict[str, None] = {}
    for name in readings.files(bundle, find(bundle), ".xml", "an XML file of CVAT for images 1.1"):
        shown = bundle.shown(name)
        there = len(found)
        file = _parsed(bundle.read(name), shown, found)
        names |= dict.fromkeys(_classes(file))
        unread += file.images - (len(found) - there)
    classes = Taxonomy(tuple(names)) if names else None
    return Export(found, unread, "original", classes=classes, notes=(_TAG,) if unread else ())


def _parsed(data: bytes, shown: str, found: list[Reading]) -> File:
    def take(image: Image, file: File) -> None:
        if image.elements:
            found.append(_reading(image, file.meta, shown))

    try:
        file = cvat_xml.parse(data, take)
    except XmlError as broken:
        raise AnnotationError(f"{shown}: {broken}. Export the task again as CVAT for images 1.1.") from broken
    if file.tracks:
        raise AnnotationError(f"{shown} has tracks of a video. Export the task as CVAT for images 1.1.")
    return file


def _classes(file: File) -> Iterator[str]:
    """The labels that a box may have, in the order of the task."""
    for label in file.labels:
        name = label.get("name", "")
        if name and label.get("type") in _OF_BOXES and not label.get("parent") and not _is_word(name):
            yield name


_TAG: Final = (
    f"CVAT does not tell whether an image without a shape was read: a tag {NOTHING!r} there says that nothing was found"
)


def _is_word(name: str) -> bool:
    return is_nothing(name) or normal(name) == normal(REVIEWED) or readings.says_unreadable(name)


def _reading(image: Image, meta: Mapping[str, str], shown: str) -> Reading:
    drawn: list[Drawn] = []
    refused: list[Refused] = []
    tags = [one.attributes.get("label", "") for one in image.elements if one.kind == "tag"]
    shapes = [one for one in image.elements if one.kind != "tag"]
    file = image.attributes.get("name", "")
    if not file:
        refused.append(Refused("image-unknown", "the image has no name", shown, image.line))
    for shape in shapes:
        _add(shape, shown, drawn, refused)
    reviewed = any(normal(tag) == normal(REVIEWED) for tag in tags)
    reason = f"a tag {''.join(tags[:1])[:60]!r} and no box: neither a finding with its place nor {NOTHING!r}"
    otherwise = Refused("nothing-drawn", reason, shown, image.line)
    verdict = readings.verdict(tags, "tag", drawn, refused, empty=reviewed, otherwise=otherwise)
    width, height = (_side(image.attributes.get(name)) for name in ("width", "height"))
    subset = image.attributes.get("subset") or meta.get("subset")
    return Reading(
        place=shown,
        line=image.line,
        file=file,
        reader=_reader(meta, image.attributes.get("task_id", "")),
        verdict=verdict,
        boxes=drawn,
        refused=refused,
        width=width,
        height=height,
        timestamp=meta.get("updated")
        or meta.get(f"task/{image.attributes.get('task_id', '')}/updated")
        or meta.get("dumped"),
        within=_ROUNDED_PX / min(width, height) if width and height else 0.0,
        split=subset if subset and normal(subset) != "default" else None,
        is_submitted=any(map(_is_word, tags)),
        is_of_program=bool(shapes) and all(one.attributes.get("source") == _BY_PROGRAM for one in shapes),
    )


def _add(shape: Element, place: str, drawn: list[Drawn], refused: list[Refused]) -> None:
    """Put a box among what was drawn, any other shape among the refused."""
    label = shape.attributes.get("label") or None
    told = [_number(shape.attributes.get(name)) for name in _CORNERS]
    corners = [number for number in told if number is not None]
    if shape.kind != "box":
        code, reason = "region-not-box", f"a {shape.kind[:40]} is no box"
    elif len(corners) != len(_CORNERS):
        code, reason = "region-malformed", "a box without xtl, ytl, xbr and ybr"
    elif _number(shape.attributes.get("rotation", "0")) != 0:
        code, reason = "box-rotated", "a rotated box is no box of a detector"
    elif label is None:
        code, reason = "class-missing", "a box without a label"
    else:
        x_min, y_min, x_max, y_max = corners
        drawn.append(Drawn(label, (x_min, y_min, x_max, y_max), place, shape.line))
        return
    refused.append(Refused(code, reason, place, shape.line, label))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _side(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 and int(text) else None


def _reader(meta: Mapping[str, str], task: str) -> str:
    """Whom the task, or the job that was exported alone, is assigned to, else whose it is."""
    for of in (f"task/{task}/", ""):
        for role in ("assignee", "owner"):
            for key in ("username", "email"):
                if meta.get(f"{of}{role}/{key}"):
                    return readings.pseudonym(meta[f"{of}{role}/{key}"])
    return readings.pseudonym(None)

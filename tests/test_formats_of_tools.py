"""From an export of Label Studio or CVAT to a trainer's label files: each box recomputed from the file alone."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import label_studio_files
from radloop.options import Etl
from radloop.pipelines import offline
from radloop.split_sizes import SplitSizes

WIDTH, HEIGHT = 100, 200
NAMES = ("Nodule", "Mass")
SIZES = SplitSizes.parse("training=8,validation=1,test=1,staging=1,canary=1,production=2")
IMAGES = 14


def drawn(number: int) -> list[tuple[int, float, float, float, float]]:
    """The boxes of an image, in pixels with two decimals: none in every third."""
    rng = np.random.default_rng(number)
    low, size = rng.uniform(0, 0.5, (number % 3, 2)), rng.uniform(0.1, 0.5, (number % 3, 2))
    boxes = np.hstack([low, low + size]) * np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    return [(place % 2, *box) for place, box in enumerate(boxes.round(2).tolist())]


def label_studio(folder):
    tasks = []
    for number in range(IMAGES):
        regions = [
            label_studio_files.region(
                NAMES[name], x0 / WIDTH * 100, y0 / HEIGHT * 100, (x1 - x0) / WIDTH * 100, (y1 - y0) / HEIGHT * 100,
                original_width=WIDTH, original_height=HEIGHT,
            )
            for name, x0, y0, x1, y1 in drawn(number)
        ]  # fmt: skip
        read = label_studio_files.annotation(*regions, completed_by=7)
        tasks.append(label_studio_files.task(read, id=number, image=f"/data/upload/1/0a1b2c3d-film{number}.png"))
    (folder / "project-1.json").write_text(json.dumps(tasks))


def cvat(folder):
    root = ElementTree.Element("annotations")
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    ElementTree.SubElement(ElementTree.SubElement(task, "assignee"), "username").text = "7"
    labels = ElementTree.SubElement(task, "labels")
    for name in NAMES:
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for number in range(IMAGES):
        size = {"width": f"{WIDTH}", "height": f"{HEIGHT}"}
        image = ElementTree.SubElement(root, "image", id=f"{number}", name=f"films/film{number}.png", **size)
        for name, *box in drawn(number):
            corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(str, box), strict=True))
            ElementTree.SubElement(image, "box", label=NAMES[name], source="manual", **corners)
        if not drawn(number):
            ElementTree.SubElement(image, "tag", label="No finding")
    ElementTree.ElementTree(root).write(folder / "annotations.xml")


@pytest.mark.parametrize("export", [label_studio, cvat])
def test_every_box_of_a_tools_export_is_a_line_of_its_readers_label(export, tmp_path):
    folder = tmp_path / "source"
    (folder / "films").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH), np.uint8)).save(folder / "films" / f"film{number}.png")
    export(folder)
    done = offline.etl(Etl(out=tmp_path / "out", source=str(folder), sizes=SIZES))
    assert done.transformed.rows_refused == 0
    names = (tmp_path / "out/organized/classes.txt").read_text().split("\n")
    numbers = {name: next(int(line.split()[0]) for line in names if line.endswith(name)) for name in NAMES}
    for number in range(IMAGES):
        (label,) = (tmp_path / "out/organized").glob(f"*/labels/film{number}_7.txt")
        found = sorted(tuple(map(float, line.split())) for line in label.read_text().splitlines())
        expected = sorted(
            (
                numbers[NAMES[name]],
                (x0 + x1) / 2 / WIDTH, (y0 + y1) / 2 / HEIGHT, (x1 - x0) / WIDTH, (y1 - y0) / HEIGHT,
            )
            for name, x0, y0, x1, y1 in drawn(number)
        )  # fmt: skip
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-6)

"""A dataset as it lies, in Datumaro: the recipe of docs/exporting.md, run on real trees."""

import re
from pathlib import Path
from typing import Any

import datumaro
import numpy as np
import pytest

import made_up
from radloop import boxes
from radloop.options import Etl
from radloop.pipelines import offline
from radloop.split_sizes import SplitSizes
from radloop.tables import SPLITS

DOCS = Path(__file__).parent.parent / "docs"
SIZES = SplitSizes.parse("training=16,validation=4,test=4,staging=4,canary=4,production=8")


@pytest.fixture(scope="module")
def organized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tree with both kinds of files."""
    out = tmp_path_factory.mktemp("out")
    films = made_up.films(out / "films")
    offline.etl(Etl(source=str(films), out=out, sizes=SIZES, judge="consensus", min_readers=2))
    return out / "organized"


def recipe() -> str:
    """The code of the page."""
    (code,) = re.findall(r"## The dataset itself in Datumaro\n.*?```python\n(.*?)```", read("exporting.md"), re.DOTALL)
    return code


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def run(root: Path, folders: list[str]) -> Any:
    """What the recipe makes of folders of a tree."""
    code, changed = re.subn(
        r"^folders = .*$", f"folders = {folders}", recipe().replace("data/organized", str(root)), flags=re.M
    )
    assert changed == 1
    names: dict[str, Any] = {}
    exec(compile(code, "exporting.md", "exec"), names)
    return names["dataset"]


@pytest.mark.parametrize(
    "folders",
    [
        pytest.param([*SPLITS], id="per reader"),
        pytest.param(["training", *(f"{split}-consensus" for split in SPLITS[1:])], id="judged by the consensus"),
    ],
)
def test_every_label_is_read_box_by_box_and_no_picture_without_one_is_lost(organized: Path, folders: list[str]):
    dataset = run(organized, folders)

    labels = {path.stem: path for folder in folders for path in (organized / folder / "labels").iterdir()}
    assert {item.id: item.subset for item in dataset} == {stem: path.parts[-3] for stem, path in labels.items()}
    lines = 0
    for item in dataset:
        rows = [[float(word) for word in line.split()] for line in labels[item.id].read_text().splitlines()]
        lines += len(rows)
        expected = [(int(row[0]), *boxes.cxcywh_to_xyxy(np.array(row[1:])) * made_up.SIDE_PX) for row in rows]
        drawn = [(box.label, *box.points) for box in item.annotations]
        np.testing.assert_allclose(sorted(drawn), sorted(expected), atol=0.01)  # Datumaro keeps two digits of a pixel
    assert lines > 20
    named = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
    assert [f"{number} {name}" for number, name in enumerate(named)] == (
        organized / "classes.txt"
    ).read_text().splitlines()


def test_page_names_every_folder_of_a_split():
    assert f"folders = {str(list(SPLITS)).replace(chr(39), chr(34))}" in recipe()


def test_datumaro_does_not_import_by_that_name_what_it_has_exported_itself(tmp_path: Path):
    """Where this fails, a later Datumaro has an importer of this name: try organized/ with it, and mend the pages."""
    items = [
        datumaro.DatasetItem(id=split, subset=split, media=datumaro.Image.from_numpy(np.zeros((20, 20, 3), np.uint8)))
        for split in ("train", "val")
    ]
    datumaro.Dataset.from_iterable(items, categories=["a"]).export(str(tmp_path), "yolo_ultralytics", save_media=True)
    with pytest.raises(datumaro.components.errors.DatasetImportError) as failed:
        datumaro.Dataset.import_from(str(tmp_path), "yolo_ultralytics")
    assert "`urls` should be specified" in str(failed.value.__cause__)

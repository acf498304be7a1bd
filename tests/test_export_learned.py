"""The re-training data in COCO: rows that train with their weight, doubtful boxes as crowds, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import datumaro
import polars as pl
import pytest
from pycocotools.coco import COCO

import exports
from radloop import manifest, sums, tree
from radloop.catalog import version
from radloop.dataset.export import coco, contents
from radloop.errors import DatasetError, UsageError
from radloop.feedback import retraining
from radloop.options import Export
from radloop.pipelines import exporting
from radloop.tables import MANIFEST, RETRAINING, SPLITS
from taxonomies import VINDR

HEART = {"x_min_norm": 0.25, "y_min_norm": 0.5, "x_max_norm": 0.75, "y_max_norm": 0.75}


def row(image_id: str, **changes) -> dict:
    told = {"rad_id": "M-tiny", "split": "production", "source": "prediction", "confidence": 0.8, "class_id": 3}
    return told | HEART | {"image_id": image_id, "feedback_id": image_id, "trains": True, "ignore": False} | changes


@pytest.fixture
def give(tmp_path) -> Callable[..., list[str]]:
    """A dataset, and a way to put a round beside it; it gives the images of production."""
    root = exports.organized(tmp_path)
    ids = version.read(root).images.filter(split="production")["image_id"].sort().to_list()

    def round_of(*rows: dict) -> list[str]:
        data = retraining.csv(pl.DataFrame(rows, schema=RETRAINING), VINDR)
        unit = root / manifest.RETRAIN
        (unit / tree.RETRAIN_TABLE).write_bytes(data)
        listed = [(tree.RETRAIN_TABLE, "table", None, None, None, len(data), *sums.of(data))]
        (unit / manifest.NAME).write_bytes(manifest.encode(pl.DataFrame(listed, schema=MANIFEST, orient="row")))
        return ids

    round_of.ids = ids
    return round_of


def export(out: Path, *splits: str) -> dict:
    done = exporting.export(Export(out=out, format="coco", splits=splits))
    assert done.images.keys() == set(splits)
    return exports.document(done.folder, "retrain")


def boxes(document: dict) -> list[tuple]:
    """image, reader, iscrowd, weight and bbox of each annotation."""
    names = {one["id"]: one["image_id"] for one in document["images"]}
    told = (
        (names[one["image_id"]], *(one[key] for key in ("rad_id", "iscrowd", "weight", "bbox")))
        for one in document["annotations"]
    )
    return sorted(told, key=str)


def test_rows_that_train_are_annotations_with_a_weight_and_doubtful_boxes_are_crowds(tmp_path, give):
    first, second, third, fourth = give.ids[:4]
    give(
        row(first, weight=0.7, trains=False),
        row(first, class_id=5, trains=False, ignore=True),
        row(second, weight=0.6),
        row(third, trains=False),  # bare, or simulated
        row(fourth, rad_id="ann", source="review", class_id=None, **dict.fromkeys(HEART)),
    )
    document = export(tmp_path, "retrain")
    side = exports.SIDE
    bbox = [0.25 * side, 0.5 * side, 0.5 * side, 0.25 * side]
    assert boxes(document) == [
        (first, "M-tiny", 0, 0.7, bbox),
        (first, "M-tiny", 1, None, bbox),
        (second, "M-tiny", 0, 0.6, bbox),
    ]
    assert [(one["image_id"], one["readers"]) for one in document["images"]] == [
        (first, ["M-tiny"]),
        (second, ["M-tiny"]),
        (fourth, ["ann"]),
    ]


def test_what_nobody_weighed_weighs_one_and_ids_are_no_other_files(tmp_path, give):
    give(row(give.ids[0]))
    document = export(tmp_path, "training", "production", "retrain")
    assert [one[3] for one in boxes(document)] == [1.0]
    others = [exports.document(tmp_path / "export/coco", split) for split in ("training", "production")]
    for what in ("images", "annotations"):
        ids = [one["id"] for part in (*others, document) for one in part[what]]
        assert len(ids) == len(set(ids))


def test_tools_read_it(tmp_path, give):
    give(row(give.ids[0], weight=0.5, trains=False), row(give.ids[0], class_id=5, trains=False, ignore=True))
    export(tmp_path, "retrain")
    folder = tmp_path / "export/coco"
    index = COCO(folder / "annotations/instances_retrain.json")
    assert len(index.getAnnIds(iscrowd=False)) == len(index.getAnnIds(iscrowd=True)) == 1
    (item,) = datumaro.Dataset.import_from(str(folder), "coco_instances")
    assert sorted(box.attributes["is_crowd"] for box in item.annotations) == [False, True]


def test_only_coco_has_a_place_for_it(tmp_path, give):
    give(row(give.ids[0]))
    with pytest.raises(UsageError, match="--format coco"):
        exporting.export(Export(out=tmp_path, format="parquet", splits=("retrain",)))


def test_round_that_is_not_there_or_was_changed_is_said(tmp_path, give):
    give(row(give.ids[0], trains=False))
    with pytest.raises(DatasetError, match="no row to train on"):
        export(tmp_path, "retrain")
    table = tmp_path / "organized" / manifest.RETRAIN / tree.RETRAIN_TABLE
    table.write_bytes(table.read_bytes() + b"\n")
    with pytest.raises(DatasetError, match="radloop retrain"):
        export(tmp_path, "retrain")
    table.unlink()
    with pytest.raises(DatasetError, match=r"radloop retrain.* first"):
        export(tmp_path, "retrain")


def test_consensus_of_the_readers_weighs_their_share(tmp_path):
    known = version.read(exports.organized(tmp_path))
    silent = pl.when(pl.col("rad_id") != "R1").then(pl.col("class_id", *HEART))  # R1 finds nothing
    told = contents.read(replace(known, annotations=known.annotations.with_columns(silent)), labels="consensus")
    weights = [one["weight"] for split in SPLITS for one in coco.document(told, split)["annotations"]]
    assert set(weights) == {0.5, 1.0}

"""What an export is made of: the pictures that are there, who looked, and boxes by reader or fused."""

import json

import polars as pl
import pytest

import exports
from radloop import manifest
from radloop.catalog import truth, version
from radloop.dataset.export import contents, tasks
from radloop.errors import DatasetError
from radloop.tables import DETECTIONS, EDGES, FEEDBACK, REJECTED, SPLITS


@pytest.fixture
def dataset(tmp_path):
    return exports.organized(tmp_path)


def change(root, key, data):
    """Write other bytes under a key, and list them."""
    (root / key).write_bytes(data)
    row = {"key": key, "kind": "table", "image_id": None, "rad_id": None, "split": None}
    listed = manifest.read(root).filter(pl.col("key") != key)
    new = pl.DataFrame([row | {"bytes": len(data), "md5": exports.md5(data)}], schema=listed.schema)
    (root / manifest.NAME).write_bytes(manifest.encode(pl.concat([listed, new])))


def with_settings(root, **settings):
    summary = json.loads((root / "summary.json").read_bytes())
    change(root, "summary.json", json.dumps(summary | {"settings": settings}).encode())
    return root


def test_labels_are_the_dataset_s_own_unless_others_are_asked_for(dataset):
    assert set(exports.read(dataset).labels.values()) == {"per-reader"}
    assert set(exports.read(dataset, labels="consensus").labels.values()) == {"consensus"}
    assert set(exports.read(with_settings(dataset, labels="consensus")).labels.values()) == {"consensus"}
    judged = exports.read(with_settings(dataset, labels="per-reader", judge="consensus"))
    assert judged.labels == dict.fromkeys(SPLITS, "consensus") | {"training": "per-reader"}
    training, rest = (judged.boxes.join(judged.images.filter(of), on="image_id", how="semi") for of in SIDES)
    assert training["rad_id"].null_count() == 0 < training.height
    assert rest["support"].null_count() == 0 < rest.height


SIDES = (pl.col("split") == "training", pl.col("split") != "training")


def test_fused_boxes_are_those_that_so_many_readers_drew_as_the_dataset_was_told(dataset):
    annotations = version.read(dataset).annotations
    for least in (1, 2):
        kept = truth.fuse(annotations, min_readers=least).filter("kept")
        found = exports.read(with_settings(dataset, min_readers=least), labels="consensus").boxes
        columns = ["image_id", "class_id", *EDGES, "support"]
        assert found.select(columns).sort(columns).rows() == kept.select(columns).sort(columns).rows()


def test_rows_that_are_in_no_label_are_in_no_export(dataset):
    known = version.read(dataset)
    first = known.annotations["rad_id"][0]
    used = known.annotations.with_columns(used=pl.col("rad_id") != first)
    change(dataset, "annotations.parquet", version.encode(used, known.taxonomy))
    chosen = exports.read(dataset)
    assert first not in chosen.boxes["rad_id"]
    assert first not in chosen.images["readers"].explode()
    assert chosen.annotations.height == used.height


def test_box_that_hangs_over_the_edge_ends_at_it(dataset):
    known = version.read(dataset)
    over = known.annotations.with_columns(x_max_norm=pl.col("x_max_norm") + 1, y_min_norm=pl.col("y_min_norm") - 1)
    change(dataset, "annotations.parquet", version.encode(over, known.taxonomy))
    boxes = exports.read(dataset).boxes
    assert (boxes["x_max_norm"].unique().to_list(), boxes["y_min_norm"].unique().to_list()) == ([1.0], [0.0])


def test_image_whose_lost_reader_may_have_seen_something_is_not_exported_as_normal(dataset):
    rows = version.read(dataset).annotations
    normal = rows.filter(pl.col("class_id").is_null())["image_id"].unique().sort()
    drawn = rows.filter(pl.col("class_id").is_not_null())["image_id"][0]
    refused = [(normal[0], "R17"), (drawn, "R17"), (normal[1], rows.filter(image_id=normal[1])["rad_id"][0])]
    table = pl.DataFrame([{"image_id": one, "rad_id": who} for one, who in refused])
    empty = [pl.lit(None, kind).alias(name) for name, kind in REJECTED.items() if name not in table.columns]
    change(dataset, "rejected.csv", table.with_columns(empty).select(REJECTED.names()).write_csv().encode())
    every = set(rows["image_id"])
    assert set(exports.read(dataset).images["image_id"]) == every
    fused = exports.read(dataset, labels="consensus")
    assert set(fused.images["image_id"]) == every - {normal[0]}
    assert fused.undecided == (normal[0],)
    shown = exports.read(dataset, labels="consensus", to_read=True)
    assert set(shown.images["image_id"]) == every
    authors = tasks.of(shown, FEEDBACK.to_frame(), DETECTIONS.to_frame()).authors
    assert every - set(authors["image_id"]) == {normal[0]}  # an author without a box would say that it is normal


@pytest.mark.parametrize("damaged", [None, b"image_id,rad_id\n"], ids=["gone", "changed"])
def test_refused_rows_that_are_not_those_of_the_manifest_stop_what_depends_on_them(dataset, damaged):
    change(dataset, "rejected.csv", b"image_id,rad_id\na,R1\n")
    (dataset / "rejected.csv").unlink() if damaged is None else (dataset / "rejected.csv").write_bytes(damaged)
    assert exports.read(dataset).undecided == ()
    with pytest.raises(DatasetError, match=r"rejected\.csv is damaged, or was changed"):
        exports.read(dataset, labels="consensus")


@pytest.mark.parametrize("labels", ["per-reader", "consensus"])
def test_part_that_was_pulled_has_the_numbers_of_the_whole(dataset, labels):
    whole = exports.read(dataset, labels=labels, splits=("test",))
    listed = manifest.read(dataset).filter(pl.col("split").is_null() | (pl.col("split") == "test"))
    (dataset / manifest.NAME).write_bytes(manifest.encode(listed))
    part = exports.read(dataset, labels=labels)
    assert part.images.rows() == whole.images.rows()
    assert part.boxes.rows() == whole.boxes.rows()


def test_part_that_was_pulled_exports_what_is_there_under_the_version_of_the_whole(dataset):
    whole = json.loads((dataset / "summary.json").read_bytes())["version"]
    listed = manifest.read(dataset).filter(pl.col("split").is_null() | pl.col("split").is_in(["test", "canary"]))
    (dataset / manifest.NAME).write_bytes(manifest.encode(listed))
    chosen = exports.read(dataset)
    assert chosen.splits == ("test", "canary")
    assert chosen.version == whole != version.read(dataset).id
    assert set(chosen.boxes["image_id"]) <= set(chosen.images["image_id"])
    with pytest.raises(DatasetError, match=r"no image of training to export\. Choose of test, canary with --splits"):
        exports.read(dataset, splits=("training",))


def test_tables_have_their_columns(dataset):
    chosen = exports.read(dataset)
    assert dict(chosen.images.schema) == dict(contents.IMAGES)
    assert dict(chosen.boxes.schema) == dict(contents.BOXES)


@pytest.mark.parametrize("image_id", ["../../a", "a/b", "..", "a\\nb", None])
def test_id_that_would_lead_out_of_the_export_stops_it(dataset, image_id):
    listed = manifest.read(dataset)
    first = listed.filter(kind="image")["key"][0]
    other = pl.when(pl.col("key") == first).then(pl.lit(image_id, pl.String)).otherwise("image_id")
    (dataset / manifest.NAME).write_bytes(manifest.encode(listed.with_columns(image_id=other)))
    with pytest.raises(DatasetError, match="is no name of a file: it was not written by radloop"):
        exports.read(dataset)

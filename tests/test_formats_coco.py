"""COCO files: what an image without an annotation says, what is refused and where, and which files are read."""

import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from radloop.errors import AnnotationError
from radloop.sources import formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import coco
from radloop.taxonomy import NOTHING

CATEGORIES = ({"id": 1, "name": "nodule"}, {"id": 3, "name": "mass"})


def image(number, **changes):
    return {"id": number, "file_name": f"{number}.png", "width": 200, "height": 100} | changes


def box(image_id, **changes):
    return {"id": 1, "image_id": image_id, "category_id": 1, "bbox": [1, 2, 30, 40], "iscrowd": 0} | changes


def document(images, annotations, categories=CATEGORIES):
    return {"images": images, "annotations": annotations, "categories": list(categories)}


@pytest.fixture
def read(tmp_path):
    """Labels of a folder with these files; text stands as it is."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        assert formats.detect(Bundle(tmp_path)) == "coco"
        return coco.read(Bundle(tmp_path))

    return make


def one(read, images, annotations, categories=CATEGORIES):
    return read({"labels.json": document(images, annotations, categories)})


def readings(labels):
    """Each image with each reader and how many boxes that one drew."""
    rows = labels.rows.group_by("image_id", "rad_id").agg(boxes=pl.col("x_min").count())
    return sorted(rows.rows())


def refused(labels):
    return labels.rejected.select("place", "code", "image_id").rows()


def test_a_box_is_taken_exactly_and_an_image_without_one_is_normal(read):
    labels = one(read, [image(7), image(8)], [box(7, category_id=3, bbox=[0.1, 2, 30.25, 40])])
    assert labels.boxes == "original"
    assert labels.classes.names == ("nodule", "mass")
    assert labels.rows.drop("line").to_dicts() == [
        {"place": "labels.json: annotations[0]", "image_id": "7", "class_name": "mass", "class_id": None,
         "rad_id": "R0", "x_min": "0.1", "y_min": "2.0", "x_max": "30.35", "y_max": "42.0",
         "width": "200", "height": "100"},
        {"place": "labels.json: images[1]", "image_id": "8", "class_name": NOTHING, "class_id": None,
         "rad_id": "R0", "x_min": None, "y_min": None, "x_max": None, "y_max": None,
         "width": "200", "height": "100"},
    ]  # fmt: skip
    assert labels.rejected.is_empty()
    assert labels.notes == ()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"iscrowd": 1}, "region-not-box", id="a region of many"),
        pytest.param({"bbox": [1, 2, -3, 4]}, "size-negative", id="a negative width"),
        pytest.param({"bbox": None}, "box-missing", id="a mask without a box"),
        pytest.param({"category_id": 2}, "class-unknown", id="a gap among the ids"),
        pytest.param({"bbox": [1, 2, float("nan"), 4]}, "record-unusable", id="NaN as Python writes it"),
        pytest.param({"bbox": [1, 2, "3", 4]}, "record-unusable", id="a text for a number"),
        pytest.param({"bbox": [1, 2, 3]}, "record-unusable", id="three numbers"),
        pytest.param({"bbox": [1, 2, 10**400, 4]}, "record-unusable", id="a number beyond all floats"),
    ],
)
def test_what_is_no_sound_box_is_refused_and_makes_no_image_normal(read, changes, code):
    labels = one(read, [image(7), image(8)], [box(8), box(7, **changes)])
    assert refused(labels) == [("labels.json: annotations[1]", code, "7")]
    assert readings(labels) == [("8", "R0", 1)]


def test_an_id_with_a_point_is_the_same_id(read):
    assert readings(one(read, [image(7), image(8)], [box(7.0, category_id=3.0)])) == [("7", "R0", 1), ("8", "R0", 0)]


def test_an_annotation_of_an_image_that_is_not_listed_is_refused(read):
    labels = one(read, [image(7)], [box(9), box(7, id=2)])
    assert refused(labels) == [("labels.json: annotations[0]", "image-unknown", None)]
    assert "9" in labels.rejected["reason"][0]


def test_readers_who_looked_and_drew_nothing_found_nothing(read):
    labels = one(
        read,
        [image(7, readers=["R1", "R2", "R3"]), image(8, readers=["R2"]), image(9)],
        [box(7, rad_id="R1"), box(7, rad_id="R3", iscrowd=1)],
    )
    assert readings(labels) == [("7", "R1", 1), ("7", "R2", 0), ("8", "R2", 0), ("9", "R0", 0)]


def test_where_readers_were_fused_nobody_has_looked_by_himself(read):
    images = [image(7, readers=["R1", "R2"]), image(8, readers=["R1", "R2"])]
    assert readings(one(read, images, [box(7, support=2, readers=2)])) == [("7", "R0", 1), ("8", "R0", 0)]


def test_each_file_is_a_split(read):
    labels = read(
        {
            "annotations/instances_train2017.json": document([image(1)], [box(1)]),
            "annotations/instances_val2017.json": document([image(2)], [box(2)]),
            "test/_annotations.coco.json": document([image(3)], [box(3)]),
        }
    )
    assert labels.rows.select("image_id", "split").rows() == [("1", "train"), ("2", "val"), ("3", "test")]


def test_images_of_a_file_without_annotations_are_unlabelled_and_said_to_be(read):
    info = {"images": [image(5), image(6)], "categories": list(CATEGORIES)}
    labels = read({"image_info_test.json": info, "train.json": document([image(1)], [box(1)])})
    assert labels.rows["image_id"].to_list() == ["1"]
    assert labels.notes == ("image_info_test.json holds no annotation: its 2 images are unlabelled, not normal",)


def test_a_category_with_two_names_stops_the_run(read):
    with pytest.raises(AnnotationError, match=r"val.json: category 1 is 'mass', and elsewhere 'nodule'"):
        read(
            {
                "train.json": document([image(1)], [box(1)]),
                "val.json": document([image(2)], [box(2)], [{"id": 1, "name": "mass"}]),
            }
        )


def test_the_root_that_roboflow_writes_is_no_class(read):
    under = [{"id": 0, "name": "chest", "supercategory": "none"}] + [
        one | {"supercategory": "chest"} for one in CATEGORIES
    ]
    labels = one(read, [image(1)], [box(1)], under)
    assert labels.classes.names == ("nodule", "mass")
    assert "'chest'" in labels.notes[0]


@pytest.mark.parametrize("bbox", [None, [0, 0, 1, 1]])
def test_a_category_that_says_nothing_was_found_is_no_class(read, bbox):
    categories = [*CATEGORIES, {"id": 9, "name": "No finding"}]
    labels = one(read, [image(1), image(2)], [box(1, category_id=9, bbox=bbox), box(2)], categories)
    assert labels.classes.names == ("nodule", "mass")
    assert labels.rows.select("image_id", "class_name").rows() == [("1", "No finding"), ("2", "nodule")]
    assert labels.rejected.is_empty()


def test_predictions_are_no_labels(read):
    results = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}]
    with pytest.raises(AnnotationError, match=r"results.json holds predictions, not labels"):
        read({"results.json": results})


def test_a_folder_without_a_json_file_is_said_to_have_none(tmp_path):
    with pytest.raises(AnnotationError, match="holds no json file"):
        coco.read(Bundle(tmp_path))


def test_boxes_of_images_without_a_size_are_in_the_pictures_pixels(read):
    labels = one(read, [{"id": 1, "file_name": "a.png"}], [box(1)])
    assert labels.boxes == "picture"
    assert "width" not in labels.rows.columns


BOXES = {  # Datumaro writes two decimals
    "a": [("mass", 10.25, 20.5, 30.75, 41.75), ("nodule", 1, 2, 33, 44)],
    "b": [],
    "c": [("nodule", 0.1, 0.2, 99.9, 79.7)],
}


def drawn(labels):
    """Each image's boxes as a list of name and corners."""
    found = {image_id: [] for image_id in labels.rows["image_id"]}
    for row in labels.rows.filter(pl.col("class_name") != NOTHING).iter_rows(named=True):
        corners = [float(row[side]) for side in ("x_min", "y_min", "x_max", "y_max")]
        found[row["image_id"]].append((row["class_name"], *corners))
    return found


def same_boxes(found):
    """Whether they are those of BOXES to a millionth of a pixel."""
    return found.keys() == BOXES.keys() and all(
        len(found[name]) == len(rows)
        and all(
            mine[0] == row[0] and mine[1:] == pytest.approx(row[1:], abs=1e-6)
            for mine, row in zip(sorted(found[name]), sorted(rows), strict=True)
        )
        for name, rows in BOXES.items()
    )


@pytest.mark.slow
def test_a_file_of_supervisions_gives_the_same_boxes_and_names(tmp_path):
    supervision = pytest.importorskip("supervision")
    names, annotations = ["nodule", "mass"], {}
    (tmp_path / "images").mkdir()
    for image_id, rows in BOXES.items():
        path = tmp_path / "images" / f"{image_id}.png"
        Image.new("L", (100, 80)).save(path)
        corners = np.array([row[1:] for row in rows], dtype=float).reshape(-1, 4)
        numbers = np.array([names.index(row[0]) for row in rows], dtype=int)
        annotations[str(path)] = supervision.Detections(xyxy=corners, class_id=numbers)
    dataset = supervision.DetectionDataset(names, list(annotations), annotations)
    dataset.as_coco(annotations_path=str(tmp_path / "labels.json"))
    labels = coco.read(Bundle(tmp_path))
    assert same_boxes(drawn(labels))
    assert labels.classes.names == ("nodule", "mass")
    assert labels.rejected.is_empty()


@pytest.mark.slow
def test_files_of_datumaros_give_the_same_boxes_and_splits(tmp_path):
    datumaro = pytest.importorskip("datumaro")
    names = ["nodule", "mass"]
    items = [
        datumaro.DatasetItem(
            image_id,
            subset="val" if image_id == "c" else "train",
            media=datumaro.Image.from_numpy(np.zeros((80, 100, 3), np.uint8)),
            annotations=[datumaro.Bbox(x, y, X - x, Y - y, label=names.index(name)) for name, x, y, X, Y in rows],
        )
        for image_id, rows in BOXES.items()
    ]
    dataset = datumaro.Dataset.from_iterable(items, categories=names, media_type=datumaro.Image)
    dataset.export(str(tmp_path / "out"), "coco_instances", save_media=True)
    labels = coco.read(Bundle(tmp_path / "out"))
    assert same_boxes(drawn(labels))
    assert labels.classes.names == ("nodule", "mass")
    assert dict(labels.rows.select("image_id", "split").rows()) == {"a": "train", "b": "train", "c": "val"}


def test_byte_order_mark_hides_no_file(read):
    labels = read({"labels.json": "\ufeff" + json.dumps(document([image(1)], [box(1)]))})
    assert labels.rows.height == 1


@pytest.mark.parametrize(("listed", "told"), [(7, "7"), ("7", 7), (7.0, "7"), ("7", 7.0)])
def test_an_id_written_in_another_way_is_the_same_image_and_leaves_none_normal(read, listed, told):
    assert readings(one(read, [image(listed, file_name="a.png")], [box(told)])) == [("a", "R0", 1)]


@pytest.mark.parametrize("image_id", [None, True, [7], {}])
def test_an_annotation_of_nobody_knows_which_image_stops_for_one_would_be_taken_for_normal(read, image_id):
    with pytest.raises(AnnotationError, match=r"labels\.json: annotations\[1\] tells no image_id .* taken for normal"):
        one(read, [image(7), image(8)], [box(7), box(image_id)])

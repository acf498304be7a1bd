"""COCO: what pycocotools, supervision and Datumaro find in the export is what the readers drew."""

import json
from collections import Counter

import datumaro
import pytest
import supervision
from PIL import Image
from pycocotools.coco import COCO

import exports
from radloop.catalog import truth, version
from radloop.dataset.export import coco
from radloop.tables import EDGES, SPLITS


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return exports.organized(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    coco.write(exports.read(dataset), folder)
    return folder


def opened(folder):
    """pycocotools' index of each split."""
    paths = sorted((folder / "annotations").iterdir())
    return {path.stem.removeprefix("instances_"): COCO(path) for path in paths}


def test_pycocotools_finds_every_readers_box_in_the_pixels_of_the_picture(dataset, folder):
    found = []
    for split, index in opened(folder).items():
        names = {category["id"]: category["name"] for category in index.loadCats(index.getCatIds())}
        for image_id, image in index.imgs.items():
            with Image.open(folder / "images" / split / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
            for one in index.imgToAnns[image_id]:
                x, y, width, height = one["bbox"]
                assert one["area"] == pytest.approx(width * height)
                assert one["iscrowd"] == 0
                corners = [round(edge, 6) for edge in (x, y, x + width, y + height)]
                found.append((image["image_id"], names[one["category_id"]], one["rad_id"], *corners))
    assert sorted(found) == exports.drawn(dataset)


def test_every_image_stands_once_with_all_who_looked_at_it_also_those_who_found_nothing(dataset, folder):
    looked = version.read(dataset).annotations.group_by("image_id", "split").agg(readers="rad_id")
    expected = {(image_id, split): sorted(set(readers)) for image_id, split, readers in looked.iter_rows()}
    images = [image for index in opened(folder).values() for image in index.imgs.values()]
    assert {(image["image_id"], image["split"]): image["readers"] for image in images} == expected
    assert Counter(image["image_id"] for image in images).most_common(1)[0][1] == 1


def test_ids_are_distinct_over_all_files_and_the_same_whatever_is_exported(dataset, folder, tmp_path):
    whole = opened(folder)
    ids = [number for index in whole.values() for number in index.anns]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    assert sorted(number for index in whole.values() for number in index.imgs) == list(range(1, 25))
    coco.write(exports.read(dataset, splits=("test",)), tmp_path)
    assert list(opened(tmp_path)) == ["test"]
    assert opened(tmp_path)["test"].dataset == whole["test"].dataset


def test_categories_are_the_classes_from_one_on(dataset, folder):
    names = version.read(dataset).taxonomy.names
    for index in opened(folder).values():
        assert [(one["id"], one["name"]) for one in index.dataset["categories"]] == list(enumerate(names, 1))


def test_fused_boxes_tell_how_many_of_how_many_readers_drew_them(dataset, tmp_path):
    known = version.read(dataset)
    fused = truth.fuse(known.annotations, min_readers=1)
    coco.write(exports.read(dataset, labels="consensus"), tmp_path)
    found = [
        (image["image_id"], one["category_id"] - 1, *one["bbox"][:2], one["support"], one["readers"])
        for index in opened(tmp_path).values()
        for one in index.anns.values()
        for image in index.loadImgs(one["image_id"])
    ]
    corners = fused.select("image_id", "class_id", *EDGES[:2], "support", "readers").iter_rows()
    expected = [(who, number, x * exports.SIDE, y * exports.SIDE, *rest) for who, number, x, y, *rest in corners]
    assert [one[:2] for one in sorted(found)] == [one[:2] for one in sorted(expected)]
    assert [one[2:] for one in sorted(found)] == [pytest.approx(one[2:]) for one in sorted(expected)]
    assert all("rad_id" not in one for index in opened(tmp_path).values() for one in index.anns.values())


def test_licence_stands_there_only_where_somebody_told_it(dataset, folder, tmp_path):
    assert json.loads((folder / "annotations" / "instances_test.json").read_bytes())["licenses"] == []
    coco.write(exports.read(dataset, license="CC-BY-4.0"), tmp_path)
    content = json.loads((tmp_path / "annotations" / "instances_test.json").read_bytes())
    assert [one["name"] for one in content["licenses"]] == ["CC-BY-4.0"]
    assert {image["license"] for image in content["images"]} == {1}


def test_supervision_finds_the_same_boxes(dataset, folder):
    found = []
    for split in SPLITS:
        path = folder / "annotations" / f"instances_{split}.json"
        read = supervision.DetectionDataset.from_coco(str(folder / "images" / split), str(path))
        for picture, _, boxes in read:
            name = picture.rpartition("/")[2].removesuffix(".png")
            for corners, class_id in zip(boxes.xyxy, boxes.class_id, strict=True):
                found.append((name, read.classes[class_id], *(round(float(edge), 3) for edge in corners)))
    expected = [
        (name, class_name, *(round(edge, 3) for edge in box)) for name, class_name, _, *box in exports.drawn(dataset)
    ]
    assert [one[:2] for one in sorted(found)] == [one[:2] for one in sorted(expected)]
    assert sorted(found) == [
        (*one[:2], *(pytest.approx(edge, abs=2e-3) for edge in one[2:])) for one in sorted(expected)
    ]


def test_datumaro_finds_the_same_boxes_and_pictures(dataset, folder):
    read = datumaro.Dataset.import_from(str(folder), "coco_instances")
    names = [category.name for category in read.categories()[datumaro.AnnotationType.label]]
    found = [
        (item.id, names[box.label], *(round(edge, 2) for edge in box.points))
        for item in read
        for box in item.annotations
        if box.type == datumaro.AnnotationType.bbox
    ]
    expected = [
        (name, class_name, *(round(edge, 2) for edge in box)) for name, class_name, _, *box in exports.drawn(dataset)
    ]
    assert sorted(found) == sorted(expected)
    assert {item.subset for item in read} == set(SPLITS)
    assert all(item.media.data.shape[:2] == (exports.SIDE, exports.SIDE) for item in read)


def test_files_are_the_documents_that_python_is_given(dataset, folder):
    chosen = exports.read(dataset)
    for split in SPLITS:
        written = json.loads((folder / "annotations" / f"instances_{split}.json").read_bytes())
        assert written == coco.document(chosen, split)

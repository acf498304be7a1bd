"""One COCO file: which split it is, how its pictures are named, what stands twice in it."""

import pytest

from radloop.errors import AnnotationError
from radloop.sources.formats.coco_document import Annotation, Category, Document, Image
from radloop.sources.formats.coco_file import File


def file(*images, name="labels.json", annotations=(), there=()):
    numbers = range(len(images)), range(len(annotations))
    document = Document(images, annotations, [Category(1, "nodule")], *numbers)
    return File(name, document, frozenset(there))


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("annotations/instances_train2017.json", "train"),
        ("valid/_annotations.coco.json", "valid"),
        ("train/val.json", "val"),
        ("instances_production.json", "production"),
        ("contest.json", None),
        ("retrained/labels.json", None),
    ],
)
def test_a_split_is_told_by_the_name_then_by_the_folder(name, split):
    assert file(name=name).split == split


def test_a_picture_beside_the_file_is_named_from_its_folder():
    named = file(Image(1, "a.png"), Image(2, "b.png"), name="train/x.json", there={"train/a.png"})
    assert named._images["file"].to_list() == ["train/a.png", "b.png"]


def test_one_id_of_two_pictures_is_an_error_and_one_picture_twice_is_told():
    with pytest.raises(AnnotationError, match=r"'a.png' and 'b.png' have one id, 1"):
        file(Image(1, "a.png"), Image(1, "b.png"))
    twice = file(Image(1, "a.png"), Image(1, "a.png"), annotations=[Annotation(1, 1, (0, 0, 9, 9), id=5)] * 2)
    assert list(twice.notes()) == [
        "labels.json lists 1 image twice under one id",
        "labels.json: 1 of the annotations have the id of another, and all are read",
    ]


@pytest.mark.parametrize("size", [(512, 300), (512.5, 1e300), (None, None)])
def test_sides_are_as_they_are_written(size):
    read = file(Image(1, "a.png", *size), annotations=[Annotation(1, 1, (0, 0, 9, 9))])
    assert read.rows().select("width", "height").rows() == [size]

"""Labels in YOLO's form: which pictures and labels a data set means, and what each line becomes."""

import zipfile

import polars as pl
import pytest

from radloop.errors import AnnotationError
from radloop.sources import formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import yolo
from radloop.taxonomy import NOTHING

BOX = "0 0.5 0.5 0.2 0.4\n"
NAMES = "names: [nodule, mass]\n"


def read(path):
    assert formats.detect(Bundle(path)) == "yolo"
    return yolo.read(Bundle(path))


def images(labels):
    """Each image that has rows, with its split where there are splits."""
    columns = [name for name in ("image_id", "split") if name in labels.rows.columns]
    return sorted(labels.rows.select(columns).unique().rows())


def one(tree, text, names=NAMES):
    """The rows and refused rows of one label."""
    data = f"train: images\nval: images\n{names}"
    return read(tree({"data.yaml": data, "images/a.png": "", "labels/a.txt": text, "labels/b.txt": BOX}))


def test_a_line_is_a_box_and_an_empty_file_is_normal(tree):
    labels = read(
        tree(
            {
                "data.yaml": f"train: images/train\nval: images/val\n{NAMES}",
                **{f"images/{name}.png": "" for name in ("train/a", "train/b", "val/c", "val/d")},
                "labels/train/a.txt": "1 0.5 0.5 0.25 0.125\n\n0 0.25 0.75 0.5 0.5\n",
                "labels/train/b.txt": "",
                "labels/val/c.txt": "\n  \n",
            }
        )
    )
    assert labels.boxes == "fraction"
    assert labels.classes.names == ("nodule", "mass")
    assert labels.rejected.is_empty()
    assert labels.rows.select(
        "image_id", "class_name", "rad_id", "line", "place", "split", "x_min", "y_max"
    ).rows() == [
        ("a", "mass", "R0", 1, "labels/train/a.txt", "train", "0.375", "0.5625"),
        ("a", "nodule", "R0", 3, "labels/train/a.txt", "train", "0.0", "1.0"),
        ("b", NOTHING, "R0", None, "labels/train/b.txt", "train", None, None),
        ("c", NOTHING, "R0", None, "labels/val/c.txt", "val", None, None),
    ]
    (note,) = labels.notes
    assert note.startswith("1 pictures have no label file, such as images/val/d.png: they are unlabelled")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeff" + BOX, id="BOM"),
        pytest.param(BOX.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(BOX.replace("\n", "\r"), id="CR"),
        pytest.param(BOX.replace(" ", "\t"), id="tabs"),
        pytest.param(f"\n  {BOX}\n \t\n", id="blank lines and spaces"),
        pytest.param("0.0 .5 5e-1 2E-1 +0.4", id="numbers in other forms, no newline"),
    ],
)
def test_forms_of_one_line_read_the_same(tree, text):
    rows = one(tree, text).rows.filter(image_id="a")
    assert rows.select("class_name", "x_min", "y_min", "x_max", "y_max").rows() == [
        ("nodule", "0.4", "0.3", "0.6", "0.7")
    ]


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        ("0 0.5 0.5 0.2 0.2 0.97", "line-of-prediction", "six columns: a prediction with its confidence, not a label"),
        ("0 .1 .1 .2 .1 .2 .2", "region-not-box", "7 columns: an outline or a turned box, not a box"),
        ("0 .1 .1 .2 .1 .2 .2 .1 .2", "region-not-box", "9 columns: an outline or a turned box, not a box"),
        ("0 .1 .1", "line-miscounted", "3 columns, not the five of a box"),
        ("2 .5 .5 .1 .1", "class-unknown", "the class is unknown: 2 names, and '2' is none of 0..1"),
        ("-1 .5 .5 .1 .1", "class-unknown", "the class is unknown: '-1' is no whole number from 0"),
        ("0.5 .5 .5 .1 .1", "class-unknown", "the class is unknown: '0.5' is no whole number from 0"),
        ("nodule .5 .5 .1 .1", "class-unknown", "the class is unknown: 'nodule' is no whole number from 0"),
        ("nan .5 .5 .1 .1", "class-unknown", "the class is unknown: 'nan' is no whole number from 0"),
        ("0 NaN .5 .1 .1", "coordinate-no-number", "a coordinate is not a number: xc 'NaN'"),
        ("0 .5 inf .1 .1", "coordinate-no-number", "a coordinate is not a number: yc 'inf'"),
        ("0 .5 .5 0,1 .1", "coordinate-no-number", "a coordinate is not a number: w '0,1'"),
        ("0 .5 .5 .1 -.1", "box-inverted", "the box has a negative size: h '-.1'"),
    ],
)
def test_what_is_no_box_is_refused_with_its_file_and_line(tree, line, code, reason):
    labels = one(tree, f"{BOX}\n{line}\n")
    assert labels.rejected.select("image_id", "rad_id", "place", "line", "code", "reason").rows() == [
        ("a", "R0", "labels/a.txt", 3, code, reason)
    ]
    assert labels.rows.filter(image_id="a").height == 1


def test_a_label_that_is_no_text_is_refused_whole(tree):
    labels = one(tree, BOX.encode() + b"0 \xff")
    assert labels.rejected.select("image_id", "line", "code").rows() == [("a", 2, "not-utf-8")]


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        (BOX * 10_001, "label-too-long", "the label has 10,001 lines: 10,000 are the most"),
        ("0 " * 600_000, "label-too-long", "the label has 1,200,000 bytes: 1,048,576 are the most"),
        (
            BOX + "a\n" * 101,
            "line-miscounted",
            "101 lines are no boxes; of the first: 1 columns, not the five of a box",
        ),
    ],
)
def test_a_label_of_too_much_is_refused_whole(tree, text, code, reason):
    labels = one(tree, text)
    assert labels.rejected.select("image_id", "code", "reason").rows() == [("a", code, reason)]
    assert images(labels)[-1] == ("b", "train and val")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("names: [nodule, mass]", ("nodule", "mass")),
        ("names:\n  1: mass\n  0: nodule", ("nodule", "mass")),
        ("names:\nnc: 2", ("class_0", "class_1")),
        ("names: ['no', yes]", ("no", "yes")),
        ("names: [nodule, No finding]", ("nodule",)),
    ],
)
def test_names_are_a_list_or_numbered_or_counted(tree, names, expected):
    assert one(tree, BOX, f"{names}\n").classes.names == expected


def test_a_class_for_nothing_found_is_no_class(tree):
    labels = one(tree, "1 0.5 0.5 1 1\n", "names: [nodule, No finding]\n")
    assert labels.rows.filter(image_id="a").select("class_name", "x_min", "x_max").rows() == [(NOTHING, "0.0", "1.0")]


LAYOUTS = {
    "places from the yaml's folder": {"data.yaml": f"train: train/images\nval: valid/images\n{NAMES}"},
    "path of another machine": {
        "data.yaml": f"path: /content/set\ntrain: train/images\nval: valid/images\n{NAMES}",
    },
    "absolute places of another machine": {
        "data.yaml": f"train: /content/set/train/images\nval: C:\\set\\valid\\images\n{NAMES}",
    },
    "one folder up too many": {
        "data.yaml": f"train: ../train/images\nval: ../valid/images\ntest: ../test/images\n{NAMES}"
    },
    "lists": {
        "data.yaml": f"train: train.txt\nval: val.txt\n{NAMES}",
        "train.txt": "./train/images/a.png\n/content/set/train/images/b.png\n",
        "val.txt": "valid/images/c.png\r\n",
    },
    "a list of places": {"data.yaml": f"train: [train/images]\nval:\n- val.txt\n{NAMES}", "val.txt": "c.png\n"},
    "a yaml deeper down": {"conf/data.yaml": f"path: ..\ntrain: train/images\nval: valid/images\n{NAMES}"},
}
FILES = {
    "train/images/a.png": "",
    "train/images/b.png": "",
    "valid/images/c.png": "",
    "train/labels/a.txt": BOX,
    "train/labels/b.txt": "",
    "valid/labels/c.txt": BOX,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_places_are_found_as_they_are_written_or_by_their_tail(tree, layout):
    assert images(read(tree(FILES | layout))) == [("a", "train"), ("b", "train"), ("c", "val")]


def test_labels_without_pictures_are_read_from_a_zip(tree, tmp_path):
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as packed:
        for name, content in (FILES | LAYOUTS["places from the yaml's folder"]).items():
            if not name.endswith(".png"):
                packed.writestr(f"set/{name}", content)
    assert images(read(tmp_path / "labels.zip")) == [("a", "train"), ("b", "train"), ("c", "val")]


def test_a_data_yaml_named_alone_leads_to_what_lies_beside_it(tree):
    root = tree(FILES | LAYOUTS["places from the yaml's folder"] | {"other.yaml": f"train: valid/images\n{NAMES}"})
    assert images(read(root / "other.yaml")) == [("c", "train")]


DARKNET = {
    "obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n",
    "obj.names": "nodule\nmass\n",
    "train.txt": "data/obj_train_data/a.png\ndata/obj_train_data/deep/b.png\n",
    "valid.txt": "data/obj_valid_data/c.png\n",
    "obj_train_data/a.txt": BOX,
    "obj_train_data/deep/b.txt": "",
    "obj_valid_data/c.txt": BOX,
}


@pytest.mark.parametrize("pictures", [True, False], ids=["with pictures", "labels only"])
def test_yolo_1_1_of_cvat_and_darknet_is_read(tree, pictures):
    more = {name.replace(".txt", ".png"): "" for name in DARKNET if name.startswith("obj_")} if pictures else {}
    labels = read(tree(DARKNET | more))
    assert images(labels) == [("a", "train"), ("b", "train"), ("c", "valid")]
    assert labels.classes.names == ("nodule", "mass")


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"images/a.png": "", "labels/a.txt": BOX, "classes.txt": "nodule\nmass\n"}, id="two folders"),
        pytest.param({"a.png": "", "a.txt": BOX, "classes.txt": "nodule\nmass"}, id="beside the pictures"),
        pytest.param({"images/t/a.png": "", "labels/t/a.txt": BOX, "labels/classes.txt": "nodule\nmass"}, id="deeper"),
        pytest.param({"a.txt": BOX, "classes.txt": "0 nodule\n1 mass\n"}, id="labels only, numbered names"),
        pytest.param({"labels/a.txt": BOX, "notes.txt": "ask Ann", "classes.txt": "nodule\nmass"}, id="another text"),
    ],
)
def test_plain_folders_have_no_splits(tree, files):
    labels = read(tree(files))
    assert images(labels) == [("a",)]
    assert labels.classes.names == ("nodule", "mass")
    assert labels.rejected.is_empty()


def test_labels_without_names_keep_their_numbers(tree):
    labels = read(tree({"images/a.png": "", "labels/a.txt": BOX}))
    assert labels.classes is None
    assert labels.rows.select("class_name", "class_id").rows() == [(None, "0")]


def test_yamls_for_one_split_each_give_it_its_name(tree):
    files = {f"{split}/images/{split}.png": "" for split in ("training", "validation", "staging")}
    files |= {f"{split}/labels/{split}.txt": BOX for split in ("training", "validation", "staging")}
    yamls = {
        "data.yaml": f"train: training/images\nval: validation/images\n{NAMES}",
        "data-staging.yaml": f"train: training/images\nval: staging/images\n{NAMES}",
    }
    assert images(read(tree(files | yamls))) == [("staging", "staging"), ("training", "train"), ("validation", "val")]


def test_a_picture_without_a_label_never_takes_that_of_another_of_its_name(tree):
    files = {"train/images/a.png": "", "other/labels/a.txt": BOX, "train/images/b.png": "", "train/labels/b.txt": BOX}
    for line in ("train/images/a.png", "./train/images/a.png", "/data/train/images/a.png"):
        root = tree(
            files
            | {
                "data.yaml": f"train: train.txt\nval: val.txt\n{NAMES}",
                "train.txt": f"{line}\n",
                "val.txt": "train/images/b.png\n",
            }
        )
        labels = read(root)
        assert images(labels) == [("b", "val")]
        assert "1 pictures have no label file" in labels.notes[0]


@pytest.mark.parametrize(
    ("name", "split"), [("data-canary.yaml", "canary"), ("my-test.yaml", "val"), ("validation.yaml", "val")]
)
def test_only_a_split_that_trainers_do_not_know_is_told_by_a_yamls_name(tree, name, split):
    labels = read(tree({name: f"val: images\n{NAMES}", "images/a.png": "", "labels/a.txt": BOX}))
    assert images(labels) == [("a", split)]


def test_a_yaml_that_would_fill_the_memory_does_not(tree):
    lines = ["a0: &a0 [x, x]", *(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 40))]
    for key in ("nc", "names"):
        root = tree({"data.yaml": "\n".join([*lines, "train: images", f"{key}: *a39"])})
        with pytest.raises(AnnotationError, match=f"`{key}` is"):
            yolo.read(Bundle(root))


def test_a_picture_in_two_splits_is_one_picture_in_both(tree):
    labels = one(tree, BOX)
    assert images(labels) == [("a", "train and val"), ("b", "train and val")]
    assert labels.rows.height == 2


def test_two_pictures_of_one_name_are_refused_with_both_places(tree):
    files = {f"{split}/images/a.png": "" for split in ("train", "valid")}
    files |= {f"{split}/labels/a.txt": BOX for split in ("train", "valid")}
    labels = read(tree(files | {"data.yaml": f"train: train/images\nval: valid/images\n{NAMES}"}))
    assert labels.rows.is_empty()
    assert set(labels.rejected["reason"]) == {
        "several pictures have this name: train/images/a.png and valid/images/a.png"
    }


def test_a_label_without_a_picture_is_of_a_picture_that_is_missing(tree):
    assert images(one(tree, BOX))[1] == ("b", "train and val")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"data.yaml": f"train: gone/images\nval: images\n{NAMES}"},
            "names 'gone/images' as train, which is not there",
        ),
        ({"data.yaml": f"train: gone.txt\n{NAMES}"}, "names 'gone.txt' as train, which is not there"),
        ({"data.yaml": "train: images\nnames: {a: b}\n"}, "data.yaml: `names` is neither a list of names nor"),
        ({"data.yaml": "train: images\nnames: [a, A]\n"}, "the classes 'a' and 'A' are one name"),
        ({"data.yaml": "train: images\nnames: [\n"}, "data.yaml: it is not YAML"),
        ({"data.yaml": "train: images\nnc: many\n"}, "data.yaml: `nc` is 'many', not a number of classes"),
        ({"data.yaml": f"train: {{a: b}}\n{NAMES}"}, "data.yaml: `train` is no path and no list of paths"),
        (
            {"data.yaml": f"train: images\n{NAMES}", "b.yaml": "train: images\nnames: [mass]\n"},
            "b.yaml and .*data.yaml name other classes",
        ),
        ({"obj.data": "train = train.txt\nnames = gone.names\n"}, "`names` leads to 'gone.names', which is not there"),
        ({"data.yaml": f"train: none\n{NAMES}", "none/a.png": ""}, "holds no label file of a picture"),
    ],
)
def test_what_leads_nowhere_stops_with_its_file(tree, files, sentence):
    root = tree({"images/a.png": "", "labels/a.txt": BOX} | files)
    with pytest.raises(AnnotationError, match=sentence):
        yolo.read(Bundle(root))


def test_a_dataset_of_radloops_own_names_what_to_take_instead(tree):
    root = tree(FILES | LAYOUTS["places from the yaml's folder"] | {"annotations.parquet": ""})
    with pytest.raises(AnnotationError, match=r"radloop built.*scaled_bounding_boxes\.csv.*--previous"):
        yolo.read(Bundle(root))


@pytest.mark.parametrize(
    "files",
    [
        {"model.yaml": "nc: 80\nbackbone:\n- 1\n"},
        {"compose.yaml": "services:\n  a: {}\n"},
        {"notes.txt": "0 1 2 3 4"},
        {"classes.txt": "a\nb\n"},
        {"labels/a.txt": "hello\n"},
        {"a.png": ""},
    ],
)
def test_other_files_are_not_claimed(tree, files):
    assert yolo.find(Bundle(tree(files))) == ()


def test_rows_are_in_the_order_of_names(tree):
    rows = read(tree(FILES | LAYOUTS["places from the yaml's folder"])).rows
    assert rows["image_id"].is_sorted()
    assert rows.schema["line"] == pl.Int64

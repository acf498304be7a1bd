"""Folders as people make them, with boxes in every frame: the labels are right, or the run stops and says why."""

import csv
import shutil

import pytest
from PIL import Image

import made_up
from radloop import tree
from radloop.errors import AnnotationError, SourceError
from radloop.options import Extract, Transform
from radloop.pipelines import offline

SEED = 3
SIDES = ("x_min", "y_min", "x_max", "y_max")
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Forty made-up films; boxes in original pixels, pictures stretched to squares."""
    return made_up.films(tmp_path_factory.mktemp("base"), seed=SEED)


@pytest.fixture(scope="module")
def labels(base, tmp_path_factory):
    return labels_of(base, tmp_path_factory.mktemp("built"))


@pytest.fixture
def copy(base, tmp_path):
    return shutil.copytree(base, tmp_path / "copy")


def labels_of(folder, out, **extract):
    offline.extract(Extract(source=str(folder), out=out, **extract))
    offline.transform(Transform(out=out))
    root = out / "organized"
    return {path.name: path.read_text() for split in tree.SPLITS for path in (root / split / "labels").iterdir()}


def stop(folder, out, **extract):
    """The sentence that the run stops with; nothing of a dataset is left."""
    offline.extract(Extract(source=str(folder), out=out, **extract))
    with pytest.raises((AnnotationError, SourceError)) as stopped:
        offline.transform(Transform(out=out))
    assert not (out / "organized").exists()
    return str(stopped.value)


def sizes(folder):
    with (folder / "train_meta.csv").open(newline="") as file:
        return {row["image_id"]: (int(row["dim1"]), int(row["dim0"])) for row in csv.DictReader(file)}


def image_ids(folder):
    """Those with a box, in one order."""
    return sorted({row["image_id"] for row in made_up.rows(folder) if row["x_min"]})


def redraw(folder, change, only=None, **columns):
    """Give every box, or those of `only` some images, as change(width, height, x0, y0, x1, y1) says."""
    size = sizes(folder)
    changed = []
    for row in made_up.rows(folder):
        if row["x_min"] and (only is None or row["image_id"] in only):
            box = change(*size[row["image_id"]], *(float(row[side]) for side in SIDES))
            row |= dict(zip(SIDES, map(repr, box), strict=True))
        changed.append(row | columns)
    made_up.write_rows(folder, changed)


def square(x, y=None):
    return lambda w, h, x0, y0, x1, y1: (x0 / w * x, y0 / h * (y or x), x1 / w * x, y1 / h * (y or x))


def times(factor):
    return lambda w, h, *box: tuple(side * factor for side in box)


def from_below(w, h, x0, y0, x1, y1):
    return x0, h - y1, x1, h - y0


def axes_swapped(w, h, x0, y0, x1, y1):
    return y0, x0, y1, x1


def repaint(folder, change):
    """Put change(picture, image_id) in the place of every picture."""
    for path in sorted((folder / "train").iterdir()):
        with Image.open(path) as picture:
            change(picture, path.stem).save(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "extract"),
    [
        pytest.param(square(1), {}, id="fractions"),
        pytest.param(square(1), {"boxes": "fraction"}, id="fractions, said"),
        pytest.param(square(100), {}, id="percent"),
        pytest.param(square(100), {"boxes": "percent"}, id="percent, said"),
        pytest.param(square(1024), {}, id="1024"),
        pytest.param(square(made_up.SIDE_PX), {}, id="the pictures' own pixels"),
        pytest.param(square(made_up.SIDE_PX), {"boxes": "picture"}, id="the pictures' own pixels, said"),
    ],
)
def test_labels_are_the_same_in_whichever_frame_the_boxes_came(copy, tmp_path, labels, change, extract):
    redraw(copy, change)
    assert labels_of(copy, tmp_path / "out", **extract) == labels


@pytest.mark.parametrize("side", [48, 160])
def test_boxes_and_pictures_made_smaller_together_keep_their_labels(copy, tmp_path, labels, side):
    redraw(copy, square(side))
    repaint(copy, lambda picture, _: picture.resize((side, side)))
    assert labels_of(copy, tmp_path / "out") == labels


def test_boxes_on_pictures_of_a_sixteenth_of_the_size_keep_their_labels(copy, tmp_path, labels):
    size = {image_id: (round(w / 16), round(h / 16)) for image_id, (w, h) in sizes(copy).items()}
    redraw(copy, lambda w, h, *box: square(round(w / 16), round(h / 16))(w, h, *box))
    repaint(copy, lambda picture, image_id: picture.resize(size[image_id]))
    assert labels_of(copy, tmp_path / "out") == labels


@pytest.mark.parametrize("side", [256, 512, 640, 800])
def test_boxes_in_squares_that_are_not_there_stop_with_their_side_and_the_way_out_works(copy, tmp_path, labels, side):
    redraw(copy, square(side))
    message = stop(copy, tmp_path / "out")
    assert f"in pictures of {side}×{side} pixels" in message
    assert f"Put {side} into the columns width and height" in message

    redraw(copy, lambda w, h, *box: box, width=side, height=side)
    assert labels_of(copy, tmp_path / "again") == labels


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(times(0.8), "of 0.8", id="0.8 times as large"),
        pytest.param(times(0.5), "of 0.5", id="half as large"),
        pytest.param(from_below, "y is counted from the lower edge", id="y from below"),
        pytest.param(axes_swapped, "Swap the columns x_min and y_min", id="x and y swapped"),
        pytest.param(lambda w, h, *box: square(1024**2 / w, 1024**2 / h)(w, h, *box), "rescaled twice", id="twice"),
    ],
)
def test_boxes_that_no_frame_explains_stop_with_what_does(copy, tmp_path, change, sentence):
    redraw(copy, change)
    assert sentence in stop(copy, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "every", "sentence"),
    [
        pytest.param(square(1024), 2, "in 1024×1024 pixels", id="half in 1024"),
        pytest.param(square(1024), 4, "in 1024×1024 pixels", id="a quarter in 1024"),
        pytest.param(square(1), 2, "in fractions of the picture", id="half in fractions"),
        pytest.param(square(100), 2, "in percent of the picture", id="half in percent"),
        pytest.param(square(made_up.SIDE_PX), 3, "in the pictures' own pixels", id="a third in the pictures'"),
        pytest.param(square(512), 2, "in pictures of 512×512 pixels", id="half in 512"),
    ],
)
def test_images_in_another_frame_than_the_rest_are_counted_and_named(copy, tmp_path, change, every, sentence):
    other = image_ids(copy)[::every]
    redraw(copy, change, only=other)
    message = stop(copy, tmp_path / "out")
    assert sentence in message
    told = int(message.split("the boxes of ")[1].split(" of ")[0])
    assert len(other) / 2 <= told <= len(other)  # of those without aorta and heart the places tell little
    named = message.split(": ")[2].split(" and ")[0].split(". ")[0].split(", ")
    assert named
    assert set(named) <= set(other)


@pytest.mark.parametrize(
    ("said", "side", "flag"),
    [
        ("original", 1024, "scaled"),
        ("picture", 1024, "scaled"),
        ("scaled", 100, "percent"),
        ("percent", 1024, "scaled"),
        ("fraction", made_up.SIDE_PX, "picture"),
        ("original", 1, "fraction"),
    ],
)
def test_what_the_boxes_refute_stops_though_it_was_said(copy, tmp_path, said, side, flag):
    redraw(copy, square(side))
    assert f"Pass --boxes {flag}." in stop(copy, tmp_path / "out", boxes=said)


def upright(folder):
    """Landscape films in the table with pictures of their shape; what the rows say of the sizes."""
    size = {image_id: (120 + n, 90 + n) for n, image_id in enumerate(sorted(sizes(folder)))}
    with (folder / "train_meta.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_id", "dim0", "dim1"), *((one, h, w) for one, (w, h) in size.items())])
    return size


@pytest.mark.parametrize("turned", [40, 1])
def test_pictures_on_their_side_stop_and_are_named(copy, tmp_path, turned):
    old = sizes(copy)
    size = upright(copy)
    redraw(copy, lambda w, h, *box: box)
    some = sorted(size)[:turned]

    def paint(picture, image_id):
        picture = picture.resize(size[image_id])
        return picture.transpose(Image.Transpose.ROTATE_270) if image_id in some else picture

    repaint(copy, paint)
    assert old.keys() == size.keys()
    message = stop(copy, tmp_path / "out")
    assert f"{turned} of 40 pictures lie on their side" in message
    assert f"{some[0]} is 90×120, not 120×90" in message


def test_sizes_with_width_and_height_swapped_stop_before_pictures_that_are_not_square(copy, tmp_path):
    size = sizes(copy)
    repaint(copy, lambda picture, image_id: picture.resize((size[image_id][0] // 16, size[image_id][1] // 16)))
    with (copy / "train_meta.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_id", "dim0", "dim1"), *((one, w, h) for one, (w, h) in size.items())])
    assert "width and height are swapped in the sizes" in stop(copy, tmp_path / "out")


def test_a_picture_that_was_cropped_stops_and_is_named(copy, tmp_path):
    size = sizes(copy)
    cropped = min(size)

    def paint(picture, image_id):
        width, height = size[image_id][0] // 16, size[image_id][1] // 16
        return picture.resize((width, height // 2 if image_id == cropped else height))

    repaint(copy, paint)
    message = stop(copy, tmp_path / "out")
    assert "1 of " in message
    assert "another shape than their sizes say" in message
    assert cropped in message


@pytest.mark.parametrize("side", [(80, 60), (60, 80), (64, 64)])
def test_pictures_in_the_shape_of_the_sizes_or_square_are_no_alarm(copy, tmp_path, labels, side):
    if side != (64, 64):
        size = sizes(copy)
        repaint(copy, lambda picture, one: picture.resize((size[one][0] // side[0], size[one][1] // side[0])))
    assert labels_of(copy, tmp_path / "out") == labels


def exif(folder, orientation, only=None):
    """Make all pictures JPEGs, with an orientation mark in some."""
    for path in sorted((folder / "train").iterdir()):
        with Image.open(path) as picture:
            marks = Image.Exif()
            if only is None or path.stem in only:
                marks[ORIENTATION] = orientation
            picture.convert("L").save(path.with_suffix(".jpg"), quality=95, exif=marks)
        path.unlink()


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_marks_that_turn_nothing_are_none(copy, tmp_path, labels, orientation):
    exif(copy, orientation)
    assert labels_of(copy, tmp_path / "out").keys() == labels.keys()


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_a_picture_that_its_mark_turns_stops_with_what_became_of_the_boxes(copy, tmp_path, orientation):
    turned = min(sizes(copy))
    exif(copy, orientation, only=[turned])
    message = stop(copy, tmp_path / "out")
    assert f"{turned}.jpg says to show it turned" in message
    assert "No box was turned" in message


def test_other_classes_are_believed_and_not_proved_and_a_frame_of_fractions_is_found(copy, tmp_path, labels):
    rows = [row | {"class_name": "Osteophytes", "class_id": "0"} if row["x_min"] else row for row in made_up.rows(copy)]
    made_up.write_rows(copy, rows)
    whole = labels_of(copy, tmp_path / "whole")
    redraw(copy, square(1))
    assert labels_of(copy, tmp_path / "fractions") == whole


def test_a_table_of_other_classes_that_stays_in_a_corner_asks(copy, tmp_path):
    rows = [row | {"class_name": "Osteophytes", "class_id": "0"} if row["x_min"] else row for row in made_up.rows(copy)]
    made_up.write_rows(copy, rows)
    redraw(copy, square(1024))
    assert "Pass --boxes scaled, or --boxes original if that is right" in stop(copy, tmp_path / "out")


def test_one_image_of_a_frame_that_cannot_be_meant_stops(copy, tmp_path):
    kept = image_ids(copy)[0]
    made_up.write_rows(copy, [row for row in made_up.rows(copy) if row["image_id"] == kept])
    redraw(copy, square(made_up.SIDE_PX))
    assert "Pass --boxes picture" in stop(copy, tmp_path / "out")

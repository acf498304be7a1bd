"""CVAT for images 1.1 as a source of labels: files as CVAT's source writes them, and as Datumaro does."""

import zipfile

import pytest

from radloop.errors import AnnotationError
from radloop.sources import formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import cvat
from radloop.taxonomy import NOTHING

META = """<meta><task><id>5</id><name>films</name><size>9</size><mode>annotation</mode>
<created>2026-02-01 08:00:00.000000+00:00</created><updated>2026-02-03 09:00:00.123456+00:00</updated>
<subset>{subset}</subset><labels>
<label><name>Nodule</name><color>#aa</color><type>any</type><attributes></attributes></label>
<label><name>Mass</name><type>rectangle</type></label>
<label><name>Heart</name><type>polygon</type></label>
<label><name>No finding</name><type>tag</type></label></labels>
<segments><segment><id>1</id><start>0</start></segment></segments>
<owner><username>boss</username><email>boss@example.org</email></owner>
<assignee>{assignee}</assignee></task><dumped>2026-02-03 10:00:00+00:00</dumped></meta>"""
WHO = "<username>R7</username><email>r7@example.org</email>"
BOX = 'xtl="10.00" ytl="20.50" xbr="40.00" ybr="60.00" occluded="0" z_order="0"'


def box(label="Nodule", source="manual", more=""):
    return f'<box label="{label}" source="{source}" {BOX} {more}></box>'


def image(*elements, name="a.png", more=""):
    inner = "\n".join(elements)
    return f'\n<image id="0" name="{name}" {more} width="100" height="200">\n{inner}\n</image>'


def write(folder, *images, subset="default", assignee=WHO, name="annotations.xml"):
    (folder / name).write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>'
        + META.format(subset=subset, assignee=assignee) + "".join(images) + "</annotations>"
    )  # fmt: skip
    return folder / name


def read(folder, *images, **more):
    return cvat.read(Bundle(write(folder, *images, **more)))


def test_a_box_is_a_row_in_pixels_of_the_original_with_the_line_it_stands_in(tmp_path):
    labels = read(tmp_path, image(box()))
    row = labels.rows.row(0, named=True)
    assert [row[name] for name in ("image_id", "class_name", "rad_id", "x_min", "y_min", "x_max", "y_max")] == [
        "a", "Nodule", "R7", "10.0", "20.5", "40.0", "60.0",
    ]  # fmt: skip
    assert (row["width"], row["height"], row["place"]) == ("100", "200", "annotations.xml")
    lines = (tmp_path / "annotations.xml").read_text().splitlines()
    assert "<box" in lines[row["line"] - 1]
    assert labels.boxes == "original"
    assert labels.classes.names == ("Nodule", "Mass")


def test_only_a_tag_says_that_nothing_was_found(tmp_path):
    labels = read(
        tmp_path,
        image(name="empty.png"),
        image('<tag label="No finding" source="manual"></tag>', name="normal.png"),
        image('<tag label="Reviewed"></tag>', name="reviewed.png"),
        image('<tag label="Not readable"></tag>', name="blurred.png"),
        image(box(source="auto"), name="untouched.png"),
        image(box(source="auto"), box(source="manual"), name="added.png"),
        image(box(source="auto"), '<tag label="Reviewed"></tag>', name="agreed.png"),
    )
    assert labels.rows.group_by("image_id", maintain_order=True).agg("class_name").rows() == [
        ("normal", [NOTHING]),
        ("reviewed", [NOTHING]),
        ("added", ["Nodule", "Nodule"]),
        ("agreed", ["Nodule"]),
    ]
    assert labels.notes[1:] == (
        "1 image on which nobody submitted anything: unlabelled",
        "1 image with a program's boxes alone: nobody's reading, unlabelled",
        "1 reading said 'Not readable' and give no label",
    )
    assert "CVAT does not tell" in labels.notes[0]
    assert labels.rejected.is_empty()


@pytest.mark.parametrize(
    ("element", "code"),
    [
        ('<polygon label="Heart" points="1,2;3,4;5,6"></polygon>', "region-not-box"),
        ('<mask label="Heart" rle="1"></mask>', "region-not-box"),
        ('<skeleton label="Heart"><points label="x" points="1,2"></points></skeleton>', "region-not-box"),
        (box(more='rotation="12.5"'), "box-rotated"),
        (box().replace('xtl="10.00"', ""), "region-malformed"),
        (box().replace('"10.00"', '"nan"'), "region-malformed"),
        (box(label=""), "class-missing"),
        ('<tag label="No finding"></tag>', "verdict-contradicts-boxes"),
    ],
)
def test_a_reading_with_what_is_no_box_is_refused_as_a_whole(tmp_path, element, code):
    labels = read(tmp_path, image(box(), element))
    assert labels.rejected.select("code", "image_id", "rad_id").rows() == [(code, "a", "R7")]
    assert labels.rejected["line"][0] > 1


def test_who_it_is_assigned_to_read_it_else_whose_it_is_and_an_address_stays_out(tmp_path):
    assert read(tmp_path, image(box()), assignee="").rows["rad_id"].to_list() == ["boss"]
    who = "<username>jo@example.org</username><email>jo@example.org</email>"
    assert read(tmp_path, image(box()), assignee=who).rows["rad_id"].to_list() == ["reader-b6be3cb544"]


def test_a_project_has_tasks_with_readers_and_subsets_of_their_own(tmp_path):
    (tmp_path / "annotations.xml").write_text(
        "<annotations><version>1.1</version><meta><project><tasks>"
        "<task><id>1</id><subset>Train</subset><assignee><username>R1</username></assignee></task>"
        "<task><id>2</id><subset>Validation</subset><assignee><username>R2</username></assignee></task></tasks>"
        "<labels><label><name>Nodule</name></label></labels></project></meta>"
        + image(box(), name="a.png", more='subset="Train" task_id="1"')
        + image(box(), name="b.png", more='subset="Validation" task_id="2"')
        + "</annotations>"
    )
    labels = cvat.read(Bundle(tmp_path))
    assert labels.rows.select("image_id", "rad_id", "split").rows() == [("a", "R1", "Train"), ("b", "R2", "Validation")]


def test_a_zip_is_read_in_place_and_told_from_voc(tmp_path):
    path = write(tmp_path, image(box()))
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as packed:
        packed.write(path, "annotations.xml")
    assert formats.detect(Bundle(tmp_path / "task.zip")) == "cvat"
    assert cvat.read(Bundle(tmp_path / "task.zip")).rows.height == 1
    (tmp_path / "voc.xml").write_text("<annotation><object/></annotation>")
    assert cvat.find(Bundle(tmp_path)) == ("annotations.xml",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<annotations><track id='1'><box/></track></annotations>", "tracks of a video"),
        ("<annotations><image>", "not well-formed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "DTD or entities"),
        ("<x><annotations/></x>", "begins with <x>"),
    ],
)
def test_what_is_not_of_cvat_for_images_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(AnnotationError, match=sentence):
        cvat.read(Bundle(tmp_path))


def test_what_datumaro_writes_is_read_box_by_box(tmp_path):
    import numpy as np
    from datumaro.components.annotation import Bbox
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image

    rng = np.random.default_rng(0)
    drawn = [
        (f"film{n}", int(rng.integers(3)), *np.round(rng.uniform(1, 40, 4), 2).tolist())
        for n in range(8)
        for _ in range(n % 4)
    ]
    items = [
        DatasetItem(
            id=f"film{n}",
            media=Image.from_numpy(data=np.zeros((200, 100, 3), np.uint8), ext=".png"),
            annotations=[Bbox(x, y, w, h, label=label) for name, label, x, y, w, h in drawn if name == f"film{n}"],
        )
        for n in range(8)
    ]
    Dataset.from_iterable(items, categories=["A", "B", "C"]).export(str(tmp_path / "out"), "cvat", save_media=False)
    labels = cvat.read(Bundle(tmp_path / "out"))
    assert labels.classes.names == ("A", "B", "C")
    found = labels.rows.select("image_id", "class_name", "x_min", "y_min", "x_max", "y_max").rows()
    expected = sorted((name, "ABC"[label], x, y, x + w, y + h) for name, label, x, y, w, h in drawn)
    assert len(found) == len(expected)
    for (*name, x0, y0, x1, y1), (image_id, label, *corners) in zip(
        sorted(found, key=_key), sorted(expected, key=_key), strict=True
    ):
        assert name == [image_id, label]
        assert [float(x0), float(y0), float(x1), float(y1)] == pytest.approx(corners, abs=0.011)


def _key(row):
    return (*row[:2], *(round(float(edge), 1) for edge in row[2:]))

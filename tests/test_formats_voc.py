"""Labels in Pascal VOC's form: what each object becomes, and how a data set counts its pixels."""

import zipfile

import pytest

from radloop.errors import AnnotationError
from radloop.sources import formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import voc
from radloop.taxonomy import NOTHING


def thing(name="nodule", box=(11, 21, 110, 120), more=""):
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{corners}</bndbox></object>"


def xml(*objects, filename="a.png", size=(200, 300), head=""):
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>1</depth></size>" if size else ""
    inside = "\n".join([f"<filename>{filename}</filename>", sides, *objects])
    return f"{head}<annotation>\n{inside}\n</annotation>\n"


def read(path):
    assert formats.detect(Bundle(path)) == "voc"
    return voc.read(Bundle(path))


def boxes(labels):
    sides = [labels.rows[side].cast(float) for side in ("x_min", "y_min", "x_max", "y_max")]
    return list(zip(*sides, strict=True))


def refused(labels):
    return labels.rejected.select("image_id", "place", "line", "code", "reason").rows()


def test_corners_that_begin_at_one_are_boxes_that_begin_at_nought(tree):
    labels = read(tree({"Annotations/a.xml": xml(thing(), thing("mass", (1, 1, 200, 300)))}))
    assert boxes(labels) == [(10, 20, 110, 120), (0, 0, 200, 300)]
    assert labels.boxes == "original"
    assert labels.rows.select("image_id", "class_name", "line", "place", "width", "height").rows() == [
        ("a", "nodule", 4, "Annotations/a.xml", "200", "300"),
        ("a", "mass", 5, "Annotations/a.xml", "200", "300"),
    ]
    assert "split" not in labels.rows.columns
    (note,) = labels.notes
    assert note == "corners are taken to be counted from 1, as VOC defines: none is below 1, and nothing else tells"


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((0, 21, 110, 120), "one is below 1, in b.xml"),
        ((10.5, 20.0, 110.25, 120.0), "all are written as fractions of pixels, as Datumaro and CVAT do"),
    ],
)
def test_corners_that_begin_at_nought_stay(tree, box, why):
    other = (5, 6, 50, 60) if box[0] == 0 else (5.0, 6.0, 50.5, 60.0)
    labels = read(tree({"a.xml": xml(thing(box=other)), "b.xml": xml(thing(box=box), filename="b.png")}))
    assert boxes(labels) == [other, box]
    assert labels.notes == (f"corners are counted from 0: {why}",)


def test_a_file_without_an_object_is_normal(tree):
    labels = read(tree({"a.xml": xml(), "b.xml": xml(thing(), filename="b.png")}))
    assert labels.rows.select("image_id", "class_name").rows() == [("a", NOTHING), ("b", "nodule")]
    assert labels.rejected.is_empty()


@pytest.mark.parametrize("size", [None, (0, 0), ("", "")])
def test_a_size_that_is_not_told_is_unknown(tree, size):
    assert "width" not in read(tree({"a.xml": xml(thing(), size=size)})).rows.columns


def test_marks_are_counted_and_parts_are_no_objects(tree):
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part>"
    marks = "<difficult>1</difficult><truncated>1</truncated>"
    labels = read(tree({"a.xml": xml(thing(more=marks + part), thing("mass", more="<polygon><x1>3</x1></polygon>"))}))
    assert labels.rows["class_name"].to_list() == ["nodule", "mass"]
    assert boxes(labels) == [(10, 20, 110, 120)] * 2
    assert labels.notes[1:] == (
        "1 boxes are marked difficult: they stay",
        "1 boxes are marked truncated: they stay",
        "1 boxes have an outline beside them, which is not used",
    )


@pytest.mark.parametrize(
    ("broken", "code", "reason"),
    [
        ("<object><name>a</name><polygon/></object>", "region-not-box", "the object is an outline or a turned box"),
        ("<object><name>a</name><robndbox/></object>", "region-not-box", "the object is an outline or a turned box"),
        ("<object><name>a</name></object>", "box-missing", "the object has no <xmin>"),
        (thing(box=(1, 2, 3, "")), "box-missing", "the object has no <ymax>"),
        (thing(box=(1, "two", 3, 4)), "coordinate-no-number", "a coordinate is not a number: ymin 'two'"),
        (thing(box=(1, 2, "nan", 4)), "coordinate-no-number", "a coordinate is not a number: xmax 'nan'"),
        (thing(more="<name>b</name>"), "element-twice", "the object has <name> twice"),
    ],
)
def test_what_is_no_box_is_refused_with_its_file_and_line(tree, broken, code, reason):
    labels = read(tree({"a.xml": xml(thing(), broken)}))
    ((image_id, place, line, found, sentence),) = refused(labels)
    assert (image_id, place, line, found) == ("a", "a.xml", 5, code)
    assert sentence.startswith(reason)


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        pytest.param(xml(thing("&c;"), head=BOMB), "xml-unsafe", "declares a DTD or entities", id="entities"),
        pytest.param(
            xml(head='<!DOCTYPE annotation SYSTEM "file:///etc/passwd">'), "xml-unsafe", "declares a DTD", id="DTD"
        ),
        pytest.param(xml(thing())[:-20], "xml-broken", "not well-formed", id="cut off"),
        pytest.param(
            "<annotation>" + "<a>" * 200 + "</a>" * 200 + "</annotation>", "xml-broken", "over 100 deep", id="deep"
        ),
        pytest.param(xml(*["<object/>"] * 10_001), "xml-broken", "over 10,000 objects", id="too many"),
        pytest.param(
            xml(*["<object/>"] * 101),
            "xml-broken",
            "101 objects are no boxes; of the first: the object has no",
            id="all",
        ),
        pytest.param("<annotation>" + " " * 2**24, "xml-broken", "16,777,216 are the most", id="too long"),
        pytest.param(
            xml(head='<?xml version="1.0" encoding="x"?>'), "xml-broken", "cannot be decoded", id="no encoding"
        ),
        pytest.param("<annotation/><b/>", "xml-broken", "not well-formed: junk after", id="two roots"),
        pytest.param(b"<annotation>\xff</annotation>", "xml-broken", "not well-formed", id="no text"),
    ],
)
def test_a_file_that_cannot_be_read_voids_its_picture(tree, content, code, reason):
    labels = read(tree({"a.xml": content, "b.xml": xml(thing(), filename="b.png")}))
    ((image_id, place, _, found, sentence),) = refused(labels)
    assert (image_id, place, found) == ("a", "a.xml", code)
    assert reason in sentence
    assert "\n" not in sentence
    assert labels.rows["image_id"].to_list() == ["b"]


@pytest.mark.parametrize(
    ("pictures", "filename", "image_id"),
    [
        ((), "a.png", "a"),
        ((), "b.jpeg", "b"),
        ((), "C:\\x\\b.png", "b"),
        ((), "", "a"),
        (("images/a.png",), "old name.png", "a"),
        (("images/b.png",), "b", "b"),
    ],
)
def test_the_picture_is_the_one_of_the_files_name_else_the_one_named(tree, pictures, filename, image_id):
    labels = read(tree({"labels/a.xml": xml(thing(), filename=filename)} | dict.fromkeys(pictures, "")))
    assert labels.rows["image_id"].to_list() == [image_id]


def test_two_files_of_one_picture_are_refused_with_both(tree):
    labels = read(tree({"x/a.xml": xml(thing(), filename="c.png"), "x/b.xml": xml(filename="c.png")}))
    assert labels.rows.is_empty()
    assert {row[3:] for row in refused(labels)} == {
        ("image-ambiguous", "several files speak of this picture: x/a.xml and x/b.xml")
    }


def test_two_pictures_of_one_name_are_refused(tree):
    labels = read(tree({"x/a.xml": xml(thing()), "y/a.xml": xml(thing())}))
    assert {row[3] for row in refused(labels)} == {"image-ambiguous"}


def test_image_sets_are_the_splits(tree):
    files = {f"VOC/Annotations/{name}.xml": xml(thing(), filename=f"{name}.png") for name in "abcd"}
    sets = {
        "VOC/ImageSets/Main/train.txt": "a\nd\n",
        "VOC/ImageSets/Main/val.txt": '"b"\r\nd\n',
        "VOC/ImageSets/Main/trainval.txt": "a\nb\nc\n",
        "VOC/ImageSets/Main/nodule_train.txt": "a  1\nb -1\n",
        "VOC/ImageSets/Segmentation/val.txt": "c\n",
    }
    labels = read(tree(files | sets))
    assert labels.rows.select("image_id", "split").rows() == [
        ("a", "train"),
        ("b", "val"),
        ("c", None),
        ("d", "train and val"),
    ]


def test_files_in_a_zip_are_read_in_place(tree, tmp_path):
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as packed:
        packed.writestr("deep/Annotations/a.xml", xml(thing()))
    assert boxes(read(tmp_path / "labels.zip")) == [(10, 20, 110, 120)]


def test_other_xml_is_passed_over_and_said(tree):
    labels = read(tree({"a.xml": xml(thing()), "b.xml": "<notes/>"}))
    assert labels.rows["image_id"].to_list() == ["a"]
    assert labels.notes[0] == "1 XML files are none of VOC and were passed over, such as b.xml"


@pytest.mark.parametrize(
    "content", ["<annotations><image/></annotations>", "<notes/>", "", "no XML", "<annotationset/>"]
)
def test_other_files_are_not_claimed(tree, content):
    assert voc.find(Bundle(tree({"a.xml": content}))) == ()


def test_a_folder_without_such_files_says_so(tree):
    with pytest.raises(AnnotationError, match="holds no XML file that begins with <annotation>"):
        voc.read(Bundle(tree({"a.txt": ""})))


def test_a_mark_at_the_start_and_comments_hide_no_file(tree):
    head = "\ufeff<?xml version='1.0' encoding='utf-8'?>\n<!-- by hand -->\n"
    assert boxes(read(tree({"a.xml": xml(thing(), head=head)}))) == [(10, 20, 110, 120)]

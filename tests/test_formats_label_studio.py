"""Label Studio's JSON export as a source of labels."""

import pytest

from label_studio_files import annotation, choice, read, region, task, write
from radloop.errors import AnnotationError
from radloop.sources import formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import label_studio
from radloop.taxonomy import NOTHING

ROW = ["image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max"]


def rows(labels):
    return labels.rows.select(ROW).rows()


def codes(labels):
    return labels.rejected.select("code", "image_id", "rad_id").rows()


def test_a_rectangle_is_a_row_in_percent_with_its_readers_number(tmp_path):
    labels = read(tmp_path, task(annotation(region(), completed_by=7)))
    assert rows(labels) == [("a1", "7", "Nodule", "10.0", "20.0", "40.0", "60.0")]
    assert labels.rows.select("width", "height", "place").rows() == [
        ("1000", "2000", "export.json: task 1, annotation 1, result[0]")
    ]
    assert labels.boxes == "percent"


def test_a_rectangle_with_two_labels_is_two_rows(tmp_path):
    both = region(value={"rectanglelabels": ["Nodule", "Mass"]})
    assert [row[2] for row in rows(read(tmp_path, task(annotation(both))))] == ["Nodule", "Mass"]


def test_submitted_and_empty_is_normal_and_everything_else_without_a_box_is_not(tmp_path):
    labels = read(
        tmp_path,
        task(annotation(), id=1, image="normal.png"),
        task(annotation(choice(NOTHING)), id=2, image="said.png"),
        task(annotation(was_cancelled=True), id=3, image="skipped.png"),
        task(id=4, image="unread.png", predictions=[{"result": [region()]}], drafts=[annotation(region())]),
        task(annotation(choice("Not readable")), id=5, image="rejected.png"),
        task(annotation(choice("PA view")), id=6, image="viewed.png"),
    )
    assert [(row[0], row[2]) for row in rows(labels)] == [("normal", NOTHING), ("said", NOTHING)]
    assert codes(labels) == [("nothing-drawn", "viewed", "1")]
    assert labels.notes == (
        "2 images on which nobody submitted anything: unlabelled",
        "1 reading said 'Not readable' and give no label",
    )


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (region(type="polygonlabels"), "region-not-box"),
        (region(type="brushlabels"), "region-not-box"),
        (region(type="ellipselabels"), "region-not-box"),
        (region(type="keypointlabels"), "region-not-box"),
        (region(type="rectangle"), "region-not-box"),
        (region(value={"rotation": 12.5}), "box-rotated"),
        (region(image_rotation=90), "box-rotated"),
        (region(item_index=1), "several-images"),
        (region(value={"rectanglelabels": []}), "class-missing"),
        (region(value={"x": None}), "region-malformed"),
        ("x", "region-malformed"),
        (choice(NOTHING), "verdict-contradicts-boxes"),
    ],
)
def test_a_reading_with_what_is_no_box_is_refused_as_a_whole(tmp_path, item, code):
    labels = read(tmp_path, task(annotation(region(), item)))
    assert codes(labels) == [(code, "a1", "1")]
    assert "No finding" not in labels.rows["class_name"].to_list()


def test_a_rectangle_whose_labels_stand_apart_is_one_box(tmp_path):
    plain = region(type="rectangle", id="r")
    named = region(type="labels", id="r", value={"labels": ["Mass"]})
    assert rows(read(tmp_path, task(annotation(plain, named)))) == [("a1", "1", "Mass", "10.0", "20.0", "40.0", "60.0")]


def test_several_readers_of_one_picture_are_several_and_the_last_word_of_each_counts(tmp_path):
    labels = read(
        tmp_path,
        task(
            annotation(region("Mass"), id=1, completed_by=1, updated_at="2026-02-03T09:00:00Z"),
            annotation(region("Nodule"), id=2, completed_by=1, updated_at="2026-02-03T08:00:00Z"),
            annotation(id=3, completed_by={"id": 2, "email": "b@example.org"}),
        ),
    )
    assert [row[:3] for row in rows(labels)] == [("a1", "1", "Mass"), ("a1", "2", NOTHING)]
    assert labels.notes == ("1 reading that the same reader gave anew: the newest counts",)


def test_an_address_never_stands_in_a_table_and_is_the_same_reader_everywhere(tmp_path):
    labels = read(
        tmp_path,
        task(annotation(completed_by={"email": "Jo@example.org"}), image="a.png"),
        task(annotation(completed_by="jo@example.org"), image="b.png"),
    )
    assert labels.rows["rad_id"].to_list() == ["reader-b6be3cb544"] * 2


@pytest.mark.parametrize(
    ("image", "image_id"),
    [
        ("/data/upload/12/0a1b2c3d-tb_01.png", "tb_01"),
        ("/data/upload/0a1b2c3d-tb_01.png", "tb_01"),
        ("/data/local-files/?d=films%2F2020%2Ftb%2001.png", "tb 01"),
        ("s3://bucket/films/tb_01.dcm", "tb_01"),
        ("https://pacs.example.org/a/tb%2001.png?X-Amz-Signature=b.jpg", "tb 01"),
        ("tb_01.jpeg", "tb_01"),
    ],
)
def test_the_image_is_called_as_its_file_was_before_label_studio_had_it(tmp_path, image, image_id):
    assert read(tmp_path, task(annotation(), image=image)).rows["image_id"].to_list() == [image_id]


def test_two_uploads_of_one_name_are_refused_not_mixed(tmp_path):
    labels = read(
        tmp_path,
        task(annotation(), image="/data/upload/1/0a1b2c3d-a.png"),
        task(annotation(), image="/data/upload/1/1a1b2c3d-a.png"),
    )
    assert [code for code, *_ in codes(labels)] == ["image-ambiguous"] * 2


def test_what_is_no_task_or_names_no_picture_is_refused_by_its_place(tmp_path):
    labels = read(tmp_path, {"id": 1}, task(annotation(), image=""), task(annotation(region(), result=3)))
    assert labels.rejected.select("code", "place").rows() == [
        ("task-malformed", "export.json: [0]"),
        ("image-unknown", "export.json: task 1, annotation 1"),
        ("annotation-malformed", "export.json: task 1, annotations[0]"),
    ]
    assert labels.rows.is_empty()


def test_an_export_of_before_version_1_is_read(tmp_path):
    old = {
        "id": 1,
        "data": {"image": "a.png"},
        "completions": [{"id": 3, "created_at": 1600000000, "result": [region()]}],
    }
    assert rows(read(tmp_path, old))[0][:3] == ("a", "R0", "Nodule")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("min.json", '[{"image": "a.png", "id": 1, "label": [], "annotator": 1, "annotation_id": 2, "lead_time": 3}]'),
        ("p.csv", "image,id,label,annotator,annotation_id,created_at,updated_at,lead_time\na.png,1,,1,2,,,3\n"),
    ],
)
def test_an_export_that_cannot_tell_normal_from_unread_is_refused_with_the_right_one(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert formats.detect(Bundle(tmp_path)) == "label-studio"
    with pytest.raises(AnnotationError, match=r"cannot tell .* Export the project as JSON \(not"):
        label_studio.read(Bundle(tmp_path))


def test_a_list_of_tasks_is_told_from_other_json(tmp_path):
    write(tmp_path, task(annotation()))
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert label_studio.find(Bundle(tmp_path)) == ("export.json",)


@pytest.mark.parametrize("given", [{"id": 1}, {"id": 1, "result": None}, 7])
def test_an_annotation_whose_result_is_not_there_is_no_empty_one(tmp_path, given):
    labels = read(tmp_path, task(given), task(annotation(), id=2, image="b.png"))
    assert labels.rejected["code"].to_list() == ["annotation-malformed"]
    assert labels.rows["image_id"].to_list() == ["b"]

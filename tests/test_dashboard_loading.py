"""What is on the disk is read once, strictly, and again only where it has changed."""

import json
from pathlib import Path

import polars as pl
import pytest

from feedback_files import rich
from radloop.dashboard import loading
from radloop.errors import DatasetError, FeedbackError
from radloop.feedback import documents, reading, records, reviews
from radloop.feedback.records import Detection
from radloop.feedback.reviews import Review
from radloop.taxonomy import Taxonomy
from radloop.vindr.classes import TAXONOMY as VINDR

HEADER = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"


def table(path: Path, *rows: str, header: str = HEADER) -> loading.Dataset:
    path.write_text("\n".join([header, *rows]) + "\n")
    return loading.dataset(path)


def bare(folder: Path, image_id: str, *, name: str | None = None) -> None:
    said = {"image_id": image_id, "class_id": 14, "confidence": 0.9, "bbox": None, "timestamp": "2026-01-02T12:00:00"}
    (folder / (name or f"{image_id}.json")).write_text(json.dumps(said))


def test_boxes_of_a_table_are_fractions_of_1024_pixels(tmp_path):
    found = table(tmp_path / "t.csv", "a,Cardiomegaly,3,R8,256,512,512,1024", "b,No finding,14,R1,,,,")
    assert found.rows.row(0, named=True) == {
        "image_id": "a",
        "rad_id": "R8",
        "class_id": 3,
        "x_min_norm": 0.25,
        "y_min_norm": 0.5,
        "x_max_norm": 0.5,
        "y_max_norm": 1.0,
        "width": 1024,
        "height": 1024,
        "class_name": "Cardiomegaly",
    }
    assert found.rows.row(1)[3:7] == (None,) * 4
    assert not found.has_splits


def test_tables_own_frame_is_used_where_it_has_one(tmp_path):
    found = table(tmp_path / "t.csv", "a,Cardiomegaly,3,R8,200,0,400,100,2000,1000", header=HEADER + ",width,height")
    assert found.rows.select("x_min_norm", "y_max_norm").row(0) == (0.1, 0.1)


def test_table_without_readers_has_one(tmp_path):
    found = table(tmp_path / "t.csv", "a,Cyst,1,1,9,9", header="image_id,class_name,x_min,y_min,x_max,y_max")
    assert found.rows["rad_id"].to_list() == ["R0"]


@pytest.mark.parametrize(
    ("row", "code", "reason"),
    [
        pytest.param(",Cardiomegaly,3,R8,1,1,9,9,test", "image-missing", "no image_id", id="no image"),
        pytest.param("a,,,R8,1,1,9,9,test", "class-missing", "the row names no class", id="no class"),
        pytest.param(
            "a,,15,R8,1,1,9,9,test", "class-unknown", "the class is unknown: class_id '15'", id="an id without a name"
        ),
        pytest.param("a,,3,R8,1,1,9,9,exam", "split-unknown", "unknown split", id="split"),
        pytest.param("a,,3,R8,9,1,1,9,test", "box-invalid", "not a box", id="turned round"),
        pytest.param("a,,3,R8,1,1,nan,9,test", "box-invalid", "not a box", id="not a number"),
        pytest.param("a,,3,R8,,,,,test", "box-invalid", "not a box", id="finding without a box"),
    ],
)
def test_row_that_cannot_be_used_is_refused_and_counted(tmp_path, row, code, reason):
    found = table(tmp_path / "t.csv", "b,Cardiomegaly,3,R8,1,1,9,9,test", row, header=HEADER + ",split")
    assert found.rows["image_id"].to_list() == ["b"]
    assert found.refused.rows() == [(code, reason, 1)]


def test_rows_refused_for_one_kind_of_reason_are_one_count(tmp_path):
    named = "b,Cardiomegaly,3,R8,1,1,9,9"
    found = table(tmp_path / "t.csv", named, "a,,15,R8,1,1,9,9", "a,,16,R8,1,1,9,9", "a,,,R8,1,1,9,9")
    counted = found.refused.select("code", "rows").rows()
    assert counted == [("class-unknown", 2), ("class-missing", 1)]


def test_table_names_its_own_classes_and_the_page_says_how_they_were_read(tmp_path):
    found = table(tmp_path / "t.csv", "a,Osteophytes,7,R8,1,1,9,9", "a,Cyst,9,R8,1,1,9,9")
    assert found.taxonomy == Taxonomy(("Cyst", "Osteophytes"))
    assert found.rows["class_id"].to_list() == [1, 0]
    assert any("class_id is not used" in note for note in found.notes)


def test_nothing_found_is_null_within(tmp_path):
    found = table(tmp_path / "t.csv", "a,Cyst,0,R8,1,1,9,9", "b,no finding,1,R8,,,,")
    assert found.rows.select("class_id", "class_name").rows() == [(0, "Cyst"), (None, "No finding")]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        pytest.param("a,<script>,,R8,1,1,9,9", "Names that are not among the classes", id="undeclared"),
        pytest.param("a,cardiomegaly ,3,R8,1,1,9,9", None, id="another case"),
    ],
)
def test_name_that_nobody_declared_refuses_the_table(tmp_path, row, sentence):
    rows = ("b,Cardiomegaly,3,R8,1,1,9,9", row)
    if sentence is None:
        assert table(tmp_path / "t.csv", *rows).rows["class_id"].to_list() == [3, 3]
        return
    with pytest.raises(DatasetError, match=sentence) as refused:
        table(tmp_path / "t.csv", *rows)
    assert "radloop etl --source FOLDER" in str(refused.value)


def test_ids_without_a_name_are_not_guessed(tmp_path):
    with pytest.raises(DatasetError, match="not guessed"):
        table(tmp_path / "t.csv", "a,3,1,1,9,9", header="image_id,class_id,x_min,y_min,x_max,y_max")


def test_box_over_the_edge_is_refused_and_many_refuse_the_table(tmp_path):
    inside = ["a,Cardiomegaly,3,R8,1,1,9,9"] * 200
    assert table(tmp_path / "one.csv", *inside, "b,,3,R8,1,1,1100,9").refused["code"].to_list() == ["box-outside"]
    with pytest.raises(DatasetError, match="not in 1024×1024"):
        table(tmp_path / "many.csv", *inside, *["b,,3,R8,1,1,2000,9"] * 5)


@pytest.mark.parametrize("text", ["", "\x00", "image_id\na\n", HEADER + "\n", "a,b\n1,2,3,4\n"])
def test_file_that_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"t\.csv"):
        loading.dataset(tmp_path / "t.csv")


def test_changed_table_is_read_again(tmp_path):
    assert table(tmp_path / "t.csv", "a,Cyst,0,R8,1,1,9,9").rows.height == 1
    assert table(tmp_path / "t.csv", "a,Cyst,0,R8,1,1,9,9", "b,Cyst,0,R8,1,1,9,9").rows.height == 2


def test_one_more_feedback_file_reads_that_file_alone(tmp_path, monkeypatch):
    for number in range(5):
        bare(tmp_path, f"image{number}")
    assert loading.feedback(tmp_path, VINDR).records.feedback.height == 5
    opened = []
    read = reading.read
    monkeypatch.setattr(
        reading,
        "read",
        lambda folder, classes, names, **how: opened.extend(names) or read(folder, classes, names, **how),
    )
    bare(tmp_path, "one-more")
    found = loading.feedback(tmp_path, VINDR)
    assert (found.records.feedback.height, opened) == (6, ["one-more.json"])
    assert loading.feedback(tmp_path, VINDR).key == found.key
    assert opened == ["one-more.json"]


def test_low_boxes_come_beside_the_detections_also_of_a_file_that_is_new(tmp_path):
    low = [Detection(class_id=5, confidence=0.2, bbox=(0.3, 0.3, 0.1, 0.1))]
    for number in (1, 2):
        records.write(tmp_path, rich(feedback_id=f"f{number}", low_detections=low, kept_from=0.05))
        found = loading.feedback(tmp_path, VINDR).records
        assert (found.feedback.height, found.detections.height, found.low.height) == (number, 2 * number, number)
        assert found.every_box.height == 3 * number


def test_feedback_that_went_away_is_gone(tmp_path):
    bare(tmp_path, "a")
    bare(tmp_path, "b")
    before = loading.feedback(tmp_path, VINDR)
    (tmp_path / "a.json").unlink()
    after = loading.feedback(tmp_path, VINDR)
    assert after.records.feedback["image_id"].to_list() == ["b"]
    assert after.key != before.key


def test_reviews_without_a_folder_are_none(tmp_path):
    assert loading.reviews(tmp_path / "nowhere", VINDR).reviews.reviews.is_empty()


def test_log_keeps_its_good_lines(tmp_path):
    path = tmp_path / "log"
    path.write_text('{"event": "start", "run_id": "r"}\nnot json\n{"event": "end", "run_id": "r"}\n')
    found = loading.lines(path, pl.Schema({"event": pl.String, "run_id": pl.String}))
    assert found["event"].to_list() == ["start", "end"]


def test_what_cannot_be_opened_is_no_log(tmp_path):
    with pytest.raises(FeedbackError, match="no log"):
        loading.lines(tmp_path / "nowhere", pl.Schema({"event": pl.String}))


def test_review_that_was_read_is_not_opened_again_and_one_that_was_mended_is(tmp_path, monkeypatch):
    data = reviews.encode(
        Review(feedback_id="f1", image_id="a", reviewer="ann", verdict="reject", timestamp="2026-01-02T12:00:00Z")
    )
    (tmp_path / "f1.ann.0.json").write_bytes(data)
    (tmp_path / "f1.bob.0.json").write_bytes(b"{")
    assert loading.reviews(tmp_path, VINDR).reviews.reviews.height == 1
    opened = []
    real = documents.read_bytes
    monkeypatch.setattr(documents, "read_bytes", lambda folder, name: (opened.append(name), real(folder, name))[1])
    (tmp_path / "f1.bob.0.json").write_bytes(data.replace(b"ann", b"bob"))
    (tmp_path / "f1.eve.0.json").write_bytes(data.replace(b"ann", b"eve"))
    assert sorted(loading.reviews(tmp_path, VINDR).reviews.reviews["reviewer"]) == ["ann", "bob", "eve"]
    assert sorted(opened) == ["f1.bob.0.json", "f1.eve.0.json"]
    (tmp_path / "f1.ann.0.json").unlink()
    assert sorted(loading.reviews(tmp_path, VINDR).reviews.reviews["reviewer"]) == ["bob", "eve"]

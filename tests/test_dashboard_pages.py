"""Every page stays up and says what it lacks or refuses, whatever its inputs are."""

import dataclasses
import json
import shutil
from pathlib import Path

import msgspec
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

import small_loop
import written_loop
from app_pages import OF_DATASET, PAGES, choose, every_view, opened, said, written
from radloop.catalog.rule import Rule
from radloop.dashboard import loading
from radloop.feedback import audit, identity, records
from radloop.feedback.records import Detection
from radloop.options import Dashboard
from radloop.vindr.classes import TAXONOMY as VINDR


def plain(test: AppTest) -> str:
    """Every word on the page, without marks of bold."""
    return said(test).replace("*", "")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A loop that no test changes."""
    return small_loop.run(tmp_path_factory.mktemp("loop"))


@pytest.fixture
def copied(made, tmp_path):
    """The same to be damaged."""
    out = tmp_path / "out"
    shutil.copytree(made.dataset.parent, out)
    parts = {
        name: out / value.relative_to(made.dataset.parent) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(made).items()
    }
    return Dashboard(**parts)


@pytest.mark.parametrize("page", PAGES)
def test_page_shows_every_view_of_a_whole_loop(page, made):
    for test in every_view(opened(page, made)):
        assert test.error == []


@pytest.mark.slow
@pytest.mark.parametrize("page", ["overview", "drift", "images", "feedback", "retraining"])  # they order the queue
def test_low_boxes_change_no_word_and_no_number_of_a_page(page, made, copied, monkeypatch):
    monkeypatch.setattr(identity, "require", lambda *_: None)  # their reviews name the ids of before
    for path in copied.feedback.iterdir():
        feedback = records.decode(path.read_bytes(), VINDR, name=path.name)
        low = [Detection(class_id=5, confidence=0.2, bbox=(0.3, 0.3, 0.1, 0.1))] * 3
        path.write_bytes(records.encode(msgspec.structs.replace(feedback, low_detections=low)))
    assert loading.feedback(copied.feedback, VINDR).records.low.height == 3 * len(list(copied.feedback.iterdir()))
    for before, now in zip(every_view(opened(page, made)), every_view(opened(page, copied)), strict=True):
        assert said(now) == said(before).replace(str(made.out), str(copied.out))
        assert [one.value for one in now.metric] == [one.value for one in before.metric]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page_without_inputs_names_the_command_that_makes_them(page, tmp_path):
    test = opened(page, Dashboard(out=tmp_path / "nowhere"))
    assert any(code.value.startswith("radloop ") for code in test.code)
    assert list(every_view(test))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page_with_empty_folders_names_the_command_that_makes_them(page, tmp_path):
    names = ("dataset", "feedback", "reviews", "retrain", "images", "log")
    empty = Dashboard(**dict.fromkeys(names, tmp_path))
    test = opened(page, empty)
    assert "radloop" in said(test)
    assert list(every_view(test))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page != "timeline"])  # it shows none of these files
def test_page_with_damaged_files_says_that_they_are_refused(page, copied):
    for path in (copied.dataset / "annotations.parquet", copied.retrain, copied.log):
        path.write_bytes(b"\x00\xff damaged")
    for path in copied.feedback.iterdir():
        path.write_bytes(b"{")
    for path in copied.reviews.glob("*.json"):
        path.write_bytes(b"[]")
    assert any("Refused" in said(test) for test in every_view(opened(page, copied)))


@pytest.mark.slow
@pytest.mark.parametrize("page", OF_DATASET)
@pytest.mark.parametrize("with_split", [True, False], ids=["with split", "without split"])
def test_page_shows_a_table_alone(page, with_split, made, tmp_path):
    table = pl.read_csv(made.dataset / "scaled_bounding_boxes.csv")
    path = tmp_path / "scaled_bounding_boxes.csv"
    (table if with_split else table.drop("split")).write_csv(path)
    for test in every_view(opened(page, Dashboard(dataset=path))):
        assert "training" not in said(test) or with_split


def test_table_without_splits_shows_none(made, tmp_path):
    pl.read_csv(made.dataset / "scaled_bounding_boxes.csv").drop("split").write_csv(tmp_path / "table.csv")
    assert "no splits" in said(opened("overview", Dashboard(dataset=tmp_path / "table.csv")))


def test_table_in_original_pixels_is_refused_with_the_way_out(made):
    text = said(opened("overview", Dashboard(dataset=made.dataset.parent / "films" / "train.csv")))
    assert "Refused" in text
    assert "radloop etl" in text


def test_class_that_nobody_declared_refuses_the_table_as_text(made, tmp_path):
    table = pl.read_csv(made.dataset / "scaled_bounding_boxes.csv", infer_schema=False)
    hostile = table.head(1).with_columns(
        class_name=pl.lit("<script>alert(1)</script>"), class_id=pl.lit(None, pl.String)
    )
    pl.concat([table, hostile]).write_csv(tmp_path / "table.csv")
    test = opened("overview", Dashboard(dataset=tmp_path / "table.csv"))
    assert "Refused: " in said(test).replace("*", "")
    assert "'<script>alert(1)</script>' (1 rows)" in said(test)
    assert "<script>" not in written(test)


def test_rows_of_an_unknown_class_are_counted_with_an_example(made, tmp_path):
    table = pl.read_csv(made.dataset / "scaled_bounding_boxes.csv", infer_schema=False)
    unknown = [table.head(1).with_columns(class_name=pl.lit(None), class_id=pl.lit(id_)) for id_ in ("77", "78")]
    pl.concat([table, *unknown], how="vertical_relaxed").write_csv(tmp_path / "table.csv")
    test = opened("overview", Dashboard(dataset=tmp_path / "table.csv"))
    assert "Refused rows: 2, the class is unknown: class_id '77', and the like." in said(test)


def test_markdown_in_a_readers_name_stays_text(made, tmp_path):
    table = pl.read_csv(made.dataset / "scaled_bounding_boxes.csv", infer_schema=False)
    evil = "![x](http://elsewhere.example/x.png)"
    normal = pl.col("class_id") == "14"
    table.with_columns(rad_id=pl.when(normal).then(pl.lit(evil)).otherwise("rad_id")).write_csv(tmp_path / "table.csv")
    text = written(opened("overview", Dashboard(dataset=tmp_path / "table.csv")))
    assert "x.png" in text.replace("\\", "")
    assert "](" not in text


@pytest.mark.parametrize("image_id", ["../../etc/passwd", "/etc/passwd", "..", "a/b", "nowhere\n", "<script>"])
def test_address_that_names_no_image_serves_no_file(image_id, made):
    text = said(opened("images", made, image=image_id))
    assert "has no image" in text


def test_image_id_with_a_path_in_it_is_refused(made, tmp_path):
    table = pl.read_csv(made.dataset / "scaled_bounding_boxes.csv", infer_schema=False)
    table.head(3).with_columns(image_id=pl.lit("../secret")).write_csv(tmp_path / "table.csv")
    (tmp_path / "pictures").mkdir()
    some = next((made.dataset / "training" / "images").iterdir())
    shutil.copy(some, tmp_path / "secret.png")
    inputs = Dashboard(dataset=tmp_path / "table.csv", images=tmp_path / "pictures")
    test = choose(opened("images", inputs), 0, "One image")
    assert "no file is looked for" in said(test)


def test_link_out_of_the_folder_is_refused(copied, tmp_path):
    outside = tmp_path / "outside.png"
    shutil.copy(next((copied.dataset / "training" / "images").iterdir()), outside)
    for path in copied.dataset.glob("*/images/*"):
        path.unlink()
        path.symlink_to(outside)
    assert "link out of its folder" in said(choose(opened("images", copied), 0, "One image"))


def test_truncated_picture_is_refused_and_its_boxes_still_show(copied):
    for path in copied.dataset.glob("*/images/*"):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data[: len(data) // 2])
    test = choose(opened("images", copied), 0, "One image")
    assert "was refused" in said(test)
    assert "everything" in " ".join(part.label for part in test.expander).lower()


def test_bad_feedback_file_is_listed_and_the_rest_shows(copied):
    (copied.feedback / "bad.json").write_text("{")
    text = said(opened("feedback", copied))
    assert "1 feedback files cannot be used" in text


@pytest.mark.slow
def test_what_is_simulated_is_marked_on_every_page_that_shows_it(made):
    for page in ("drift", "feedback", "retraining"):
        test = opened(page, made)
        if page == "drift":
            test.segmented_control[0].set_value("Feedback of two time windows").run()
        assert "Simulated" in said(test), page


def test_too_few_images_to_say_is_said_and_not_drawn(made):
    test = opened("drift", made)
    assert "Cannot tell: 12 images in training and 8 images in production answer none of the" in plain(test)
    assert "No difference found" not in said(test)
    assert "made alike in every class" in said(test)
    assert not test.success


def test_chosen_image_is_the_one_of_the_address(made):
    image_id = pl.read_parquet(made.dataset / "annotations.parquet")["image_id"][7]
    assert f"radloop explain {image_id}" in said(opened("images", made, image=image_id))


def test_detector_page_says_how_often_the_model_is_wrong_on_images_drawn_by_lot(tmp_path):
    """Three production images are reviewed, and the model was wrong on all of them."""
    inputs = written_loop.run(tmp_path, VINDR)
    production = pl.Series([f"image{n:03}" for n in range(48) if n % 12 > 8])

    def drawn(seed):
        return production.filter(audit.lots(production, seed) < audit.SHARE).to_list()

    one = next(seed for seed in range(1000) if len(set(drawn(seed)) & {"image009", "image010", "image011"}) == 1)
    none = next(seed for seed in range(1000) if drawn(seed) and drawn(seed)[0] > "image011")
    for seed, words in (
        (one, "1 are reviewed: the model was wrong on 1 (100.0%, too few for an interval)."),
        (none, "none is reviewed yet: how often the model is wrong is unknown."),
    ):
        test = opened("detector", dataclasses.replace(inputs, seed=seed))
        assert f"Of {len(drawn(seed))} images drawn by lot {words}" in said(test)


@pytest.mark.slow
def test_threshold_of_the_last_round_is_the_one_on_the_pages(copied):
    report = copied.retrain.with_name("report.json")
    report.write_text(json.dumps({"rule": Rule(min_confidence=0.45, require_review=True).document()}))
    test = opened("retraining", copied)
    assert test.slider[0].value == 0.45
    assert test.toggle[0].value
    assert "radloop retrain --min-confidence 0.45 --require-review" in said(test)
    for view in (opened("feedback", copied), opened("detector", copied)):
        lines = [
            shape["x0"]
            for chart in view.get("plotly_chart")
            for shape in json.loads(chart.proto.spec)["layout"].get("shapes", [])
        ]
        assert set(lines) == {0.45}
        if view.segmented_control[0].value == "What it said":
            text = said(view)
            assert "boxes of all feedback" in text
            assert "above the rule's 0.45, also those of held-out, superseded and doubtful images" in text
        else:
            assert "Right above 0.45" in [metric.label for metric in view.metric]


def test_round_that_let_held_out_images_train_says_so(copied):
    report = copied.retrain.with_name("report.json")
    report.write_text(json.dumps({"rule": Rule(include_held_out=True).document()}))
    test = opened("retraining", copied)
    assert "Held-out images train, too" in said(test)
    assert "radloop retrain --include-held-out" in said(test)


@pytest.mark.parametrize("text", ["", "[]", '{"rule": {"min_confidence": "high"}}'], ids=["empty", "a list", "text"])
def test_report_that_tells_no_rule_leaves_the_default(text, copied):
    copied.retrain.with_name("report.json").write_text(text)
    assert opened("retraining", copied).slider[0].value == Rule().min_confidence

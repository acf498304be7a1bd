"""A dataset that trains per reader and is judged by the consensus, through everything that reads a dataset."""

import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

import made_up
from app_pages import opened
from memory_store import MemoryStore
from radloop import manifest, options, storage, summaries, sums
from radloop.catalog import truth, version
from radloop.dashboard import loading
from radloop.dataset import trainer_tree, yolo
from radloop.errors import UsageError
from radloop.feedback import records, reviews
from radloop.feedback.records import Feedback, Model
from radloop.feedback.reviews import Finding, Review
from radloop.measures import evaluation
from radloop.pipelines import checking, explaining, exporting, offline, online, retraining
from radloop.pipelines.explaining import Node
from radloop.split_sizes import SplitSizes
from radloop.storage import layout, publish, shrinking, verify
from radloop.tables import SPLITS, TRUTH
from taxonomies import VINDR

SIZES = SplitSizes.parse("training=16,validation=4,test=4,staging=4,canary=4,production=8")
HEART = (0.5, 0.6, 0.4, 0.2)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def made(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that is written and published; nothing changes it."""
    place = tmp_path_factory.mktemp("made")
    offline.etl(etl(films, place))
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """One of links to it, for tests that change something."""
    shutil.copytree(made, tmp_path / "place", copy_function=os.link)
    return tmp_path / "place"


def etl(films: Path, place: Path, **more: object) -> options.Etl:
    told = {"source": str(films), "out": place / "out", "store": str(place / "store"), "sizes": SIZES}
    return options.Etl(**{**told, "judge": "consensus", "min_readers": 2, **more})


def listed(place: Path) -> pl.DataFrame:
    table = manifest.read(place / "out" / "organized")
    assert table is not None
    return table


def images(place: Path, split: str) -> list[str]:
    return version.read(place / "out").images.filter(split=split)["image_id"].to_list()


def judged_on(root: Path) -> dict[str, int]:
    """How many pictures the trainer takes for each split of data.yaml."""
    found = trainer_tree.judge_tree(yolo.read(root)).pictures.filter(config="data.yaml")
    return dict(found.group_by("split").len().sort("split").iter_rows())


def test_trainer_validates_on_each_image_once_and_learns_from_each_reader(films: Path, made: Path, tmp_path: Path):
    offline.etl(etl(films, tmp_path, judge=None))
    assert judged_on(tmp_path / "out" / "organized") == {"train": 48, "val": 12, "test": 12}
    assert judged_on(made / "out" / "organized") == {"train": 48, "val": 4, "test": 4}


def test_who_says_exactly_what_readers_agree_on_is_wrong_by_single_readers(made: Path):
    """Each picture once a reader, and each label an opinion: what a trainer validates on without a judge."""
    known = version.read(made / "out")
    rows, agreed = known.readings, truth.of(known.readings)
    once = rows.select("image_id", "group").unique().sort("image_id")
    opinion = rows.with_columns(image_id=pl.format("{}_{}", "image_id", "rad_id"), whole="image_id")
    pictures = opinion.select("image_id", "group", "whole").unique().sort("image_id")
    said = pictures.select("image_id", whole="whole").join(agreed, left_on="whole", right_on="image_id")

    def score(said: pl.DataFrame, drawn: pl.DataFrame, images: pl.DataFrame) -> float:
        found = said.with_columns(feedback_id="image_id", confidence=pl.lit(0.9))
        return evaluation.average_precision(found, drawn, images, known.taxonomy)["ap"].tail(1).item()

    drawn = opinion.filter(pl.col("class_id").is_not_null()).select(TRUTH.names())
    assert score(agreed, agreed, once) == 1
    assert score(said.select(TRUTH.names()), drawn, pictures.drop("whole")) < 0.7


def test_check_finds_no_violation_in_the_folder_and_in_the_store(made: Path):
    report = checking.check(made / "out")
    assert report.violations.rows() == []
    assert report.counts["pictures"] == report.counts["labels"] == 40 * 3 + 24
    assert checking.check(made / "store").sound


def test_check_judges_the_readers_files_too_that_no_yaml_leads_to(place: Path):
    """What moves to training is trained on: a line that the trainer drops is found before."""
    root = place / "out" / "organized"
    key, text = min(listed(place).filter(kind="label", split="production", rad_id="R8")["key"]), b"0 0.5 0.5 2.0 0.1\n"
    here = pl.col("key") == key
    table = listed(place).with_columns(
        bytes=pl.when(here).then(pl.lit(len(text), pl.Int64)).otherwise("bytes"),
        **{
            name: pl.when(here).then(pl.lit(digits)).otherwise(name) for name, digits in sums.of(text)._asdict().items()
        },
    )
    for name, data in ((key, text), (manifest.NAME, manifest.encode(table))):
        (root / name).unlink()  # a link to another test's
        (root / name).write_bytes(data)
    found = checking.check(place / "out").violations
    assert key.startswith("production/")
    assert found.filter(key=key)["consequence"].to_list() == ["image dropped"]


def test_consensus_in_the_folder_of_another_split_is_found(place: Path):
    root = place / "out" / "organized"
    table = listed(place).with_columns(pl.col("key").str.replace("^test-consensus/", "staging-consensus/"))
    (root / manifest.NAME).unlink()
    (root / manifest.NAME).write_bytes(manifest.encode(table))
    assert "split-annotations" in set(checking.check(place / "out").violations["rule"])


def test_every_file_of_an_image_is_a_link_to_its_one_picture(made: Path):
    table = listed(made).filter(kind="image")
    inodes = table.with_columns(
        inode=pl.Series([(made / "store/organized" / key).stat().st_ino for key in table["key"]])
    )
    assert inodes["inode"].n_unique() == table["image_id"].n_unique() == 40


def test_pull_of_one_split_brings_both_kinds_and_is_sound(made: Path, tmp_path: Path):
    told = options.Pull(out=tmp_path / "out", store=str(made / "store"), splits=("training", "validation"))
    pulled = offline.pull(told)
    keys = [key for key in listed(tmp_path)["key"] if "/images/" in key]
    folders = {key.partition("/")[0] for key in keys}
    assert folders == {"training", "validation", "validation-consensus"}
    assert (len(keys), pulled.received_files < len(keys)) == (16 * 3 + 4 * 3 + 4, True)
    report = checking.check(tmp_path / "out")
    assert report.sound
    assert "a part of the dataset, pulled without test, staging, canary, production" in report.checked


def test_store_that_lost_its_manifest_tells_whose_each_file_is(made: Path, tmp_path: Path):
    shutil.copytree(made / "store", tmp_path / "store", copy_function=os.link)
    (tmp_path / "store" / "organized" / manifest.NAME).unlink()
    told = layout.listed(storage.open_store(str(tmp_path / "store")))
    columns = ["key", "kind", "image_id", "rad_id", "split"]
    expected = listed(made).filter(pl.col("split").is_not_null()).select(columns)
    assert told.filter(pl.col("split").is_not_null()).select(columns).equals(expected)


def test_object_store_is_sent_each_picture_once_and_copies_the_rest_itself(made: Path):
    store = MemoryStore()
    publish.publish(made / "out" / "organized", store)
    pictures = [key for key in store.uploaded if "/images/" in key]
    assert len(pictures) == 40
    assert len([key for key in store.objects if "/images/" in key]) == 40 * 3 + 24
    assert verify.verify(store) == []


def test_export_has_of_each_split_what_its_own_label_files_have(made: Path, tmp_path: Path):
    exporting.export(options.Export(format="coco", dataset=made / "out", out=tmp_path))
    for split, folder in (("training", "training"), ("test", "test-consensus")):
        told = json.loads((tmp_path / f"export/coco/annotations/instances_{split}.json").read_text())
        texts = [file.read_text() for file in (made / "out/organized" / folder / "labels").iterdir()]
        assert len(told["annotations"]) == sum(len(text.splitlines()) for text in texts)


def test_summary_and_overview_say_how_many_files_are_the_consensus(films: Path, made: Path, tmp_path: Path):
    told = offline.transform(etl(films, made, dry_run=True))
    facts = dict(summaries.of(told).facts)
    assert facts["images"] == "40 with 144 label files, 24 of them the consensus of all but training"
    page = opened("overview", options.Dashboard(out=made / "out"))
    table = next(frame.value for frame in page.dataframe if "what" in frame.value.columns)
    shown = dict(zip(table["what"], table["value"], strict=True))
    assert (shown["label files"], shown["of both the consensus"], shown["judge"]) == ("144", "24", "consensus")


def test_hospital_shows_each_image_once(made: Path, tmp_path: Path):
    told = options.Simulate(out=tmp_path, store=str(made / "store"), splits=SPLITS, dry_run=True)
    assert online.simulate(told).pictures == 40


def test_consensus_of_two_readers_is_the_truth_that_detectors_are_judged_by(made: Path):
    known = version.read(made / "out")
    held = known.annotations.filter(pl.col("split") != "training")
    boxes = truth.of(held).join(held.select("image_id", "split").unique(), on="image_id")
    lines = boxes.group_by("split").len().sort("split")
    root = made / "out" / "organized"
    written = {
        s: sum(len(f.read_text().splitlines()) for f in (root / f"{s}-consensus/labels").iterdir()) for s in SPLITS[1:]
    }
    assert dict(lines.iter_rows()) == {split: count for split, count in written.items() if count}


def test_wishes_that_contradict_each_other_stop_before_the_source_is_read(films: Path, tmp_path: Path):
    for dry_run in (True, False):
        with pytest.raises(UsageError, match="against opinions"):
            offline.etl(etl(films, tmp_path, labels="consensus", judge="per-reader", dry_run=dry_run))
    assert not (tmp_path / "out" / "raw").exists()


def test_next_version_may_be_judged_otherwise_and_nothing_else_changes(films: Path, place: Path):
    """Each of the two sends what it has more, or takes it away; the readers' files and the splits stay."""
    before, with_judge = listed(place), (place / "out" / "organized" / "summary.json").read_bytes()
    own = offline.etl(etl(films, place, judge=None))
    without = listed(place)
    assert own.published.removed == 24 * 2 + 1  # and consensus.parquet
    assert without.filter(pl.col("split").is_not_null()).equals(
        before.filter(~pl.col("key").str.contains("-consensus/"), pl.col("split").is_not_null())
    )
    assert checking.check(place / "out").sound

    sizes = [
        shrinking.size(table, told)
        for table, told in ((before, with_judge), (without, (place / "out/organized/summary.json").read_bytes()))
    ]
    assert sizes[0] == sizes[1]  # to judge otherwise makes no version smaller

    again = offline.etl(etl(films, place))
    assert again.transformed.difference is not None
    assert again.transformed.difference.moved.is_empty()
    assert again.published.version == manifest.version(before)
    assert again.published.sent_bytes == 0
    assert checking.check(place / "store").sound


def say(place: Path, image_id: str) -> None:
    """A feedback on the image, and a radiologist who draws the heart."""
    feedback = Feedback(
        image_id=image_id,
        class_id=3,
        confidence=0.7,
        bbox=HEART,
        timestamp="2026-01-02T12:00:00+00:00",
        feedback_id=f"f-{image_id[:8]}",
        model=Model(name="tiny", version="1"),
    )
    (place / "out" / "feedback").mkdir(exist_ok=True)
    records.write(place / "out" / "feedback", feedback)
    review = Review(
        feedback_id=feedback.feedback_id,
        image_id=image_id,
        reviewer="ann",
        verdict="correct",
        findings=[Finding(class_id=3, bbox=HEART)],
        timestamp="2026-01-02T13:00:00+00:00",
    )
    reviews.write(place / "out" / "reviews", review, VINDR)


def test_retraining_is_judged_by_the_consensus_and_what_moves_keeps_its_readers_alone(films: Path, place: Path):
    moved = images(place, "production")[0]
    say(place, moved)
    retraining.retrain(options.Retrain(out=place / "out", store=str(place / "store")))
    unit = place / "out" / "organized" / "retrain"
    told = yaml.safe_load((unit / "data-retrain.yaml").read_text())
    assert (told["train"], told["val"]) == ("images", "../validation-consensus/images")
    assert (unit / told["val"]).resolve().is_dir()
    assert checking.check(place / "out").sound

    offline.etl(etl(films, place, add=unit / "retrain.csv"))
    keys = listed(place).filter(image_id=moved, kind="label")["key"].to_list()
    assert {key.partition("/")[0] for key in keys} == {"training"}
    assert f"training/labels/{moved}_ann.txt" in keys
    assert checking.check(place / "out").sound


def nodes(node: Node) -> list[Node]:
    return [node, *(one for part in node.parts for one in nodes(part))]


def test_explained_image_has_its_readers_lines_and_those_that_it_is_judged_by(made: Path):
    known = version.read(made / "out")
    boxes = truth.of(known.annotations.filter(split="test"))
    told = options.Explain(asked=boxes["image_id"][0], out=made / "out", store=str(made / "store"))
    texts = [node.text for node in nodes(explaining.explain(told).tree)]
    files = [text.partition(" (")[0] for text in texts if ".txt" in text]
    assert [file.partition("/")[0] for file in files] == ["test-consensus", "test", "test", "test"]
    fused = [text for text in texts if "fused from" in text]
    assert len(fused) == boxes.filter(image_id=boxes["image_id"][0]).height


def test_pages_count_images_and_readings_and_not_files_of_two_kinds(films: Path, made: Path, tmp_path: Path):
    """Every figure of the dashboard is made of these tables: they are those of the same dataset without a judge."""
    offline.etl(etl(films, tmp_path, judge=None))
    ours, others = (loading.dataset(place / "out") for place in (made, tmp_path))
    assert ours.labels.equals(others.labels)
    assert ours.readings.equals(others.readings)
    assert set(ours.places) == set(others.places)
    assert ours.summary["settings"]["judge"] == "consensus"

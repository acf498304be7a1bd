"""The loop closes: feedback and reviews become re-training data, and those the next dataset version."""

import hashlib
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import made_up
import written_loop
from feedback_files import bare, put
from radloop import boxes, cli, manifest, options, sealed, slices
from radloop.catalog import truth, version
from radloop.catalog.rule import Rule
from radloop.errors import DatasetError
from radloop.feedback import cache, guard, reading, records, reviews
from radloop.feedback.records import Detection, Feedback, Model
from radloop.feedback.retraining import decide
from radloop.feedback.reviews import Finding, Review
from radloop.pipelines import checking, offline, retraining, reviewing
from radloop.split_sizes import SplitSizes
from radloop.tables import EDGES, HELD_OUT
from taxonomies import SPINE, VINDR

SIZES = SplitSizes.parse("training=16,validation=4,test=4,staging=4,canary=4,production=8")
HEART = (0.5, 0.6, 0.4, 0.2)
NOON = "2026-01-02T12:00:00+00:00"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return made_up.films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def published(films, tmp_path_factory):
    """A dataset and the store it was published to; tests work on links to it."""
    place = tmp_path_factory.mktemp("published")
    offline.etl(etl(films, place))
    return place


def etl(films: Path, place: Path, **more) -> options.Etl:
    told = {"source": str(films), "out": place / "out", "store": str(place / "store"), "sizes": SIZES}
    return options.Etl(**told | more)


@pytest.fixture
def place(published, tmp_path):
    shutil.copytree(published, tmp_path / "place", copy_function=os.link)
    return tmp_path / "place"


def images(place: Path, *splits: str) -> list[str]:
    table = version.read(place / "out").images
    return table.filter(pl.col("split").is_in(splits))["image_id"].to_list()


LOW = [Detection(class_id=5, confidence=0.2, bbox=(0.3, 0.3, 0.1, 0.1))]


def give(place: Path, image_id: str, *drawn: tuple, number: int = 0, folder: str = "feedback", **known) -> Feedback:
    """Write a feedback with `drawn` boxes (class, confidence, cxcywh)."""
    found = [Detection(class_id=class_id, confidence=p, bbox=box) for class_id, p, box in drawn]
    top = max(
        found, key=lambda one: one.confidence, default=Detection(class_id=VINDR.nothing, confidence=0.8, bbox=HEART)
    )
    feedback = Feedback(
        image_id=image_id,
        class_id=top.class_id,
        confidence=top.confidence,
        bbox=top.bbox if found else None,
        detections=found,
        timestamp=f"2026-01-02T12:{number:02}:00+00:00",
        feedback_id=f"f-{image_id[:12]}-{number}",
        model=Model(name="tiny"),
        **known,
    )
    (place / "out" / folder).mkdir(exist_ok=True)
    records.write(place / "out" / folder, feedback)
    return feedback


def look(place: Path, feedback: Feedback, verdict: str, *drawn: tuple, **known) -> None:
    found = [Finding(class_id=class_id, bbox=box) for class_id, box in drawn]
    review = Review(
        **{
            "feedback_id": feedback.feedback_id,
            "image_id": feedback.image_id,
            "reviewer": "ann",
            "verdict": verdict,
            "findings": None if verdict == "reject" else found,
            "timestamp": "2026-01-02T13:00:00+00:00",
            **known,
        }
    )
    reviews.write(place / "out" / "reviews", review, VINDR)


def retrain(place: Path, *, folder: str = "feedback", **more) -> retraining.Retrained:
    out = place / "out"
    return retraining.retrain(options.Retrain(out=out, store=str(place / "store"), feedback=out / folder, **more))


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def trained(place: Path) -> dict[str, bytes]:
    """What must be the same byte for byte: all but the rounds, the report and the manifest that lists them."""
    unit = tree(place / "store" / "organized" / "retrain")
    assert unit == tree(place / "out" / "organized" / "retrain")
    return {
        key: data
        for key, data in unit.items()
        if not key.startswith("rounds/") and key not in ("report.json", manifest.NAME)
    }


def rows(place: Path) -> pl.DataFrame:
    return pl.read_csv(place / "out" / "organized" / "retrain" / "retrain.csv", infer_schema=False)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_sure_predictions_become_a_unit_that_a_trainer_takes(place):
    image_id = images(place, "production")[0]
    give(place, image_id, (3, 0.95, HEART))
    done = retrain(place)

    unit = trained(place)
    assert set(unit) == {
        "retrain.csv",
        "data-retrain.yaml",
        "refused.csv",
        "withheld.csv",
        f"images/{image_id}_M-tiny.png",
        f"labels/{image_id}_M-tiny.txt",
    }
    assert unit[f"labels/{image_id}_M-tiny.txt"] == b"3 0.500000 0.600000 0.400000 0.200000\n"
    assert unit["data-retrain.yaml"].startswith(b"train: images\nval: ../validation/images\nnames:\n  0: Aortic")
    assert done.published.version == done.version
    report = checking.check(place / "store")
    assert report.sound
    assert report.counts["retrain/boxes"] == 1


def test_pictures_of_the_unit_are_links_to_the_datasets(place):
    image_id = images(place, "production")[0]
    give(place, image_id, (3, 0.95, HEART))
    retrain(place)
    organized = place / "out" / "organized"
    assert (organized / f"retrain/images/{image_id}_M-tiny.png").samefile(
        next((organized / "production" / "images").glob(f"{image_id}_*.png"))
    )


def test_no_held_out_image_trains_however_its_feedback_comes(place):
    known = version.read(place / "out").images
    held_out = known.filter(pl.col("split").is_in(HELD_OUT))
    production, *others = images(place, "production")
    give(place, production, (3, 0.95, HEART))
    sneaked = 0
    for number, (image_id, _, _, md5, phash) in enumerate(held_out.iter_rows()):
        near = f"{int(phash, 16) ^ 1:016x}"
        give(place, image_id, (3, 0.95, HEART), number=1)
        give(place, image_id.upper(), (3, 0.95, HEART), number=2)
        give(place, f"{image_id}.jpg", (3, 0.95, HEART), number=3)
        give(place, f"{image_id}_R8", (3, 0.95, HEART), number=4)
        give(place, f"copy-{number}", (3, 0.95, HEART), number=5, image_md5=md5)
        give(place, others[number % len(others)], (3, 0.95, HEART), number=6 + number, image_md5=md5)
        give(place, f"near-{number}", (3, 0.95, HEART), number=7, image_md5="0" * 32, image_phash=near)
        sneaked += 7
    done = retrain(place)

    assert rows(place)["image_id"].to_list() == [production]
    assert done.report["fates"] == {"kept": 1, "withheld": sneaked, "refused": 0, "disputed": 0, "unused": 0}
    assert done.report["withheld"] == dict.fromkeys(HELD_OUT, sneaked // 4)
    withheld = pl.read_csv(place / "out/organized/retrain/withheld.csv")
    assert withheld.height == sneaked
    assert not withheld["included"].any()


def test_include_held_out_is_written_into_every_output(place):
    give(place, images(place, "test")[0], (3, 0.95, HEART))
    retrain(place, include_held_out=True)

    unit = trained(place)
    assert rows(place)["split"].to_list() == ["test"]
    assert b"--include-held-out was used" in unit["data-retrain.yaml"]
    assert pl.read_csv(unit["withheld.csv"])["included"].to_list() == [True]
    report = json.loads((place / "store/organized/retrain/report.json").read_bytes())
    assert report["rule"] == Rule(include_held_out=True).document()
    assert report["included_although_held_out"] == 1


def test_no_feedback_is_said_and_nothing_is_published(place, capsys):
    assert run("retrain", "--out", place / "out", "--store", place / "store") == 0
    assert "no feedback in" in capsys.readouterr().out
    assert not (place / "store/organized/retrain").exists()
    assert not (place / "out/organized/retrain").exists()


def test_empty_round_is_not_published_and_leaves_the_last_one(place):
    feedback = give(place, images(place, "production")[0], (3, 0.95, HEART))
    retrain(place)
    before = trained(place)
    look(place, feedback, "reject")

    done = retrain(place)
    assert done.version is None
    assert trained(place) == before


def test_every_file_is_counted_and_bad_ones_are_listed_and_stay(place, capsys):
    give(place, images(place, "production")[0], (3, 0.95, HEART))
    give(place, "stranger", (3, 0.95, HEART))
    folder = place / "out" / "feedback"
    (folder / "half.json").write_text('{"image_id": "a1", ')
    (folder / "folder.json").mkdir()

    published = place / "store/organized/retrain"
    assert run("retrain", "--out", place / "out", "--store", place / "store", "--strict", "--json") == 3
    assert "3 files of feedback and reviews were refused, such as folder.json" in capsys.readouterr().err
    assert not published.exists()
    assert (place / "out" / "refused.csv").exists()
    assert run("retrain", "--out", place / "out", "--store", place / "store", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["report"]["feedback"] == 4
    assert sum(printed["report"]["fates"].values()) == 4
    refused = pl.read_csv(published / "refused.csv")
    assert refused["file"].to_list() == ["folder.json", "half.json", "stranger.json"]
    assert (folder / "half.json").exists()


def test_refusals_are_counted_by_their_code_and_never_by_their_words(place):
    """The inputs whose counts were once cut out of prose: "Expected", "" and "feedback_id twin" for twin2."""
    give(place, images(place, "production")[0], (3, 0.95, HEART))
    folder = place / "out" / "feedback"
    for number in range(2):
        put(folder, f"type-{number}.json", bare(image_id="x", confidence=f"high {number}"))
        put(folder, f"twin-{number}.json", bare(image_id="x", feedback_id="twin2"))
    put(folder, "twin-2.json", bare(image_id="x", feedback_id="twin2"))
    put(folder, "missing.json", {key: value for key, value in bare().items() if key != "confidence"})
    put(folder, "array.json", b"[1]")
    put(folder, "digits.json", bare(class_id=99))
    put(place / "out" / "reviews", "f1.ann.0.json", b"{")
    done = retrain(place)

    expected = {
        "bad-confidence": 2,
        "feedback-id-twice": 2,
        "class-unknown": 1,
        "image-unknown": 1,
        "missing-confidence": 1,
        "not-an-object": 1,
    }
    assert done.report["refused"] == expected
    assert list(done.report["refused"]) == list(expected)
    assert done.report["reviews_refused"] == {"not-json": 1}
    refused = pl.read_csv(place / "out/organized/retrain/refused.csv")
    assert refused.columns == ["kind", "file", "image_id", "code", "reason"]
    by_file = {file: (code, reason) for file, code, reason in refused.select("file", "code", "reason").rows()}
    assert by_file["type-1.json"] == ("bad-confidence", 'confidence "high 1": expected a number')
    assert by_file["missing.json"] == ("missing-confidence", "confidence is missing")
    assert by_file["twin-2.json"] == (
        "feedback-id-twice",
        "feedback_id twin2 is also that of a file which comes before this one by name",
    )
    assert by_file["f1.ann.0.json"] == ("not-json", "it is not JSON: the data are truncated")
    assert dict(done.reasons.filter(fate="refused").select("code", "feedback").iter_rows()) == expected


def test_reasons_are_the_same_counted_in_parts(place, monkeypatch):
    for name, confidence in (("b", "high"), ("a", "low"), ("c", "none"), ("d", None)):
        put(place / "out" / "feedback", f"{name}.json", bare(confidence=confidence))
    give(place, images(place, "test")[0], (3, 0.5, HEART))
    give(place, images(place, "production")[0], (3, 0.5, HEART))
    whole = retrain(place).reasons
    assert whole.row(0) == ("refused", "bad-confidence", 4, 'confidence "low": expected a number')
    assert "kept" not in whole["fate"]
    monkeypatch.setattr(slices, "AT_ONCE", 1)
    assert retrain(place).reasons.equals(whole)


def test_summary_names_each_reason_with_an_example(place, capsys):
    put(place / "out" / "feedback", "x.json", bare(confidence="high"))
    give(place, images(place, "production")[0], (3, 0.5, HEART))
    assert run("retrain", "--out", place / "out", "--store", place / "store", "--min-confidence", "0.6") == 0
    printed = capsys.readouterr().out
    for words in ("bad-confidence", 'confidence "high": expected a number', "low-confidence", "no box above 0.6"):
        assert words in printed


def test_report_holds_the_rule_of_its_round(place):
    give(place, images(place, "production")[0], (3, 0.7, HEART))
    assert retrain(place, min_confidence=0.6).report["fates"]["kept"] == 1
    report = json.loads((place / "store/organized/retrain/report.json").read_bytes())
    assert report["rule"] == {
        "min_confidence": 0.6,
        "doubtful": 0.25,
        "require_review": False,
        "include_held_out": False,
        "allow_simulated": False,
        "policy": "threshold",
        "precision": 0.9,
    }


def test_reviews_that_trained_go_with_their_round_and_no_round_is_lost(place):
    one, other = (give(place, image_id, (5, 0.5, HEART)) for image_id in images(place, "production")[:2])
    look(place, one, "correct", (3, HEART))
    first = retrain(place)
    look(place, other, "normal")
    shutil.rmtree(place / "out" / "organized" / "retrain")  # another machine: only the store has the first round
    second = retrain(place)

    kept = {path.parent.name for path in (place / "store/organized/retrain/rounds").glob("*/*.ann.*.json")}
    assert kept == {first.round, second.round}
    assert len(list((place / "store/organized/retrain/rounds" / second.round).glob("*.ann.*.json"))) == 2
    assert trained(place)[f"labels/{other.image_id}_ann.txt"] == b""
    assert checking.check(place / "store").sound


def test_second_run_changes_nothing(place):
    give(place, images(place, "production")[0], (3, 0.95, HEART))
    retrain(place)
    before = tree(place / "store")
    again = retrain(place)
    assert tree(place / "store") == before
    assert again.published.copied == again.published.removed == 0


def test_dry_run_writes_nothing(place):
    give(place, images(place, "production")[0], (3, 0.95, HEART))
    before = set(tree(place))
    assert retrain(place, dry_run=True).report["rows"] == {"prediction": 1}
    assert set(tree(place)) == before


def test_order_of_files_increments_and_processes_do_not_change_a_byte(place, monkeypatch):
    said = [(image_id, 0.9 + n / 100) for n, image_id in enumerate(images(place, "production", "test", "training"))]
    for number, (image_id, confidence) in enumerate(said):
        give(place, image_id, (3, min(confidence, 1.0), HEART), number=number)
    retrain(place)
    once = trained(place)
    shutil.rmtree(place / "out" / "organized" / "retrain")
    shutil.rmtree(place / "out" / "cache")

    for number, (image_id, confidence) in reversed(list(enumerate(said))):
        give(place, image_id, (3, min(confidence, 1.0), HEART), number=number, folder="late")
        if number == len(said) // 2:
            retrain(place, folder="late")
    monkeypatch.setattr(reading, "_WORTH_PROCESSES", 1)
    retrain(place, folder="late", jobs=2)
    assert trained(place) == once


def test_cached_feedback_is_what_reading_all_of_it_gives(place):
    folder, kept = place / "out" / "feedback", place / "out" / "cache" / "kept"
    ids = images(place, "production")
    for image_id in ids[:4]:
        give(place, image_id, (3, 0.95, HEART), low_detections=LOW, kept_from=0.05)
    (folder / "half.json").write_text("{")
    cache.read(folder, VINDR, kept)
    give(place, ids[5], (4, 0.95, HEART))
    (folder / "half.json").write_text((folder / f"{ids[0]}.json").read_text())  # mended in place: a twin of another
    (folder / f"{ids[1]}.json").unlink()
    for name in (b"\xff.json", "ä.json".encode()):  # the first is no text
        (folder / os.fsdecode(name)).write_text((folder / f"{ids[2]}.json").read_text().replace(ids[2], ids[3]))

    cached, whole = cache.read(folder, VINDR, kept), reading.read(folder, VINDR)
    assert cached.feedback.equals(whole.feedback)
    assert cached.detections.equals(whole.detections)
    assert cached.low.equals(whole.low)
    assert cached.low.height == 3
    assert cached.refused.equals(whole.refused)
    for part in kept.iterdir():
        part.write_bytes(part.read_bytes()[:-9])
    assert cache.read(folder, VINDR, kept).feedback.equals(whole.feedback)
    shutil.rmtree(folder)
    assert cache.read(folder, VINDR, kept).feedback.is_empty()


def test_what_a_radloop_without_low_boxes_kept_is_read_again(place, monkeypatch):
    folder, kept = place / "out" / "feedback", place / "out" / "cache" / "kept"
    give(place, images(place, "production")[0], (3, 0.95, HEART), low_detections=LOW)
    monkeypatch.setattr(cache, "_PASS", cache._PASS - 1)
    cache.read(folder, VINDR, kept)
    monkeypatch.undo()
    read = []
    monkeypatch.setattr(reading, "read_some", lambda *asked, do=reading.read_some: read.append(asked) or do(*asked))
    assert cache.read(folder, VINDR, kept).low.height == 1
    assert cache.read(folder, VINDR, kept).low.height == 1
    assert len(read) == 1


def test_low_boxes_change_nothing_of_the_loop(place):
    """Neither what trains, nor what waits for a look: all of that goes on from 0.25."""
    told = []
    for low in (None, LOW):
        shutil.rmtree(place / "out" / "feedback", ignore_errors=True)
        shutil.rmtree(place / "out" / "reviews", ignore_errors=True)
        for number, image_id in enumerate(images(place, "production", "training", "test")):
            drawn = [(3, 0.95, HEART), (3, 0.5, HEART), (7, 0.6, HEART)][number % 3]
            give(place, image_id, *([drawn] if number % 4 else []), number=number, low_detections=low)
        queued = reviewing.order(options.Review(out=place / "out", queue=True)).queue
        simulated(place)
        told.append((queued.rows(), written_reviews(place), retrain(place).report["fates"], trained(place)))
    assert queued.height > 0
    assert written_reviews(place)
    assert told[0] == told[1]


def test_feedback_whose_review_is_refused_is_looked_at_again(place):
    said = give(place, images(place, "production")[0], (3, 0.95, HEART))
    look(place, said, "accept", (3, (0.2, 0.2, 0.1, 0.1)))
    assert retrain(place).report["fates"]["disputed"] == 1
    queued = reviewing.order(options.Review(out=place / "out", queue=True)).queue
    assert queued.select("feedback_id", "kind").rows() == [(said.feedback_id, "disputed")]


def test_low_boxes_tell_the_queue_where_something_may_have_been_missed(place):
    without, one, two = images(place, "production")[:3]
    low = [Detection(class_id=class_id, confidence=0.2, bbox=HEART) for class_id in (3, 7)]
    give(place, without)
    give(place, one, low_detections=low[:1])
    give(place, two, low_detections=low)
    queued = reviewing.order(options.Review(out=place / "out", queue=True)).queue
    missed = dict(queued.select("image_id", "missed").iter_rows())
    assert missed == pytest.approx({without: 0.2, one: 0.2, two: 0.36})


def test_cache_never_mixes_lists_of_classes(place):
    folder, out = place / "out" / "feedback", place / "out"
    for image_id, class_id in zip(images(place, "production"), (3, 7, 10), strict=False):
        give(place, image_id, (class_id, 0.95, HEART))
    give(place, images(place, "test")[0])
    assert cache.path(out, folder, VINDR) != cache.path(out, folder, SPINE)
    for classes in (VINDR, SPINE, VINDR, VINDR, SPINE):
        cached, whole = cache.read(folder, classes, place / "one"), reading.read(folder, classes)
        assert cached.feedback.equals(whole.feedback)
        assert cached.detections.equals(whole.detections)
        assert cached.refused.equals(whole.refused)
    assert cached.feedback["class_id"].to_list() == [3, None]  # 7 of seven classes: nothing found
    assert cached.refused["code"].to_list() == ["class-unknown"] * 2  # 10, and VinBigData's "nothing found"


def test_cache_keeps_parts_and_a_second_process_leaves_them_alone(place, monkeypatch):
    folder, kept = place / "out" / "feedback", place / "out" / "cache" / "kept"
    for image_id in images(place, "production", "test", "training")[:9]:
        give(place, image_id, (3, 0.95, HEART))
    monkeypatch.setattr(reading, "CHUNK", 4)
    whole = reading.read(folder, VINDR)
    with cache._locked(kept) as ours:
        assert ours
        assert cache.read(folder, VINDR, kept).feedback.equals(whole.feedback)
        assert not list(kept.iterdir())
    for _ in range(2):
        found = cache.read(folder, VINDR, kept)
        assert found.feedback.equals(whole.feedback)
        assert found.detections.equals(whole.detections)
        assert len(list(kept.iterdir())) == 3


def test_what_was_read_before_a_kill_is_not_read_again(place, monkeypatch):
    folder, kept = place / "out" / "feedback", place / "out" / "cache" / "kept"
    for image_id in images(place, "production", "test", "training")[:9]:
        give(place, image_id, (3, 0.95, HEART))
    whole, opened = reading.read(folder, VINDR), []
    read_some = reading.read_some

    def killed_at_the_second(folder, manner, names):
        if opened:
            raise KeyboardInterrupt
        opened.extend(names)
        return read_some(folder, manner, names)

    monkeypatch.setattr(reading, "CHUNK", 4)
    monkeypatch.setattr(reading, "read_some", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        cache.read(folder, VINDR, kept)
    again = []
    monkeypatch.setattr(
        reading, "read_some", lambda folder, manner, names: again.extend(names) or read_some(folder, manner, names)
    )
    assert cache.read(folder, VINDR, kept).feedback.equals(whole.feedback)
    assert not {*again} & {*opened}
    assert len(again) + len(opened) == 9


def test_feedback_that_was_replaced_is_read_again(place):
    folder, kept = place / "out" / "feedback", place / "out" / "cache" / "kept"
    image_id, other = images(place, "production")[:2]
    give(place, image_id, (3, 0.95, HEART))
    give(place, other, (3, 0.95, HEART))
    cache.read(folder, VINDR, kept)
    (folder / f"{image_id}.json").unlink()
    give(place, image_id, (4, 0.95, HEART), number=1)
    assert cache.read(folder, VINDR, kept).feedback.equals(reading.read(folder, VINDR).feedback)


def test_next_version_holds_what_was_retrained_and_says_what_changed(films, place):
    moved, changed, normal = *images(place, "production")[:1], *images(place, "training")[:2]
    give(place, moved, (3, 0.95, HEART))
    look(place, give(place, changed, (5, 0.5, HEART)), "correct", (3, HEART), (7, HEART))
    look(place, give(place, normal, (5, 0.5, HEART)), "normal")
    retrain(place)

    table = place / "out" / "organized" / "retrain" / "retrain.csv"
    following = {"out": place / "next", "store": str(place / "store2")}
    offline.etl(etl(films, place, previous=str(place / "store"), add=table, **following))

    assert checking.check(place / "store2").sound
    before, after = version.read(place / "out"), version.read(place / "next")
    difference = version.compare(before.annotations, after.annotations)
    assert difference.images == (40, 40)
    assert difference.moved.rows() == [(moved, "production", "training")]
    assert set(difference.changed) == {changed, normal}  # what the readers of `moved` drew stays its label
    assert difference.added == difference.removed == ()
    labels = place / "next" / "organized" / "training" / "labels"
    readers = before.readings.filter(image_id=changed)["rad_id"].unique()
    assert {path.name for path in labels.glob(f"{changed}_*")} == {f"{changed}_{one}.txt" for one in (*readers, "ann")}
    assert (labels / f"{normal}_ann.txt").read_text() == ""
    assert not (labels / f"{moved}_M-tiny.txt").exists()
    told = after.annotations.filter(image_id=moved, rad_id="M-tiny").select("source", "used").unique().rows()
    assert told == [("prediction", False)]
    assert after.readings.drop("split").equals(before.readings.drop("split"))

    give(place, moved, (3, 0.95, HEART), number=9)  # in the next version it is a training image
    parts = {"feedback": place / "out" / "feedback", "reviews": place / "out" / "reviews"}
    again = retraining.retrain(options.Retrain(**following, **parts))
    assert again.report["unused"] == {"superseded": 1, "training-image": 1}


def test_loop_goes_round_on_any_classes(tmp_path, classes):
    folders = written_loop.run(tmp_path, classes)
    queued = reviewing.order(options.Review(out=tmp_path, queue=True))
    assert set(queued.queue["class_name"]) <= {*classes.names, "No finding"}
    assert queued.queue["class_id"].is_between(0, classes.nothing).all()
    assert reviewing.simulate(options.Review(out=tmp_path, simulated=True)).written > 0
    shutil.rmtree(folders.dataset / "retrain")
    done = retraining.retrain(options.Retrain(out=tmp_path))

    unit = tmp_path / "store" / "organized" / "retrain"
    rows = pl.read_csv(unit / "retrain.csv", infer_schema=False)
    assert done.report["fates"]["kept"] == rows["feedback_id"].n_unique() > 0
    assert done.report["fates"]["refused"] == done.refused.height == 0
    assert done.report["classes"].keys() == set(rows["class_name"])
    numbers = {name: str(number) for number, name in enumerate((*classes.names, "No finding"))}
    assert rows["class_id"].to_list() == [numbers[name] for name in rows["class_name"]]
    assert yaml.safe_load((unit / "data-retrain.yaml").read_bytes())["names"] == dict(enumerate(classes.names))
    boxed = rows.filter(pl.col("x_min").is_not_null())
    lines = [line for path in (unit / "labels").iterdir() for line in path.read_text().splitlines()]
    assert sorted(line.split()[0] for line in lines) == sorted(boxed["class_id"])


def test_dataset_keeps_its_retraining_data_when_it_is_built_again(films, place):
    give(place, images(place, "production")[0], (3, 0.95, HEART))
    retrain(place)
    before = trained(place)
    offline.etl(etl(films, place, labels="consensus", allow_shrink=True))
    assert trained(place) == before
    assert retrain(place).report["images"] == 1


def test_fifteen_class_dataset_gets_fifteen_class_retraining_data(films, tmp_path):
    offline.etl(etl(films, tmp_path, no_finding="class"))
    image_id = images(tmp_path, "production")[0]
    look(tmp_path, give(tmp_path, image_id), "normal")
    retrain(tmp_path)

    unit = trained(tmp_path)
    assert unit[f"labels/{image_id}_ann.txt"] == b"14 0.500000 0.500000 1.000000 1.000000\n"
    assert unit["data-retrain.yaml"].endswith(b"  14: No finding\n")
    assert checking.check(tmp_path / "store").sound


@pytest.mark.parametrize("key", ["annotations.parquet", "heldout.parquet", "summary.json", "splits.json"])
def test_a_dataset_that_was_changed_and_sealed_again_is_refused(place, key):
    (production, *_) = images(place, "production")
    path = place / "out" / "organized" / key
    table = sealed.decode(path.read_bytes())
    changed = path.read_bytes() + b"\n" if table is None else sealed.encode(table.head(table.height - 1))
    path.unlink()
    path.write_bytes(changed)
    give(place, production, (3, 0.95, HEART))
    with pytest.raises(DatasetError, match=f"{key} is damaged, or was changed after radloop wrote it.*radloop check"):
        retrain(place)
    assert not (place / "out" / "organized" / "retrain").exists()


def test_picture_that_was_not_pulled_is_an_error_with_the_way_out(place, tmp_path):
    offline.pull(
        options.Pull(out=tmp_path / "part" / "out", store=str(place / "store"), splits=("training", "validation"))
    )
    give(tmp_path / "part", images(place, "production")[0], (3, 0.95, HEART))
    with pytest.raises(DatasetError, match="pull all of it"):
        retrain(tmp_path / "part")


def test_simulated_review_settles_everything_that_may_train(place):
    queue = options.Review(out=place / "out", queue=True)
    for image_id in images(place, "production", "training", "test"):
        give(place, image_id, (3, 0.95, HEART))
    queued = reviewing.order(queue)
    assert queued.queue.height == 24
    assert set(queued.queue["split"]) == {"production", "training"}

    first = simulated(place)
    assert first.looked_at == 24
    second = simulated(place)
    assert second.looked_at == first.disputed
    assert second.disputed == 0
    assert reviewing.order(replace(queue, read_twice=0.0)).queue.is_empty()
    assert set(reviewing.order(queue).queue["state"]) <= {"second"}
    third = simulated(place)
    assert (third.written, third.verdicts) == (0, {})
    assert set(retrain(place).report["rows"]) == {"simulated-review"}


def test_review_that_was_killed_between_two_readers_is_completed_by_the_next_run(place):
    folder = place / "out" / "reviews"
    for image_id in images(place, "production", "training"):
        give(place, image_id, (3, 0.95, HEART))
    simulated(place)
    whole = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    readers = Counter(name.split(".")[0] for name in whole)
    twice = next(feedback_id for feedback_id, count in readers.items() if count == 2)
    written = sorted(folder.glob(f"{twice}.*"), key=lambda path: json.loads(path.read_bytes())["timestamp"])
    written[1].unlink()

    assert simulated(place).written >= 1
    assert written[1].read_bytes() == whole[written[1].name]
    assert whole.items() <= {path.name: path.read_bytes() for path in folder.glob("*.json")}.items()


def test_review_of_a_person_ends_what_a_killed_run_owes(place):
    given = {}
    for image_id in images(place, "production", "training"):
        feedback = give(place, image_id, (3, 0.95, HEART))
        given[feedback.feedback_id] = feedback
    simulated(place)
    readers = Counter(name.split(".")[0] for name in written_reviews(place))
    twice = next(feedback_id for feedback_id, count in readers.items() if count == 2)
    paths = sorted(
        (place / "out/reviews").glob(f"{twice}.*"), key=lambda one: json.loads(one.read_bytes())["timestamp"]
    )
    paths[1].unlink()
    look(place, given[twice], "normal")
    simulated(place)
    assert not paths[1].exists()


def test_review_needs_to_be_told_which(place, capsys):
    assert run("review", "--out", place / "out") == 2
    assert "--queue" in capsys.readouterr().err
    assert run("review", "--out", place / "out", "--queue", "--worklist", "mine") == 2
    assert "--reader" in capsys.readouterr().err


def test_worklist_of_a_reader_does_not_tell_what_the_model_said(place, capsys):
    found, silent = images(place, "production")[:2]
    give(place, found, (3, 0.95, HEART))
    give(place, silent)
    held = give(place, images(place, "test")[0], (3, 0.95, HEART))
    asked = ("review", "--out", place / "out", "--queue", "--worklist", "next", "--reader", "ann")
    assert run(*asked, "--json") == 0
    listed = json.loads(capsys.readouterr().out)["queue"]
    assert {row["image_id"] for row in listed} == {found, silent}
    assert set(listed[0]) == {"place", "feedback_id", "image_id", "state", "held_out"}
    assert run(*asked, "--held-out") == 0
    text = capsys.readouterr().out
    assert "a review of a held-out image trains nothing" in text
    assert held.feedback_id[:12] in text
    assert "0.95" not in text
    assert "nothing found" not in text


def test_evaluation_judges_each_detector_by_what_readers_agree_on(place, capsys):
    known = version.read(place / "out")
    drawn = truth.of(known.readings)
    for image_id in images(place, "production", "test", "training"):
        here = drawn.filter(image_id=image_id)
        corners = boxes.xyxy_to_cxcywh(here.select(EDGES).to_numpy())
        found = zip(here["class_id"], corners.round(6).tolist(), strict=True)
        give(place, image_id, *((class_id, 0.95, tuple(box)) for class_id, box in found))
    assert run("evaluate", "--out", place / "out", "--json") == 0

    printed = json.loads(capsys.readouterr().out)
    (left_out,) = printed["left_out"]
    assert (left_out["feedback"], left_out["images"]) == (16, 16)
    assert "training" in left_out["reason"]
    assert printed["version"] == known.id
    assert [each["split"] for each in printed["models"]] == ["test", "production"]
    assert sum(each["images"] for each in printed["models"]) == 12
    for judged in printed["models"]:
        assert judged["map_40"]["ap"] == pytest.approx(1.0)
        assert judged["pseudo_labels"]["precision"] == judged["pseudo_labels"]["recall"] == 1.0
        assert judged["calibration"][-1]["low"] == 0.9
    assert run("evaluate", "--out", place / "out") == 0
    assert "0.9–1.0 trains" in capsys.readouterr().out


def test_evaluation_without_feedback_says_what_to_run(place, capsys):
    assert run("evaluate", "--out", place / "out") == 1
    assert "radloop simulate" in capsys.readouterr().err


def damage(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes as they are, cut, with another byte somewhere, or others altogether."""
    place = st.integers(0, len(data) - 1)
    return st.one_of(
        st.just(data),
        place.map(lambda at: data[:at]),
        st.tuples(place, st.binary(min_size=1, max_size=3)).map(lambda x: data[: x[0]] + x[1] + data[x[0] + 1 :]),
        st.binary(max_size=60),
    )


FEEDBACK_BYTES = json.dumps(
    {"image_id": "prod1", "class_id": 3, "confidence": 0.95, "bbox": HEART, "timestamp": NOON}, indent=2
).encode()
FEEDBACK_ID = hashlib.md5(FEEDBACK_BYTES).hexdigest()
REVIEW_BYTES = reviews.encode(
    Review(
        feedback_id=FEEDBACK_ID,
        image_id="prod1",
        reviewer="ann",
        verdict="correct",
        findings=[Finding(class_id=7, bbox=HEART)],
        timestamp=NOON,
    )
)
KNOWN = pl.DataFrame(
    {"image_id": ["prod1"], "split": ["production"], "group": ["prod1"], "md5": ["0" * 32], "phash": ["0" * 16]}
)


@pytest.mark.slow
@given(st.lists(damage(FEEDBACK_BYTES), max_size=5), st.lists(damage(REVIEW_BYTES), max_size=3))
def test_any_bytes_are_counted_once_and_never_a_traceback(tmp_path_factory, feedback, said):
    place = tmp_path_factory.mktemp("bytes")
    folder, reviewed = place / "feedback", place / "reviews"
    folder.mkdir()
    reviewed.mkdir()
    for number, data in enumerate(feedback):
        (folder / f"{number}.json").write_bytes(data)
    for number, data in enumerate(said):
        (reviewed / f"{FEEDBACK_ID}.ann.{number}.json").write_bytes(data)

    found, looked = cache.read(folder, VINDR, place / "kept"), reviews.read(reviewed, VINDR)
    decided = decide(found, guard.judge(found.feedback, KNOWN), looked)

    assert sorted(decided.fates["file"]) == sorted(f"{number}.json" for number in range(len(feedback)))
    assert set(decided.fates.filter(fate="kept")["feedback_id"]) == set(decided.rows["feedback_id"])
    assert decided.rows["image_id"].n_unique() <= 1
    assert looked.reviews.height + looked.refused.height == len(said)


def simulated(place: Path, **more) -> reviewing.Reviewed:
    return reviewing.simulate(options.Review(out=place / "out", simulated=True, **more))


def written_reviews(place: Path) -> dict[str, bytes]:
    """All that readers wrote, without the audit log of it."""
    return {path.name: path.read_bytes() for path in (place / "out" / "reviews").glob("*.json")}


def test_simulated_radiologists_see_no_held_out_and_no_strange_image(place):
    known = version.read(place / "out").images.filter(split="test")
    for image_id, _, _, md5, _ in known.iter_rows():
        give(place, image_id, (3, 0.95, HEART))
        give(place, f"copy-of-{image_id}", (3, 0.95, HEART), image_md5=md5)
    give(place, "stranger", (3, 0.95, HEART))
    assert simulated(place).looked_at == 0
    assert written_reviews(place) == {}


def test_simulated_radiologists_leave_alone_what_a_person_has_reviewed(place):
    for image_id in images(place, "production", "training"):
        look(place, give(place, image_id, (3, 0.95, HEART)), "normal")
    before = written_reviews(place)
    assert simulated(place).written == 0
    assert written_reviews(place) == before


def test_simulated_radiologists_of_another_seed_do_not_read_all_again(place):
    ids = images(place, "production", "training")
    for image_id in ids:
        give(place, image_id, (3, 0.95, HEART))
    simulated(place, seed=1)
    for seed in range(1, 9):
        simulated(place, seed=seed)
    said = [json.loads(data) for data in written_reviews(place).values()]
    assert {one["feedback_id"].split("-")[1] for one in said} == {image_id[:12] for image_id in ids}
    assert max(Counter((one["feedback_id"], one["reviewer"]) for one in said).values()) == 1
    assert max(Counter(one["feedback_id"] for one in said if "adjudicates" not in one).values()) <= 2


def test_simulated_review_that_is_not_to_be_written_is_counted_alone(place):
    for image_id in images(place, "production"):
        give(place, image_id, (3, 0.95, HEART))
    planned = simulated(place, dry_run=True).written
    assert planned > 0
    assert written_reviews(place) == {}
    assert simulated(place).written == planned


def test_simulated_radiologists_leave_alone_what_waits_for_a_review_that_can_be_read(place):
    waits, read = (give(place, image_id, (3, 0.95, HEART)) for image_id in images(place, "production")[:2])
    folder = place / "out" / "reviews"
    folder.mkdir()
    (folder / f"{waits.feedback_id}.ann.0.json").write_bytes(b"{")
    assert simulated(place).looked_at == 1
    assert {name.split(".")[0] for name in written_reviews(place)} == {waits.feedback_id, read.feedback_id}
    assert len(list(folder.glob(f"{waits.feedback_id}.*"))) == 1


def test_evaluation_says_how_often_readers_follow_the_model(place, capsys):
    for image_id in images(place, "production"):
        give(place, image_id, (3, 0.95, HEART), (10, 0.5, (0.2, 0.7, 0.1, 0.1)))
    assert run("evaluate", "--out", place / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out)["following"] == []
    simulated(place)
    assert run("evaluate", "--out", place / "out", "--json") == 0
    pooled, *readers = json.loads(capsys.readouterr().out)["following"]
    assert (pooled["reviewer"], pooled["simulated"]) == (None, True)
    assert pooled["asked"] == sum(reader["asked"] for reader in readers) > 0
    assert run("evaluate", "--out", place / "out") == 0
    assert "how often readers follow the model" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_simulated_radiologists_call_normal_what_all_readers_called_normal(place):
    readings = version.read(place / "out").readings
    drawn = set(readings.filter(pl.col("class_id").is_not_null())["image_id"])
    normal = [image_id for image_id in images(place, "production", "training") if image_id not in drawn]
    assert normal
    for number in range(20):
        for image_id in normal:
            give(place, image_id, (3, 0.95, HEART), number=number)
        simulated(place, seed=number)
    written = [json.loads(data) for data in written_reviews(place).values()]
    assert all(one["blind_findings"] == [] for one in written)
    followed = [one for one in written if one.get("findings")]
    assert all(one["verdict"] == "accept" for one in followed)
    assert 0.1 < len(followed) / len(written) < 0.3  # who follows the model's false alarm

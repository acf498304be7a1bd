"""Incoming pictures in the next version: with their group, with what people said, and never what measures."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

import incoming_unit
import made_up
from feedback_files import rich
from radloop import manifest, pixels, storage, summaries, tree
from radloop.catalog import incoming, version
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.feedback import records, reviews
from radloop.feedback.reviews import Finding, Review
from radloop.options import Etl, Evaluate, Explain, Retrain, Transform
from radloop.options import Review as Reading
from radloop.pipelines import checking, evaluating, explaining, offline, retraining, reviewing
from radloop.pipelines.versions import joining
from radloop.sources import synthetic
from radloop.split_sizes import SplitSizes
from radloop.storage import publish
from radloop.tables import CLASS_ID
from taxonomies import VINDR

SIZES = SplitSizes.parse("training=12,validation=2,test=2,staging=2,canary=2,production=4")
COUNT, NEW = 24, 6


def feedback(image_id: str, md5: str, split: str, **changes):
    return rich(
        image_id=image_id, image_md5=md5, split=split, feedback_id=f"f-{image_id[:40]}", image_phash=None, **changes
    )


def review(image_id: str, **changes) -> Review:
    told = {
        "feedback_id": f"f-{image_id[:40]}",
        "image_id": image_id,
        "reviewer": "reader-1",
        "verdict": "correct",
        "findings": [Finding(class_id=2, bbox=(0.5, 0.5, 0.2, 0.3))],
        "timestamp": "2026-11-23T10:00:00+00:00",
    }
    return Review(**told | changes)


class Place:
    """A dataset of made-up films in OUT and its store, and pictures that came in."""

    def __init__(self, root: Path) -> None:
        self.root, self.out, self.store = root, root / "out", root / "store"
        self.organized = self.out / "organized"
        self.retrain = self.organized / manifest.RETRAIN / tree.RETRAIN_TABLE

    def build(self, **options):
        told = {"source": str(self.root / "films"), "out": self.out, "store": str(self.store), "sizes": SIZES}
        return offline.etl(Etl(**told | {"jobs": 1} | options))

    def come_in(self, *, seed: int = 1, count: int = NEW, **changes: dict) -> list[str]:
        """New patients; `changes` of incoming.parquet by their number ("0", "1" …)."""
        made = made_up.films(self.root / f"came-{seed}", count, seed=seed)
        ids = [synthetic.image_id(number, seed=seed) for number in range(count)]
        pictures = {one: (made / "train" / f"{one}.png").read_bytes() for one in ids}
        incoming_unit.add(self.organized, pictures, **{ids[int(at)]: told for at, told in changes.items()})
        return ids

    def read(self, image_ids: list[str], **changes) -> None:
        """Feedback and a review on each."""
        images = dict(version.read(self.out).images.select("image_id", "md5").iter_rows())
        (self.out / "feedback").mkdir(exist_ok=True)
        for one in image_ids:
            records.write(self.out / "feedback", feedback(one, images[one], "incoming"))
            reviews.write(self.out / "reviews", review(one, **changes), VINDR)

    def publish_what_came_in(self) -> None:
        store = storage.open_store(str(self.store))
        publish.publish(self.organized / manifest.INCOMING, store, prefix=f"{manifest.UNIT}/{manifest.INCOMING}")

    def other_machine(self) -> "Place":
        """With the same source and store, and nothing of its own."""
        other = Place(self.root)
        other.out = self.root / "other"
        other.organized = other.out / "organized"
        return other

    def splits(self) -> dict[str, str]:
        return dict(version.read(self.out).annotations.select("image_id", "split").iter_rows())


def add_sizes(films: Path, came: Path) -> None:
    """Append train_meta.csv of one folder to another's."""
    with (films / "train_meta.csv").open("a") as file:
        file.writelines((came / "train_meta.csv").read_text().splitlines(keepends=True)[1:])


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Place:
    place = Place(tmp_path_factory.mktemp("first"))
    made_up.films(place.root / "films", COUNT)
    place.build()
    return place


@pytest.fixture
def place(first, tmp_path) -> Place:
    shutil.copytree(first.root, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path)


def test_reviewed_incoming_images_join_training_and_audit_ones_do_not(place):
    ids = place.come_in(**{"3": {"audit": True}, "4": {"held_out": "test"}})
    place.read(ids[:5])
    done = retraining.retrain(Retrain(out=place.out))
    assert done.report["withheld"] == {"audit": 1, "test": 1}
    rows = pl.read_csv(place.retrain)
    assert set(rows["image_id"]) == set(ids[:3])
    assert set(rows["split"]) == {"incoming"}
    assert len(list((place.organized / "retrain" / "images").iterdir())) == 3

    before = place.splits()
    after = place.build(add=place.retrain).transformed
    assert {one: split for one, split in place.splits().items() if one in before} == before
    assert {one: split for one, split in place.splits().items() if one not in before} == dict.fromkeys(
        ids[:3], "training"
    )
    assert after.images["training"] == 15
    assert checking.check(place.store).sound
    known = version.read(place.out)
    assert dict(known.images.select("image_id", "split").iter_rows())[ids[3]] == "audit"
    assert set(known.readings.filter(pl.col("image_id").is_in(ids[:3]))["rad_id"]) == {"reader-1"}


@pytest.mark.slow
def test_later_versions_carry_what_joined_and_the_same_input_gives_the_same_version(place):
    ids = place.come_in()
    place.read(ids[:2])
    retraining.retrain(Retrain(out=place.out))
    second = place.build(add=place.retrain).transformed
    third = place.build().transformed
    assert third.version == second.version
    assert not third.written
    place.read(ids[2:3])
    retraining.retrain(Retrain(out=place.out))
    fourth = place.build(add=place.retrain).transformed
    assert {place.splits()[one] for one in ids[:3]} == {"training"}
    assert fourth.difference.added == (ids[2],)
    proof = json.loads((place.organized / tree.PROOF).read_bytes())
    assert proof["moves"] == [{"image_id": ids[2], "from": "incoming", "to": "training"}]
    assert {one["image_id"] for one in proof["moved_before"]} == set(ids[:2])


def test_machine_without_the_pictures_fetches_them_from_the_store(place):
    ids = place.come_in()
    place.read(ids[:2])
    retraining.retrain(Retrain(out=place.out))
    made = place.build(add=place.retrain).transformed.version
    place.publish_what_came_in()
    other = place.other_machine()
    assert other.build().transformed.version == made
    assert checking.check(other.organized).sound


def test_whatever_a_changed_table_says_held_out_and_audit_images_are_refused(place):
    ids = place.come_in(
        **{"1": {"audit": True, "group": "g"}, "2": {"group": "g"}, "3": {"held_out": "canary"}, "4": {"group": "h"}}
    )
    place.read(ids)
    retraining.retrain(Retrain(out=place.out))
    rows = pl.read_csv(place.retrain, infer_schema=False)
    assert set(rows["image_id"]) == {ids[0], ids[4], ids[5]}
    one = rows.filter(image_id=ids[0])
    forged = pl.concat([rows, *(one.with_columns(image_id=pl.lit(ids[at])) for at in (1, 2, 3))])
    (place.root / "forged.csv").write_text(forged.write_csv())
    done = place.build(add=place.root / "forged.csv", max_refused=0.5).transformed
    refused = pl.read_csv(place.organized / tree.REJECTED)
    assert set(refused["image_id"]) == set(ids[1:4])
    assert set(refused["code"]) == {"image-held-out"}
    assert done.rows_refused == 3
    assert not set(ids[1:4]) & place.splits().keys()


def test_changed_picture_of_the_unit_does_not_train(place):
    ids = place.come_in()
    place.read(ids[:1])
    retraining.retrain(Retrain(out=place.out))
    picture = place.organized / "incoming" / "images" / f"{ids[0]}.png"
    data = picture.read_bytes()
    picture.unlink()
    picture.write_bytes(incoming_unit.png(255 - pixels.decode(data)))
    place.build(add=place.retrain, max_refused=0.5)
    assert ids[0] not in place.splits()
    assert "not the picture that came in" in (place.organized / tree.REJECTED).read_text()


def test_review_of_what_came_in_is_of_no_other_picture_that_the_source_has_under_its_id(place):
    same, packed, other = place.come_in(count=3)
    place.read([same, packed, other])
    retraining.retrain(Retrain(out=place.out, store=str(place.store)))
    films, came = place.root / "films", place.root / "came-1"
    made_up.write_rows(films, [*made_up.rows(films), *made_up.rows(came)])
    add_sizes(films, came)
    shutil.copy(came / "train" / f"{same}.png", films / "train")
    Image.open(came / "train" / f"{packed}.png").convert("L").save(films / "train" / f"{packed}.jpg", quality=80)
    Image.open(came / "train" / f"{same}.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        films / "train" / f"{other}.png"
    )
    place.build(add=place.retrain, max_refused=1)
    found = place.splits()
    assert (found[same], found[packed]) == ("training", "training")
    assert other not in found
    refused = pl.read_csv(place.organized / tree.REJECTED).filter(image_id=other)
    assert refused["reason"].str.contains("another picture came in under this id").all()
    assert refused.height > 1  # the source's rows, and the review's


def test_group_that_an_audit_image_is_of_stays_out_of_training_though_its_image_is_of_production(place):
    [produced, *_] = [one for one, split in place.splits().items() if split == "production"]
    place.come_in(**{"0": {"audit": True, "group": produced}})
    place.read([produced])
    report = retraining.retrain(Retrain(out=place.out)).report
    assert report["withheld"] == {"audit": 1}


def test_what_was_published_by_another_machine_is_known_beside_what_is_here(place):
    ids = place.come_in()
    place.publish_what_came_in()
    table = incoming.read(place.organized)
    incoming_unit.write(place.organized, table.filter(pl.col("image_id").is_in(ids[:2])))
    with joining.opened(Transform(out=place.out, store=str(place.store))) as here:
        assert here.table.equals(table)


def test_whole_way_of_an_audit_image_is_told_and_only_its_review_measures(place):
    ids = place.come_in(**{"3": {"audit": True, "recipe": "vinbigdata@1,size=1024,ratio=stretched"}})
    place.read(ids[2:4])
    retraining.retrain(Retrain(out=place.out))
    found = evaluating.evaluate(Evaluate(out=place.out))
    assert found.models == ()
    assert found.audit.select("month", "images", "read").rows() == [("2026-10", 1, 1), (None, 1, 1)]
    assert [each.images for each in found.left_out] == [1]
    [grid] = summaries.of(found).grids
    assert grid.rows[1][1:3] == ("audit, 2026-10", "1 of 1")

    told = "\n".join(explaining.explain(Explain(out=place.out, asked=ids[3])).tree.lines())
    assert f"image {ids[3]}: audit" in told
    assert "made by vinbigdata@1,size=1024,ratio=stretched; an audit image" in told
    assert "withheld: an audit image" in told
    place.build(add=place.retrain)
    told = "\n".join(explaining.explain(Explain(out=place.out, asked=ids[2])).tree.lines())
    assert f"image {ids[2]}: training" in told
    assert "came in 2026-10-05" in told


def test_simulated_radiologists_read_only_incoming_images_whose_truth_is_told(place):
    ids = place.come_in(**{"3": {"audit": True}})
    place.read(ids, reviewer="S-R9", simulated=True)
    shutil.rmtree(place.out / "reviews")
    silent = reviewing.simulate(Reading(out=place.out, simulated=True))
    assert (silent.written, silent.looked_at) == (0, 0)
    assert silent.notes == (
        "6 incoming images have feedback and no truth that anybody knows: simulated radiologists were not given them",
    )
    told = pl.DataFrame(
        [(one, "truth", 3, 0.4, 0.3, 0.6, 0.7) for one in ids[1:]],
        schema=["image_id", "rad_id", "class_id", "x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm"],
        orient="row",
    ).cast({"class_id": CLASS_ID})
    said = reviewing.simulate(Reading(out=place.out, simulated=True), readings=told)
    assert said.looked_at == 5
    assert said.notes[0].startswith("1 incoming image has feedback")
    waits = reviewing.order(Reading(out=place.out, queue=True)).queue
    assert ids[0] in waits["image_id"]


def test_audit_image_waits_for_a_reader_like_one_that_the_lot_has_drawn_and_nobody_is_told(place):
    ids = place.come_in(**{"3": {"audit": True}})
    place.read(ids)
    shutil.rmtree(place.out / "reviews")
    waits = reviewing.order(Reading(out=place.out, queue=True)).queue
    assert waits.filter(image_id=ids[3]).select("kind", "state", "held_out").row(0) == ("lot", "unread", None)


def test_dry_run_on_a_machine_without_the_pictures_keeps_nothing(place):
    ids = place.come_in()
    place.read(ids[:2])
    retraining.retrain(Retrain(out=place.out))
    place.build(add=place.retrain)
    place.publish_what_came_in()
    other = place.other_machine()
    seen = other.build(dry_run=True)
    assert seen.transformed.images["training"] == 14
    assert not (other.out / "cache").exists()
    assert not other.organized.exists()


def test_pictures_of_another_recipe_than_the_dataset_join_with_a_note(place):
    ids = place.come_in(**{"0": {"recipe": "minmax@1,size=original"}})
    place.read(ids[:2])
    retraining.retrain(Retrain(out=place.out))
    [note] = [one for one in place.build(add=place.retrain).transformed.notes if "recipe" in one]
    assert note.startswith("1 of the pictures that came in were made by another recipe than the dataset's: minmax@1")


def test_picture_whose_patient_is_new_in_the_source_goes_to_production_with_what_came_in(place):
    ids = place.come_in(**{"3": {"audit": True}})
    films = place.root / "films"
    copy = place.organized / "incoming" / "images" / f"{ids[3]}.png"
    row = made_up.rows(films)[0]
    made_up.write_rows(films, [*made_up.rows(films), {**row, "image_id": "copy"}])
    shutil.copy(copy, films / "train" / "copy.png")
    with (films / "train_meta.csv").open("a") as file:
        file.write("copy,3000,3000\n")
    done = place.build().transformed
    assert place.splits()["copy"] == "production"
    assert any("came in from production, too" in note for note in done.notes)


def test_patient_whom_the_source_names_in_clear_is_the_one_who_came_in_under_a_pseudonym(place):
    films, more = place.root / "films", made_up.films(place.root / "more", NEW, seed=5)
    keyed = Pseudonyms.open(place.out)
    ids = place.come_in(**{str(number): {"patient": keyed.patient(f"00{number}")} for number in range(NEW)})
    place.read(ids)
    retraining.retrain(Retrain(out=place.out))
    place.build(add=place.retrain)
    later = sorted({row["image_id"] for row in made_up.rows(more)})
    named = [row | {"patient_id": str(later.index(row["image_id"]))} for row in made_up.rows(more)]
    made_up.write_rows(films, [*(row | {"patient_id": ""} for row in made_up.rows(films)), *named])
    shutil.copytree(more / "train", films / "train", dirs_exist_ok=True)
    add_sizes(films, more)
    place.build()
    assert {place.splits()[one] for one in [*ids, *later]} == {"training"}


def test_audit_image_that_the_source_has_too_stays_of_the_audit(place):
    ids = place.come_in(**{"3": {"audit": True}})
    films, came = place.root / "films", place.root / "came-1"
    made_up.write_rows(films, made_up.rows(films) + [row for row in made_up.rows(came) if row["image_id"] == ids[3]])
    shutil.copy(came / "train" / f"{ids[3]}.png", films / "train")
    with (films / "train_meta.csv").open("a") as file:
        told = (came / "train_meta.csv").read_text().splitlines(keepends=True)
        file.writelines(line for line in told if line.startswith(ids[3]))
    place.build()
    assert place.splits()[ids[3]] == "production"
    place.read(ids[2:4])
    assert retraining.retrain(Retrain(out=place.out)).report["withheld"] == {"audit": 1}
    place.build(add=place.retrain)
    assert (place.splits()[ids[2]], place.splits()[ids[3]]) == ("training", "production")
    moves = json.loads((place.organized / tree.PROOF).read_bytes())["moves"]
    assert moves == [{"image_id": ids[2], "from": "incoming", "to": "training"}]
    assert evaluating.evaluate(Evaluate(out=place.out)).audit["read"].to_list() == [1, 1]


def test_feedback_on_what_came_in_elsewhere_is_counted_with_the_way_to_bring_it(place):
    ids = place.come_in()
    place.read(ids[:2])
    shutil.rmtree(place.organized / "incoming")
    done = retraining.retrain(Retrain(out=place.out))
    assert done.report["refused"] == {"image-unknown": 2}
    [note] = [one for one in done.notes if "came in elsewhere" in one]
    assert note.startswith("2 feedback files on incoming images")
    assert "radloop pull --splits training,validation,test,staging,canary,production,incoming" in note

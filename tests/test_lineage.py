"""Ways to bring a held-out image into training over three versions: each is withheld, or refused with a sentence."""

import csv
import hashlib
import io
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps

import made_up
from radloop import manifest, sealed, tree
from radloop.catalog import heldout, version
from radloop.dataset import plan
from radloop.errors import DatasetError, RadloopError, SplitError, StoreError, UsageError
from radloop.feedback import guard
from radloop.options import Etl, Pull, Transform
from radloop.pipelines import checking, offline
from radloop.split_sizes import SplitSizes
from radloop.tables import FEEDBACK, HELD_OUT

COUNT, MORE = 40, 20
SIZES = SplitSizes.parse("training=20,validation=4,test=4,staging=4,canary=4,production=4")


class Place:
    """A source, OUT and store in one folder, and the versions built there."""

    def __init__(self, root: Path) -> None:
        self.root, self.films, self.out, self.store = root, root / "films", root / "out", root / "store"

    def build(self, **options) -> offline.Loaded:
        told = {"source": str(self.films), "out": self.out, "store": str(self.store), "sizes": SIZES, "jobs": 1}
        told["allow_shrink"] = True
        return offline.run(Etl(**told | options))

    def splits(self, out: Path | None = None) -> dict[str, str]:
        rows = version.read(out or self.out).images
        return dict(rows.select("image_id", "split").iter_rows())

    def rows(self) -> list[dict[str, str]]:
        return made_up.rows(self.films)

    def picture(self, image_id: str) -> Path:
        return next((self.films / "train").glob(f"{image_id}.*"))

    def remove(self, *image_ids: str) -> dict[str, tuple[bytes, list[dict[str, str]]]]:
        """Take images from the source; what `bring` brings back."""
        gone = {one: (self.picture(one).read_bytes(), []) for one in image_ids}
        kept = []
        for row in self.rows():
            (gone[row["image_id"]][1] if row["image_id"] in gone else kept).append(row)
        made_up.write_rows(self.films, kept)
        for one in image_ids:
            self.picture(one).unlink()
        return gone

    def bring(
        self, gone: dict, name: Callable[[str], str] = str, change: Callable[[bytes], bytes] = bytes
    ) -> list[str]:
        """Put images into the source, under other names and in other files."""
        new = [{**row, "image_id": name(one)} for one, (_, rows) in gone.items() for row in rows]
        made_up.write_rows(self.films, self.rows() + new)
        for one, (data, _) in gone.items():
            changed = change(data)
            suffix = ".jpg" if changed.startswith(b"\xff\xd8") else ".png"
            (self.films / "train" / f"{name(one)}{suffix}").write_bytes(changed)
        with (self.films / "train_meta.csv").open() as file:
            sizes = {row["image_id"]: row for row in csv.DictReader(file)}
        for one in gone:
            sizes[name(one)] = {**sizes[one], "image_id": name(one)}
        with (self.films / "train_meta.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["image_id", "dim0", "dim1"])
            writer.writeheader()
            writer.writerows(sizes.values())
        return [name(one) for one in gone]

    def training_pixels(self) -> set[bytes]:
        folder = self.out / "organized" / "training" / "images"
        return {np.asarray(Image.open(path).convert("L")).tobytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """The first version in OUT and store, and the films that later ones add."""
    place = Place(tmp_path_factory.mktemp("first"))
    films = made_up.films(place.root / "all", COUNT + MORE)
    shutil.copytree(films, place.films, copy_function=os.link)
    for name in ("train.csv", "train_meta.csv"):  # links of their own
        (place.films / name).unlink()
        shutil.copy(films / name, place.films / name)
    more = sorted({row["image_id"] for row in place.rows()})[COUNT:]
    place.later = place.remove(*more)
    place.build()
    return place


@pytest.fixture
def place(every, tmp_path):
    root = tmp_path / "place"
    shutil.copytree(every.root, root, copy_function=os.link, ignore=shutil.ignore_patterns("all"))
    place = Place(root)
    place.later = every.later
    for name in ("train.csv", "train_meta.csv"):
        data = (place.films / name).read_bytes()
        (place.films / name).unlink()
        (place.films / name).write_bytes(data)
    place.first = place.splits()
    place.kept = {one: place.picture(one).read_bytes() for one in place.first}
    place.held = sorted(one for one, split in place.first.items() if split in HELD_OUT)
    place.pixels = {np.asarray(Image.open(place.picture(one)).convert("L")).tobytes(): one for one in place.held}
    return place


def reencoded(data: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def jpeg(data: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("L").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def brighter(data: bytes) -> bytes:
    gray = np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(float) * 0.9 + 12
    buffer = io.BytesIO()
    Image.fromarray(gray.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def seen(view: Callable[[Image.Image], Image.Image]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        buffer = io.BytesIO()
        view(Image.open(io.BytesIO(data)).convert("L")).save(buffer, "PNG")
        return buffer.getvalue()

    return changed


def copy_name(one: str) -> str:
    return f"copy{one[:20]}"


def retrain_csv(place: Place, image_ids: list[str], split: str, source: str = "prediction") -> Path:
    path = place.root / "retrain.csv"
    head = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,width,height,split,source\n"
    rad_id = "M-net" if source == "prediction" else "ann"
    rows = [f"{one},Cardiomegaly,3,{rad_id},300,500,700,800,1024,1024,{split},{source}\n" for one in image_ids]
    path.write_text(head + "".join(rows))
    return path


# Each brings held-out images back and returns the names under which they must not train.


def one_image_fewer(place):
    place.remove(next(one for one, split in place.first.items() if split == "training"))
    place.build()
    return place.held


def more_images(place):
    place.bring(place.later)
    place.build()
    return place.held


def another_seed(place):
    place.build(seed=5)
    place.remove(next(one for one, split in place.first.items() if split == "training"))
    place.build(seed=6)
    return place.held


def other_sizes(place):
    place.bring(place.later)
    place.build(sizes=SplitSizes.parse("training=1,validation=0,test=0,staging=0,canary=0,production=0"))
    return place.held


def an_unedited_add(place):
    production = [one for one, split in place.first.items() if split == "production"]
    done = place.build(add=retrain_csv(place, production[:2], "production"))
    assert done.transformed.difference.moved["image_id"].to_list() == sorted(production[:2])
    return place.held


def predictions_on_held_out_images(place):
    done = place.build(add=retrain_csv(place, place.held, "test"))
    assert dict(done.transformed.refused.select("code", "rows").iter_rows()) == {"image-held-out": len(place.held)}
    return place.held


def reviews_of_held_out_images(place):
    done = place.build(add=retrain_csv(place, place.held, "test", source="review"))
    assert dict(done.transformed.refused.select("code", "rows").iter_rows()) == {"image-held-out": len(place.held)}
    return place.held


def reviews_that_hide_their_split(place):
    done = place.build(add=retrain_csv(place, place.held, "production", source="review"))
    assert done.transformed.rows_refused == len(place.held)
    return place.held


def reviews_in_a_fresh_lineage(place):
    done = place.build(fresh=True, seed=1, add=retrain_csv(place, place.held, "test", source="review"))
    assert dict(done.transformed.refused.select("code", "rows").iter_rows()) == {"image-held-out": len(place.held)}
    return []  # what the new lineage holds out is its own


def new_ids_beside_the_old(place):
    gone = place.remove(*place.held[:8])
    place.bring(gone)
    copies = place.bring(gone, copy_name)
    place.build()
    return [*place.held, *copies]


def new_ids_instead_of_the_old(place):
    copies = place.bring(place.remove(*place.held[:8]), copy_name)
    done = place.build()
    assert "8 pictures were held out before, under another name" in " ".join(done.transformed.notes)
    return [*place.held, *copies]


def new_ids_and_other_files(place):
    copies = place.bring(place.remove(*place.held[:8]), copy_name, reencoded)
    place.build()
    return [*place.held, *copies]


def new_ids_and_other_pixels(place):
    copies = place.bring(place.remove(*place.held[:4]), copy_name, jpeg)
    copies += place.bring(place.remove(*place.held[4:8]), copy_name, brighter)
    place.build()
    return [*place.held, *copies]


def new_ids_and_other_views(place):
    views = (
        ImageOps.mirror,
        ImageOps.invert,
        lambda gray: ImageOps.expand(gray, 3),
        lambda gray: gray.crop((3, 3, 61, 61)),
    )
    copies = []
    for number, view in enumerate(views):
        copies += place.bring(place.remove(*place.held[4 * number : 4 * number + 4]), copy_name, seen(view))
    place.build()
    assert len(copies) == 16
    return [*place.held, *copies]


def absent_and_back(place):
    gone = place.remove(*place.held[:10])
    place.build()
    assert not place.splits().keys() & gone.keys()
    place.bring(gone)
    place.build()
    now = place.splits()
    assert {one: now[one] for one in gone} == {one: place.first[one] for one in gone}
    return place.held


def absent_and_back_under_new_names(place):
    gone = place.remove(*place.held[:10])
    place.build()
    copies = place.bring(gone, copy_name, jpeg)
    place.build()
    now = place.splits()
    assert [now[copy_name(one)] for one in gone] == [place.first[one] for one in gone]
    return [*place.held, *copies]


def absent_twice_and_back_in_another_out(place):
    gone = place.remove(*place.held[:10])
    place.build()
    place.build(out=place.root / "other")
    place.bring(gone)
    place.out = place.root / "third"
    place.build()
    return place.held


def the_store_alone(place):
    shutil.rmtree(place.out)
    place.bring(place.later)
    place.build()
    return place.held


def out_alone(place):
    shutil.rmtree(place.store)
    place.bring(place.later)
    place.build()
    return place.held


def a_part_that_was_pulled(place):
    shutil.rmtree(place.out)
    offline.pull(Pull(out=place.out, store=str(place.store), splits=("training", "test")))
    shutil.rmtree(place.store)
    gone = place.remove(*place.held[:4])
    place.build()
    place.bring(gone)
    place.bring(place.later)
    place.build()
    return place.held


def an_out_that_is_behind_its_store(place):
    behind = place.root / "behind"
    shutil.copytree(place.out, behind, copy_function=os.link)
    place.bring(place.later)
    place.build()
    now = place.splits()
    place.held = [one for one, split in now.items() if split in HELD_OUT]
    place.remove(next(one for one, split in now.items() if split == "training"))
    place.out = behind
    place.build(seed=3)
    return place.held


def ids_in_another_case(place):
    copies = place.bring(place.remove(*place.held[:8]), str.upper)
    place.build()
    return [*place.held, *copies]


def ids_that_look_alike(place):
    cyrillic = str.maketrans("aceo", "асео")
    copies = place.bring(place.remove(*place.held[:4]), lambda one: one.translate(cyrillic) + "é")
    copies += place.bring(
        place.remove(*place.held[4:8]), lambda one: unicodedata.normalize("NFD", one.translate(cyrillic) + "é")
    )
    place.build()
    return [*place.held, *copies]


def pictures_exchanged_with_new_ones(place):
    one, new = place.held[0], next(iter(place.later))
    gone = place.remove(one)
    place.bring({one: (place.later[new][0], gone[one][1])})
    copies = place.bring(gone, copy_name)
    place.build()
    place.remove(one)
    place.build()
    return [*place.held, *copies]


def patients_that_grow(place):
    """The first version knows patients; the third has a new image of a held-out patient, whose image it has not."""
    rows = [{**row, "patient_id": f"P-{row['image_id'][:8]}"} for row in place.rows()]
    made_up.write_rows(place.films, rows)
    place.build()
    new = [*place.later][:8]
    copies = place.bring({one: place.later[one] for one in new})
    of = dict(zip(copies, place.held, strict=False))
    named = [
        {**row, "patient_id": row["patient_id"] or f"P-{of[row['image_id']][:8]}"} for row in made_up.rows(place.films)
    ]
    made_up.write_rows(place.films, named)
    place.remove(*place.held[:8])
    place.build()
    now = place.splits()
    assert {one: now[one] for one in copies} == {one: place.first[of[one]] for one in copies}
    return [*place.held, *copies]


def a_rollback(place):
    """The second version holds out what is new in it; the third is the first again, the fourth has that back."""
    place.bring(place.later)
    place.build()
    now = place.splits()
    new = [one for one in place.later if now[one] in HELD_OUT]
    assert new
    gone = place.remove(*place.later)
    place.build()
    place.bring(gone)
    shutil.rmtree(place.out)
    place.build(seed=7)
    assert {one: place.splits()[one] for one in new} == {one: now[one] for one in new}
    return [*place.held, *new]


def labels_of_another_kind(place):
    place.remove(next(one for one, split in place.first.items() if split == "training"))
    place.build(labels="consensus", min_readers=2, no_finding="class")
    place.build(keep_classes=("Cardiomegaly", "Aortic enlargement"))
    return place.held


WITHHELD = [
    one_image_fewer,
    more_images,
    another_seed,
    other_sizes,
    an_unedited_add,
    predictions_on_held_out_images,
    reviews_of_held_out_images,
    reviews_that_hide_their_split,
    reviews_in_a_fresh_lineage,
    new_ids_beside_the_old,
    new_ids_instead_of_the_old,
    new_ids_and_other_files,
    new_ids_and_other_pixels,
    new_ids_and_other_views,
    absent_and_back,
    absent_and_back_under_new_names,
    absent_twice_and_back_in_another_out,
    the_store_alone,
    out_alone,
    a_part_that_was_pulled,
    an_out_that_is_behind_its_store,
    ids_in_another_case,
    ids_that_look_alike,
    pictures_exchanged_with_new_ones,
    patients_that_grow,
    a_rollback,
    labels_of_another_kind,
]


@pytest.mark.parametrize("way", WITHHELD, ids=lambda way: way.__name__)
def test_what_was_held_out_stays_out_of_training(place, way):
    names = way(place)
    now = place.splits()
    assert [one for one in names if now.get(one) in ("training", "production")] == []
    if names:
        assert place.training_pixels() & place.pixels.keys() == set()
    assert checking.check(place.store).sound


# Each is refused, and nothing is written.


def resealed(root: Path, key: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    table = sealed.decode((root / key).read_bytes())
    (root / key).unlink()
    (root / key).write_bytes(sealed.encode(change(table)))


def another_source(place):
    shutil.rmtree(place.films)
    made_up.films(place.films, COUNT, seed=9)
    place.build()


def a_training_image_with_a_held_out_picture(place):
    trained = next(one for one, split in place.first.items() if split == "training")
    picture = place.picture(trained)
    picture.unlink()
    picture.write_bytes(jpeg(place.picture(place.held[0]).read_bytes()))
    place.remove(place.held[0])
    place.build()


def a_review_of_a_copy(place):
    copies = place.bring(place.remove(*place.held[:2]), copy_name)
    place.build(add=retrain_csv(place, copies, "production", source="review"))


def edited_annotations(place):
    for root in (place.out, place.store):
        resealed(root / "organized", tree.ANNOTATIONS, lambda rows: rows.with_columns(split=pl.lit("production")))
    place.build()


def edited_annotations_given_as_previous(place):
    resealed(place.out / "organized", tree.ANNOTATIONS, lambda rows: rows.with_columns(split=pl.lit("production")))
    place.build(previous=str(place.out))


def an_emptied_memory(place):
    resealed(place.store / "organized", tree.HELDOUT, lambda rows: rows.clear())
    place.build()


def a_memory_taken_away(place):
    (place.store / "organized" / tree.HELDOUT).unlink()
    place.build()


def an_edited_summary(place):
    path = place.store / "organized" / tree.SUMMARY
    told = json.loads(path.read_bytes())
    path.unlink()
    path.write_bytes(tree.json_file({name: value for name, value in told.items() if name != "lineage"}))
    place.build()


def edited_proof(place):
    path = place.store / "organized" / tree.PROOF
    path.unlink()
    path.write_bytes(b"{}\n")
    place.build()


def a_memory_that_the_manifest_forgets(place):
    path = place.store / "organized" / manifest.NAME
    listed = manifest.decode(path.read_bytes(), name="m").filter(pl.col("key") != tree.HELDOUT)
    path.unlink()
    path.write_bytes(manifest.encode(listed))
    place.build()


def a_manifest_taken_away(place):
    shutil.rmtree(place.store)
    (place.out / "organized" / manifest.NAME).unlink()
    place.build()


def previous_and_fresh(place):
    place.build(previous=str(place.store), fresh=True)


def a_publish_of_another_machine_that_was_cut_off(place):
    (place.store / "organized" / "publishing").write_bytes(b"")
    place.bring(place.later)
    shutil.rmtree(place.out)
    place.build()


def a_store_of_another_version(place):
    other = place.root / "other"
    place.build(fresh=True, seed=3, out=other, store=str(place.root / "elsewhere"))
    place.build(previous=str(other))


def a_load_onto_what_it_does_not_follow(place):
    other = place.root / "other"
    place.build(fresh=True, seed=3, out=other, store=str(place.root / "elsewhere"))
    offline.load(Etl(source="", out=other, store=str(place.store)))


def a_store_that_moved_on(place):
    behind = place.root / "behind"
    shutil.copytree(place.out, behind, copy_function=os.link)
    place.remove(next(one for one, split in place.first.items() if split == "training"))
    place.build()
    offline.transform(Transform(out=behind, store=str(place.root / "none"), sizes=SIZES, jobs=1))
    offline.load(Etl(source="", out=behind, store=str(place.store)))


def a_store_that_does_not_answer(place):
    place.store = "nosuchremote:somewhere"
    place.build()


REFUSED = [
    (another_source, SplitError, "--fresh"),
    (a_training_image_with_a_held_out_picture, SplitError, r"\(training\).*turn out to belong together"),
    (a_review_of_a_copy, SplitError, "held-out images keep their split for ever"),
    (edited_annotations, DatasetError, "radloop check"),
    (edited_annotations_given_as_previous, DatasetError, "annotations.parquet is damaged, or was changed"),
    (an_emptied_memory, DatasetError, "heldout.parquet is damaged, or was changed"),
    (a_memory_taken_away, DatasetError, "heldout.parquet"),
    (an_edited_summary, DatasetError, "summary.json is damaged, or was changed"),
    (edited_proof, DatasetError, "splits.json is damaged, or was changed"),
    (a_memory_that_the_manifest_forgets, DatasetError, "the memory of what was ever held out"),
    (a_manifest_taken_away, DatasetError, "lost its manifest.parquet.*--fresh"),
    (previous_and_fresh, UsageError, "--previous names the version to continue"),
    (a_publish_of_another_machine_that_was_cut_off, StoreError, "publish in progress"),
    (a_store_of_another_version, StoreError, "--fresh"),
    (a_load_onto_what_it_does_not_follow, StoreError, "--fresh"),
    (a_store_that_moved_on, StoreError, "follows"),
    (a_store_that_does_not_answer, StoreError, "nosuchremote"),
]


@pytest.mark.parametrize(("way", "error", "sentence"), [pytest.param(*case, id=case[0].__name__) for case in REFUSED])
def test_what_would_train_a_held_out_image_is_refused(place, way, error, sentence):
    held = manifest.version(manifest.read(place.store / "organized"))
    with pytest.raises(error, match=sentence) as refusal:
        way(place)
    assert isinstance(refusal.value, RadloopError)
    changing = (a_memory_that_the_manifest_forgets, a_store_that_moved_on, a_manifest_taken_away)
    if isinstance(place.store, Path) and way not in changing:
        assert manifest.version(manifest.read(place.store / "organized")) == held


def content(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and "versions" not in path.relative_to(root).parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="as before"),
        pytest.param({"fresh": True}, id="fresh"),
        pytest.param({"fresh": True, "seed": 5}, id="fresh, another seed"),
        pytest.param({"labels": "consensus", "min_readers": 2}, id="consensus"),
    ],
)
def test_the_same_run_twice_gives_the_same_bytes(place, options):
    place.build(**options)
    once = content(place.out / "organized")
    again = place.build(**options)
    assert content(place.out / "organized") == once == content(place.store / "organized")
    assert not again.transformed.written
    shutil.rmtree(place.out)
    place.build(**options)
    assert content(place.out / "organized") == once


def test_an_addition_twice_gives_the_same_bytes_and_tells_its_moves_still(place):
    production = [one for one, split in place.first.items() if split == "production"]
    table = retrain_csv(place, production[:2], "production", source="review")
    place.build(add=table)
    once = content(place.out / "organized")
    place.build(add=table)
    assert content(place.out / "organized") == once
    moves = json.loads(once[tree.PROOF])["moves"]
    assert [move["image_id"] for move in moves] == sorted(production[:2])


def test_moves_of_the_versions_before_are_told_still_also_where_a_run_is_repeated(place):
    production = sorted(one for one, split in place.first.items() if split == "production")
    place.build(add=retrain_csv(place, production[:1], "production", source="review"))
    table = retrain_csv(place, production[1:3], "production", source="review")
    place.build(add=table)
    once = content(place.out / "organized")
    place.build(add=table)
    assert content(place.out / "organized") == once
    told = json.loads(once[tree.PROOF])
    assert [move["image_id"] for move in told["moves"]] == production[1:3]
    assert told["moved_before"] == [{"image_id": production[0], "from": "production", "to": "training"}]


def test_a_version_tells_where_it_comes_from(place):
    first = json.loads((place.out / "organized" / tree.SUMMARY).read_bytes())
    assert (first["previous"], first["replaces"]) == (None, None)
    place.remove(place.held[0])
    place.build()
    second = json.loads((place.out / "organized" / tree.SUMMARY).read_bytes())
    assert (second["lineage"], second["previous"]) == (first["lineage"], first["version"])
    place.build(fresh=True)
    third = json.loads((place.out / "organized" / tree.SUMMARY).read_bytes())
    assert third["lineage"] != first["lineage"]
    assert (third["previous"], third["replaces"]) == (None, second["version"])
    remembered = version.read(place.out).memory
    assert set(remembered["image_id"]) == {one for one, split in place.splits().items() if split in HELD_OUT}


def relisted(root: Path, key: str, data: bytes) -> None:
    """Put another file in the place of a document, and into the manifest."""
    listed = manifest.read(root).filter(pl.col("key") != key)
    for name, one in ((key, data), (manifest.NAME, manifest.encode(pl.concat([listed, plan.listed({key: data})])))):
        (root / name).unlink()
        (root / name).write_bytes(one)


def test_check_finds_what_the_memory_forgets_and_what_trains_against_it(place):
    root = place.out / "organized"
    memory = version.read(place.out).memory
    trained = next(one for one, split in place.first.items() if split == "training")
    relisted(root, tree.HELDOUT, heldout.encode(memory.with_columns(image_id=pl.lit(trained))))
    found = checking.check(place.out).violations
    assert set(found["rule"]) == {"leak-memory"}
    assert f"image {trained} is in training; as {trained} it was held out in test" in found["detail"].to_list()
    assert f"image {place.held[0]} is held out and not remembered" in found["detail"].to_list()


def test_feedback_on_what_is_only_remembered_is_withheld(place):
    gone = place.held[:3]
    place.remove(*gone)
    place.build()
    guarded = version.read(place.out).guarded
    assert guarded.filter(pl.col("image_id").is_in(gone)).select("image_id", "split").rows() == [
        (one, place.first[one]) for one in gone
    ]
    told = {"image_id": ["x", gone[0]], "image_md5": [hashlib.md5(place.kept[gone[1]]).hexdigest(), None]}
    judged = guard.judge(
        pl.DataFrame(told, schema_overrides=FEEDBACK).match_to_schema(FEEDBACK, missing_columns="insert"), guarded
    )
    assert judged["held_out"].to_list() == [place.first[gone[1]], place.first[gone[0]]]


def test_memory_grows_only_and_tells_no_patient(place):
    made_up.write_rows(place.films, [{**row, "patient_id": f"P-{row['image_id'][:8]}"} for row in place.rows()])
    place.build()
    place.remove(*place.held[:5])
    place.bring(place.later)
    place.build()
    memory = version.read(place.out).memory
    now = {one for one, split in place.splits().items() if split in HELD_OUT}
    assert set(memory["image_id"]) == {*place.held, *now}
    assert memory["thumbnail"].bin.size().to_list() == [1024] * memory.height
    assert b"P-" + place.held[0][:8].encode() not in (place.out / "organized" / tree.HELDOUT).read_bytes()
    hashes = memory.filter(pl.col("image_id").is_in(place.held))["patients"].str.split(" ")
    assert hashes.list.len().to_list() == [2] * len(place.held)  # as the id is written, and as all ways to write it
    assert set(hashes.explode().str.len_bytes()) == {16}


def test_what_a_version_of_before_the_memory_held_out_stays_held_out(place):
    """Its annotations give the start: MD5 and hash, no thumbnail."""
    for root in (place.out / "organized", place.store / "organized"):
        told = json.loads((root / tree.SUMMARY).read_bytes())
        data = {
            tree.SUMMARY: tree.json_file({name: told[name] for name in told if name not in ("lineage", "previous")}),
            tree.ANNOTATIONS: sealed.encode(
                sealed.decode((root / tree.ANNOTATIONS).read_bytes()).drop("source", "final")
            ),
        }
        listed = manifest.read(root).filter(~pl.col("key").is_in([*data, tree.HELDOUT]))
        (root / tree.HELDOUT).unlink()
        for key, one in data.items():
            (root / key).unlink()
            (root / key).write_bytes(one)
        (root / manifest.NAME).unlink()
        (root / manifest.NAME).write_bytes(manifest.encode(pl.concat([listed, plan.listed(data)])))
    copies = place.bring(place.remove(*place.held[:4]), copy_name)
    copies += place.bring(place.remove(*place.held[4:8]), copy_name, jpeg)
    place.build()
    now = place.splits()
    assert [one for one in copies if now[one] not in HELD_OUT] == []
    assert version.read(place.out).memory.height == len(place.held) + len(copies)


def test_a_publish_that_was_cut_off_is_continued_from_what_was_published(place):
    """As if never cut off: the version before is the one that OUT's version followed."""
    place.bring(place.later)
    whole = Place(place.root / "whole")
    shutil.copytree(place.films, whole.films, copy_function=os.link)
    for part in ("out", "store"):
        shutil.copytree(place.root / part, whole.root / part, copy_function=os.link)
    whole.build()
    offline.extract(Etl(source=str(place.films), out=place.out))
    offline.transform(Transform(out=place.out, store=str(place.store), sizes=SIZES, jobs=1))
    (place.store / "organized" / "publishing").write_bytes(b"")
    (place.store / "organized" / tree.SUMMARY).unlink()  # half of either
    place.build()
    assert content(place.store / "organized") == content(whole.store / "organized")


# what people said


def told(place: Place, rows: list[tuple[str, str, str, bool]]) -> Path:
    """A retrain.csv of (image, reader, class, final): one box each, far from those of others."""
    path = place.root / "retrain.csv"
    head = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,width,height,split,source,final\n"
    numbers = {"Cardiomegaly": 3, "Pneumothorax": 12}
    lines = [
        f"{one},{name},{numbers[name]},{reader},20,30,60,70,1024,1024,training,review,{str(final).lower()}\n"
        for one, reader, name, final in rows
    ]
    path.write_text(head + "".join(lines))
    return path


def label(place: Place, image_id: str) -> str:
    (path,) = (place.out / "organized" / "training" / "labels").glob(f"{image_id}*.txt")
    return path.read_text()


def test_a_box_that_only_a_final_review_has_is_kept_among_three_readers_and_stays(place):
    one, other = [name for name, split in place.first.items() if split == "training"][:2]
    consensus = {"labels": "consensus", "min_readers": 2}
    place.build(**consensus)
    before = label(place, other)
    table = told(place, [(one, "ann", "Pneumothorax", True), (other, "ann", "Pneumothorax", False)])
    place.build(add=table, **consensus)
    assert label(place, one) == "12 0.039062 0.048828 0.039062 0.039062\n"  # a final read also removes
    assert label(place, other) == before  # one of four readers, where two have to agree
    once = content(place.out / "organized")

    table.unlink()
    place.build(**consensus)  # a later version, without the table
    assert content(place.out / "organized") == once
    place.remove(next(name for name, split in place.first.items() if split == "production"))
    place.build(**consensus)
    assert label(place, one) == "12 0.039062 0.048828 0.039062 0.039062\n"
    readers = version.read(place.out).annotations.filter(image_id=one).select("rad_id", "source", "used").unique()
    assert sorted(readers.filter("used")["source"]) == ["reader"] * 3 + ["review"]


def test_closing_the_loop_turns_no_finding_into_background(place):
    """Predictions on images that three readers have read: their consensus stays the label."""
    production = [one for one, split in place.first.items() if split == "production"]
    consensus = {"labels": "consensus", "min_readers": 2}
    place.build(**consensus)
    labels = place.out / "organized" / "production" / "labels"
    before = {path.stem: path.read_text() for path in labels.iterdir()}
    assert any(before.values())
    place.build(add=retrain_csv(place, production, "production"), **consensus)
    assert {one: label(place, one) for one in production} == before


def test_a_review_that_names_a_class_left_out_later_is_that_of_the_rest(place):
    one = next(name for name, split in place.first.items() if split == "training")
    place.build(add=told(place, [(one, "ann", "Pneumothorax", False), (one, "bob", "Cardiomegaly", False)]))
    place.build(drop_classes=("Pneumothorax",))
    rows = version.read(place.out).annotations.filter(image_id=one, source="review")
    assert rows.select("rad_id", "class_name").rows() == [("ann", "No finding"), ("bob", "Cardiomegaly")]


def test_a_review_of_an_image_that_is_gone_is_counted(place):
    one = next(name for name, split in place.first.items() if split == "training")
    place.build(add=told(place, [(one, "ann", "Cardiomegaly", False)]))
    place.remove(one)
    done = place.build()
    assert dict(done.transformed.refused.select("code", "rows").iter_rows()) == {"image-unknown": 1}
    assert done.transformed.rows_in == done.transformed.rows_out + done.transformed.rows_refused


def test_a_blind_study_keeps_the_readers_aside_and_without_it_they_are_back(place):
    one = next(name for name, split in place.first.items() if split == "production")
    place.build(add=retrain_csv(place, [one], "production"), blind_production=True)
    labels = place.out / "organized" / "training" / "labels"
    assert [path.name for path in labels.glob(f"{one}*")] == [f"{one}_M-net.txt"]
    place.build(blind_production=True)
    assert [path.name for path in labels.glob(f"{one}*")] == [f"{one}_M-net.txt"]
    place.build()
    assert len([*labels.glob(f"{one}_R*")]) == 3
    assert not [*labels.glob(f"{one}_M*")]

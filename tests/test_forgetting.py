"""Forgetting an image or a person: nothing of them is left, all else keeps its bytes, and they do not come in again."""

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_up
import traces
from radloop import manifest, pixels, summaries, tree
from radloop.catalog import heldout, tombstones, version
from radloop.dataset import plan
from radloop.dataset.forgetting import Gone, of_dataset, renamed_groups
from radloop.errors import UsageError
from radloop.options import Etl, Extract, Forget, Load, Transform
from radloop.pipelines import checking, forgetting, offline
from radloop.split_sizes import SplitSizes
from radloop.tables import HELD_OUT

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SALTED = SimpleNamespace(token_hex=lambda _: "5a17")  # in the place of `secrets`: every salt is the same
SIZES = SplitSizes.parse("training=12,validation=4,test=4,staging=4,canary=4,production=12")
DOCUMENTS = {
    *(tree.ANNOTATIONS, tree.BOXES, tree.SUMMARY, tree.PROOF, tree.HELDOUT, tree.REJECTED, tree.TOMBSTONES),
    manifest.NAME,
}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """40 films; every two are of one patient."""
    folder = made_up.films(tmp_path_factory.mktemp("films"))
    rows = made_up.rows(folder)
    ids = sorted({row["image_id"] for row in rows})
    made_up.write_rows(folder, [row | {"patient_id": f"P-{ids.index(row['image_id']) // 2:04}"} for row in rows])
    return folder


@pytest.fixture(scope="module")
def built(films, tmp_path_factory):
    """A dataset in a folder and its store."""
    out = tmp_path_factory.mktemp("built") / "data"
    offline.etl(Etl(out=out, source=str(films), sizes=SIZES, jobs=1))
    return out


@pytest.fixture
def out(built, tmp_path, monkeypatch):
    """A copy of it, in which every salt is the same."""
    monkeypatch.setattr(forgetting, "secrets", SALTED)
    return Path(shutil.copytree(built, tmp_path / "data"))


def forget(out, asked, **told):
    return forgetting.forget(Forget(out=out, asked=asked, **told), now=NOW)


def image(out, split, place=0):
    return version.read(out).images.filter(split=split)["image_id"].sort()[place]


def marks(out, *image_ids):
    """What may lead to the images: of pictures that others have, too, nothing is known by a hash."""
    known = version.read(out)
    ours = known.images.filter(pl.col("image_id").is_in(list(image_ids)))
    keys = known.files.filter(pl.col("kind") == "image", pl.col("image_id").is_in(list(image_ids)))["key"]
    files = [(known.root / key).read_bytes() for key in keys]
    memory = known.memory.filter(pl.col("image_id").is_in(list(image_ids)))
    hashes = set(ours["phash"]) - set(known.images.join(ours, on="image_id", how="anti")["phash"])
    prints = {pixels.fingerprint(pixels.decode(data)) for data in files}
    return traces.Marks(
        frozenset({*image_ids, *ours["md5"], *hashes, *prints}), frozenset(prints), frozenset(memory["thumbnail"])
    )


def contents(root):
    """Without the history of versions, which tells how each of them came about."""
    return {
        str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and manifest.VERSIONS not in path.relative_to(root).parts
    }


def test_manifest_of_before_gets_the_sums_of_what_stays(out):
    """Its rows tell no SHA-256, and the manifest that is written has the number of a format that does."""
    root = out / "organized"
    listed = manifest.read(root)
    (root / manifest.NAME).write_bytes(manifest.encode(listed.with_columns(sha256=pl.lit(None, pl.String))))
    forget(out, image(out, "training"))
    left = manifest.read(root)
    assert left["sha256"].null_count() == 0
    same = left.join(listed, on=["key", "md5"])
    assert same.height > 50
    assert same["sha256"].to_list() == same["sha256_right"].to_list()


@pytest.mark.parametrize("split", ["training", "test", "production"])
def test_nothing_of_an_image_is_left_and_all_else_keeps_its_bytes(out, split):
    one = image(out, split)
    before, known, leading = contents(out / "organized"), version.read(out), marks(out, one)
    assert len(traces.of(out, leading)) > 10
    told = forget(out, one, reason="consent withdrawn")

    assert traces.of(out, leading) == []
    after = contents(out / "organized")
    assert after == contents(out / "store" / "organized")
    keys = set(known.files.filter(image_id=one)["key"])
    assert before.keys() - after.keys() == keys
    assert after.keys() - before.keys() == {tree.TOMBSTONES}
    assert {key for key in before.keys() & after.keys() if before[key] != after[key]} <= DOCUMENTS
    assert (told.images, told.previous, told.version) == (1, known.id, version.read(out).id)
    assert told.splits == {split: 1}
    assert told.removed["files of the dataset"] == told.removed["files in the store"] == len(keys)


def test_what_remains_passes_every_check_and_says_how_many_went(out):
    gone = [image(out, split) for split in ("training", "validation", "production")]
    for one in gone:
        forget(out, one)
    for place in (out, out / "store"):
        assert checking.check(place).violations.rows() == []
    known = version.read(out)
    summary = json.loads(known.content(tree.SUMMARY))
    assert (summary["forgotten"], summary["total_unique_images"]) == (3, 37)
    assert summary["splits"]["validation"] == 3
    assert set(known.memory["image_id"]) == set(known.images.filter(pl.col("split").is_in(HELD_OUT))["image_id"])
    stones = tombstones.decode(known.content(tree.TOMBSTONES), name="it")
    assert tombstones.forgotten(stones, [*gone, *known.images["image_id"]]) == {*gone}


def test_later_transform_leaves_the_image_out_and_changes_nothing(out, films):
    one = image(out, "production")
    forget(out, one)
    before = contents(out / "organized")
    again = offline.transform(Transform(out=out, sizes=SIZES, jobs=1))
    assert contents(out / "organized") == before
    assert not again.written
    assert any("1 image left out: they were forgotten" in note for note in again.notes)
    assert again.rows_refused == 0
    assert offline.load(Load(out=out)).sent_bytes == 0


def test_picture_does_not_come_in_again_under_another_name_nor_in_a_lineage_begun_anew(out, films, tmp_path):
    one = image(out, "training")
    forget(out, one)
    source = Path(shutil.copytree(films, tmp_path / "films"))
    (source / "train" / f"{one}.png").rename(source / "train" / "renamed.png")
    for table in source.glob("*.csv"):
        table.write_text(table.read_text().replace(one, "renamed"))
    offline.extract(Extract(out=out, source=str(source)))
    again = offline.transform(Transform(out=out, sizes=SIZES, jobs=1, fresh=True))
    assert sum(again.images.values()) == 39
    assert "renamed" not in version.read(out).images["image_id"]
    assert any("the same gray values were forgotten" in note for note in again.notes)
    assert json.loads((out / "organized" / tree.SUMMARY).read_bytes())["forgotten"] == 1


def test_patient_of_the_source_is_all_of_its_images(out):
    ids = sorted(version.read(out).images["image_id"])
    leading = marks(out, *ids[6:8])
    told = forget(out, "P-0003", reason="consent withdrawn")
    assert told.images == 2
    assert traces.of(out, leading) == []
    assert set(ids) - set(version.read(out).images["image_id"]) == set(ids[6:8])


def test_patient_is_found_in_the_memory_where_the_source_is_gone(out, tmp_path):
    known = version.read(out)
    place = known.images["image_id"].sort().to_list().index(image(out, "test"))
    shutil.rmtree(out / "raw")
    told = forget(out, f"P-{place // 2:04}")
    assert told.images == 2


def test_order_does_not_matter(out, tmp_path):
    gone = [image(out, "training"), image(out, "test")]
    ends = []
    for place, order in enumerate(permutations(gone)):
        copy = Path(shutil.copytree(out, tmp_path / str(place)))
        for one in order:
            forget(copy, one)
        chain = ("previous",)
        summary = json.loads((copy / "organized" / tree.SUMMARY).read_bytes())
        told = {key: value for key, value in summary.items() if key not in chain}
        files = contents(copy / "organized")
        ends.append((told, {key: md5 for key, md5 in files.items() if key not in (tree.SUMMARY, manifest.NAME)}))
    assert all(end == ends[0] for end in ends)


def test_summary_says_what_went_and_not_whose_it_was(out):
    said = summaries.of(forget(out, "P-0003"))
    facts = dict(said.facts)
    assert said.title == "forgot 2 images"
    assert sum(int(part.split()[0]) for part in facts["fewer images"].split(", ")) == 2
    assert facts["tombstones"] == "2"
    assert "P-0003" not in str(said)


def test_dry_run_counts_and_touches_nothing(out):
    one = image(out, "training")
    before = contents(out)
    told = forget(out, one, dry_run=True)
    assert contents(out) == before
    done = forget(out, one)
    assert told == replace(done, done=False)


def test_where_nothing_is_known_nobody_is(tmp_path):
    with pytest.raises(UsageError, match="unknown image or patient"):
        forget(tmp_path / "data", "P-0003")


@pytest.mark.parametrize(
    ("asked", "told", "sentence"),
    [
        ("Jane Roe", {}, "unknown image or patient"),
        ("P-0003", {"kind": "image"}, "unknown image or patient"),
        ("P-0003", {"reason": "the request of P-0003"}, "it is published"),
    ],
)
def test_what_is_meant_by_nothing_is_refused_without_repeating_it(out, asked, told, sentence):
    before = contents(out)
    with pytest.raises(UsageError, match=sentence) as refused:
        forget(out, asked, **told)
    assert asked not in str(refused.value)
    assert contents(out) == before


def test_id_of_an_image_that_is_a_patients_too_has_to_be_told_apart(out, films, tmp_path):
    source = Path(shutil.copytree(films, tmp_path / "films"))
    one = image(out, "training")
    other = image(out, "test")
    rows = made_up.rows(source)
    made_up.write_rows(source, [row | ({"patient_id": one} if row["image_id"] == other else {}) for row in rows])
    offline.extract(Extract(out=out, source=str(source)))
    with pytest.raises(UsageError, match="--kind image or --kind patient"):
        forget(out, one)
    assert forget(out, one, kind="image").images == 1


def test_group_that_was_named_by_it_has_another_name(out):
    known = version.read(out)
    first = known.images.filter(pl.col("group").is_duplicated()).sort("image_id")["image_id"][0]
    group = known.images.filter(group=first)["image_id"].sort()
    forget(out, first)
    left = version.read(out)
    assert left.images.filter(pl.col("image_id").is_in(group.to_list()))["group"].unique().to_list() == [group[1]]
    assert first not in {*left.memory["group"], *left.images["group"]}


def test_unlisted_leftovers_of_the_picture_go_too(out):
    one = image(out, "training")
    key = version.read(out).files.filter(kind="image", image_id=one)["key"][0]
    for root in (out / "organized", out / "store" / "organized"):
        shutil.copy(root / key, root / "training" / "images" / f"{one}_R99.png")
        shutil.copy(root / key, root / "mine.png")
        (root / "notes.txt").write_text("of the user")
    leading = marks(out, one)
    forget(out, one)
    assert traces.of(out, leading) == []
    assert (out / "organized" / "notes.txt").exists()
    assert (out / "store" / "organized" / "notes.txt").exists()


def test_empty_memory_is_still_a_memory(out):
    for one in version.read(out).images.filter(pl.col("split") == "canary")["image_id"]:
        forget(out, one)
    known = version.read(out)
    assert "canary" not in known.memory["split"]
    assert not (out / "organized" / "data-canary.yaml").exists()
    assert heldout.decode(known.content(tree.HELDOUT), name="it").height == 12
    assert checking.check(out).violations.rows() == []


def test_check_sees_what_was_forgotten_and_is_there_again(out):
    forget(out, image(out, "production"))
    one, path = image(out, "training"), out / "organized" / tree.TOMBSTONES
    more = tombstones.made(pl.DataFrame({"image_id": [one], "pixels_md5": ["x"]}), salt="s", now=NOW, reason="")
    path.write_bytes(tombstones.encode(tombstones.union(tombstones.decode(path.read_bytes(), name="it"), more)))
    found = checking.check(out).violations
    assert {"file-changed", "forgotten-there", "summary-wrong"} == set(found["rule"])
    assert found.filter(rule="forgotten-there")["detail"][0] == f"image {one} was forgotten"


def test_what_a_killed_forget_left_beside_a_unit_goes_too(out):
    one = image(out, "training")
    leading, known = marks(out, one), version.read(out)
    key = known.files.filter(kind="image", image_id=one)["key"][0]
    left = out / ".organized-incoming.forgetting" / "images"
    left.mkdir(parents=True)
    shutil.copy(known.root / key, left)
    assert forget(out, one).removed["cut-off work"] == 1
    assert not left.exists()
    assert traces.of(out, leading) == []


def test_store_alone_is_enough(out, tmp_path):
    one = image(out, "test")
    leading = marks(out, one)
    told = forget(tmp_path / "empty", one, store=str(out / "store"))
    assert traces.of(out / "store", leading) == []
    assert told.version == version.read(out / "store").id
    assert told.removed["remembered as held out"] == 1


@given(data=st.data())
@settings(max_examples=8)
def test_one_by_one_in_any_order_is_the_same_as_at_once(built, data):
    root = built / "organized"
    begin = {key: (root / key).read_bytes() for key in manifest.read(root)["key"]}
    ids = sorted(version.read(built).images["image_id"])
    gone = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=6, unique=True))

    def without(files, *image_ids):
        listed = plan.listed(files)
        split_of = dict(manifest.read(root).select("key", "image_id").iter_rows())
        listed = listed.with_columns(image_id=pl.col("key").replace_strict(split_of, default=None))
        listed = listed.drop("kind", "rad_id", "split").join(
            manifest.read(root).select("key", "kind", "rad_id", "split"), on="key"
        )
        known = version.decode(files[tree.ANNOTATIONS], version.read(built).taxonomy, name="it")
        ours = frozenset(image_ids)
        what = Gone(ours, groups=renamed_groups(ours, known.select("image_id", "group").unique()))
        left = of_dataset(files.get, listed.select(manifest.read(root).columns), what, tombstones.NOTHING)
        return {key: one for key, one in files.items() if key not in left.gone} | dict(left.documents)

    at_once, one_by_one = without(begin, *gone), begin
    for one in gone:
        one_by_one = without(one_by_one, one)
    told = [json.loads(files.pop(tree.SUMMARY)) | {"previous": None} for files in (at_once, one_by_one)]
    assert at_once == one_by_one
    assert told[0] == told[1]

"""Versions of a real dataset: listed, compared, brought back, rolled back to, pruned, and forgotten in."""

import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import made_up
import traces
from memory_store import KilledError, MemoryStore
from radloop import cli, manifest, storage, tree
from radloop.catalog import heldout, history, version
from radloop.dataset import plan
from radloop.errors import StoreError, UsageError
from radloop.options import Etl, Extract, Forget, Load, Prune, Pull, Rollback, Transform, Versions
from radloop.pipelines import checking, forgetting, offline, versioning
from radloop.split_sizes import SplitSizes
from radloop.tables import HELD_OUT, HISTORY
from tiny_unit import contents

START = datetime(2026, 3, 1, tzinfo=UTC)
SIZES = SplitSizes.parse("training=12,validation=3,test=3,staging=2,canary=2,production=8")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """OUT, its store, and three versions as they were: of all images, with two fewer, and these with other labels."""
    folder = made_up.films(tmp_path_factory.mktemp("films"), 30)
    out = tmp_path_factory.mktemp("loaded") / "data"
    offline.extract(Extract(out=out, source=str(folder), jobs=1))
    built = []
    for day, labels in enumerate(("per-reader", "per-reader", "consensus")):
        if day == 1:
            known = version.read(out)
            dropped = [known.images.filter(split=split)["image_id"][0] for split in ("training", "test")]
            made_up.write_rows(folder, [row for row in made_up.rows(folder) if row["image_id"] not in dropped])
        offline.transform(Transform(out=out, sizes=SIZES, jobs=1, labels=labels))
        built.append(shutil.copytree(out / "organized", out.parent / f"version-{day}"))
        offline.load(Load(out=out, allow_shrink=True), now=START + timedelta(days=day))
    return out, built


@pytest.fixture
def out(loaded, tmp_path):
    return Path(shutil.copytree(loaded[0], tmp_path / "data"))


@pytest.fixture
def built(loaded):
    return loaded[1]


def id_of(root):
    return manifest.version(manifest.read(root))


def files(root):
    """Every file but those of the units inside."""
    return {key: data for key, data in contents(root).items() if not manifest.is_inner(key)}


def trained_on(root):
    """What makes a version: images, labels and yaml."""
    listed = manifest.read(root).filter(pl.col("kind").is_in(manifest.VERSIONED))
    return {key: (root / key).read_bytes() for key in listed["key"]}


def listed(out):
    return versioning.versions(Versions(out=out))


@pytest.mark.slow
def test_each_version_is_pulled_byte_for_byte_by_the_beginning_of_its_id(out, built, tmp_path):
    for number, root in enumerate(built):
        into = tmp_path / f"pulled-{number}"
        done = offline.pull(Pull(out=into, store=str(out / "store"), version=id_of(root)[:6]))
        assert done.version == id_of(root)
        assert files(into / "organized") == files(root)
        assert checking.check(into).sound


def test_history_tells_what_each_version_holds_and_changed(out, built):
    told = listed(out)
    assert told.current == id_of(built[2])
    assert told.history.schema == HISTORY
    assert told.history["version"].to_list() == [id_of(root) for root in built]
    assert told.history["previous"].to_list() == [None, *(id_of(root) for root in built[:2])]
    assert told.history["images"].to_list() == [30, 28, 28]
    assert told.history["published_at"].to_list() == [START + timedelta(days=day) for day in range(3)]
    assert told.history["kept"].all()
    changes = told.history["changes"].to_list()
    assert changes[0] is None
    assert (changes[1]["images_added"], changes[1]["images_removed"], changes[1]["images_moved"]) == (0, 2, 0)
    here = history.read(out / "organized")
    assert here.equals(told.history)
    assert "documents" not in (out / "organized" / history.NAME).read_text()
    assert told.history["splits"][0] == {
        "training": 12,
        "validation": 3,
        "test": 3,
        "staging": 2,
        "canary": 2,
        "production": 8,
    }


def test_two_versions_are_compared_by_their_ids(out, built):
    first, _, third = (id_of(root)[:7] for root in built)
    told = versioning.versions(Versions(out=out, compare=(first, third)))
    assert told.changes.images == (30, 28)
    assert versioning.versions(Versions(out=out, compare=(first,))).compared == (id_of(built[0]), id_of(built[2]))
    with pytest.raises(UsageError, match="one version or two"):
        versioning.versions(Versions(out=out, compare=(first, first, third)))


@pytest.mark.parametrize("asked", ["", "f" * 16])
def test_unknown_version_names_those_there_are(out, built, asked):
    with pytest.raises(UsageError) as wrong:
        offline.pull(Pull(out=out, version=asked))
    assert all(id_of(root) in str(wrong.value) for root in built)


def test_pulled_version_cannot_be_published_over_the_current_one_unseen(out, built):
    offline.pull(Pull(out=out, version=id_of(built[0])))
    with pytest.raises(StoreError, match="follows"):
        offline.load(Load(out=out, allow_shrink=True))


@pytest.mark.slow
def test_rollback_brings_a_version_back_and_forgets_no_held_out_image(out, built):
    for inner in (manifest.RETRAIN, manifest.INCOMING):
        for root in (out / "organized", out / "store" / "organized"):
            (root / inner).mkdir()
            (root / inner / "mine.txt").write_text("stays")
    now = version.read(out).memory
    done = versioning.rollback(Rollback(out=out, data=id_of(built[0])[:8]), now=START)
    assert done.version == id_of(built[0])
    for root in (out / "organized", out / "store" / "organized"):
        assert trained_on(root) == trained_on(built[0])
        assert (root / manifest.RETRAIN / "mine.txt").exists()
        assert (root / manifest.INCOMING / "mine.txt").exists()
        assert heldout.decode((root / tree.HELDOUT).read_bytes(), name="it").equals(now)
        assert checking.check(root).violations.filter(pl.col("rule") != "file-unlisted").is_empty()
    told = listed(out).history
    assert told["action"].to_list() == ["load"] * 3 + ["rollback"]
    assert told["previous"][-1] == id_of(built[2])
    assert done.published.sent_files == 0  # a folder links

    offline.transform(Transform(out=out, sizes=SIZES, jobs=1))  # continues it
    after = version.read(out)
    assert json.loads((out / "organized" / tree.SUMMARY).read_bytes())["previous"] == id_of(built[0])
    assert set(now["image_id"]) <= set(after.memory["image_id"])
    assert after.images.filter(pl.col("split").is_in(HELD_OUT)).join(now, on="image_id", how="anti").is_empty()


def test_rollback_without_writing_touches_nothing(out, built):
    before = contents(out)
    assert versioning.rollback(Rollback(out=out, data=id_of(built[1]), dry_run=True)).published is None
    assert contents(out) == before


def test_rollback_needs_a_version(out):
    with pytest.raises(UsageError, match="--data"):
        versioning.rollback(Rollback(out=out))


def test_load_of_what_followed_the_version_before_is_refused_after_a_rollback(out, built, tmp_path):
    other = Path(shutil.copytree(out, tmp_path / "other"))
    versioning.rollback(Rollback(out=out, data=id_of(built[0])))
    with pytest.raises(StoreError, match="follows"):
        offline.load(Load(out=other, store=str(out / "store")))


def test_load_that_remembers_less_as_held_out_than_the_store_is_refused(out):
    root = out / "organized"
    memory = heldout.encode(version.read(out).memory[1:])  # as of before the store was rolled back
    listed = pl.concat([manifest.read(root).filter(pl.col("key") != tree.HELDOUT), plan.listed({tree.HELDOUT: memory})])
    (root / tree.HELDOUT).write_bytes(memory)
    (root / manifest.NAME).write_bytes(manifest.encode(listed))
    with pytest.raises(StoreError, match="remembers 1 image as held out"):
        offline.load(Load(out=out))


@pytest.mark.slow
def test_killed_rollback_is_completed_by_the_same_command(loaded, built, tmp_path, monkeypatch):
    out, _ = loaded
    start = {
        str(path.relative_to(out / "store")): path.read_bytes() for path in (out / "store").rglob("*") if path.is_file()
    }
    store = MemoryStore()
    monkeypatch.setattr(storage, "open_store", lambda address, **_: store)
    store.objects = dict(start)
    undisturbed = Path(shutil.copytree(out, tmp_path / "whole"))
    asked = Rollback(out=undisturbed, data=id_of(built[0]), store="x:y")
    versioning.rollback(asked, now=START)
    whole, requests = dict(store.objects), len(store.trace)
    pictures = [key for key in store.uploaded if key.endswith(".png")]
    assert pictures == []  # they were there
    for moment in (1, requests // 3, requests // 2, requests - 40, requests - 3):  # all of a smaller one: test_keeping
        store = MemoryStore()
        store.objects, store.requests_left = dict(start), moment
        place = Path(shutil.copytree(out, tmp_path / f"killed-{moment}"))
        asked = Rollback(out=place, data=id_of(built[0]), store="x:y")
        with pytest.raises(KilledError):
            versioning.rollback(asked, now=START)
        store.requests_left = sys.maxsize
        versioning.rollback(asked, now=START)
        assert store.objects == whole
        assert files(place / "organized") == files(undisturbed / "organized")


def test_prune_keeps_the_newest_and_says_what_went(out, built):
    before = contents(out)
    foreseen = versioning.prune(Prune(out=out, keep=1, dry_run=True))
    assert contents(out) == before
    done = versioning.prune(Prune(out=out, keep=1))
    assert (done.pruned, done.removed, done.removed_bytes) == (
        foreseen.pruned,
        foreseen.removed,
        foreseen.removed_bytes,
    )
    assert set(done.pruned) == {id_of(root) for root in built[:2]}
    assert [*(out / "store" / "organized" / "versions").rglob("*.png")] == []
    assert files(out / "store" / "organized") == files(built[2])
    assert listed(out).history["kept"].to_list() == [False, False, True]
    assert checking.check(out / "store").sound


def test_check_of_a_store_finds_a_kept_version_that_lacks_a_picture(out):
    assert checking.check(out / "store").sound
    picture = next((out / "store" / "organized" / "versions" / "pictures").iterdir())
    picture.unlink()
    found = checking.check(out / "store").violations
    assert found["rule"].to_list() == ["version-incomplete"] * found.height
    assert found["key"].unique().to_list() == [f"versions/pictures/{picture.name}"]
    assert checking.check(out).sound  # a copy of the history beside a dataset promises nothing


@pytest.mark.slow
@pytest.mark.parametrize("split", ["training", "production"])
def test_forgetting_an_image_takes_it_out_of_every_kept_version(out, built, split):
    known = version.read(built[0].parent / built[0].name)
    now = version.read(out).images["image_id"]
    of_split = known.images.filter(split=split)
    gone = of_split.filter(~pl.col("image_id").is_in(now.implode()))["image_id"]
    one = gone[0] if split == "training" else of_split["image_id"][0]  # of the first version alone, or of all
    leading = marks_of(built[0], one)
    assert len(traces.of(out / "store", leading)) > 3
    forgetting.forget(Forget(out=out, asked=one, reason="consent withdrawn"), now=START + timedelta(days=9))
    assert traces.of(out, leading) == []
    for place in (out, out / "store"):
        assert checking.check(place).violations.rows() == []
    told = listed(out).history
    assert (told["action"][-1] == "forget") == (one in set(now))  # else the current version is what it was
    kept = told.filter("kept")["version"].unique()
    assert len(kept) == 3
    for root in built:
        old, into = id_of(root), out.parent / f"again-{id_of(root)}"
        done = offline.pull(Pull(out=into, store=str(out / "store"), version=old))
        assert done.version in kept
        assert (done.version == old) == (
            one not in version.read(built[[id_of(b) for b in built].index(old)]).images["image_id"]
        )
        assert any("forgotten" in note for note in done.notes) == (done.version != old)
        assert checking.check(into).sound
    versioning.rollback(Rollback(out=out, data=id_of(built[0])))
    assert traces.of(out, leading) == []
    assert checking.check(out / "store").sound


def marks_of(root, one):
    """What leads to an image of a version."""
    known = version.read(root)
    ours = known.images.filter(image_id=one)
    return traces.Marks(frozenset({one, *ours["md5"]}))


def test_etl_with_no_version_kept_leaves_only_the_record(tmp_path):
    folder, out = made_up.films(tmp_path / "films", 12), tmp_path / "data"
    sizes = SplitSizes.parse("training=6,validation=2,test=1,staging=1,canary=1,production=1")
    offline.etl(Etl(out=out, source=str(folder), jobs=1, sizes=sizes, keep_versions=0))
    left = [path.name for path in (out / "store" / "organized" / "versions").rglob("*")]
    assert left == ["history.json"]
    assert history.read(out / "organized")["kept"].to_list() == [False]


@pytest.mark.slow
def test_every_command_of_the_page_on_versions_works(out, built, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "versions.md").read_text()
    lines = [line.partition("#")[0].split() for line in page.split("```")[1].splitlines() if line.strip()]
    ids = {"3fa1": id_of(built[0])[:6], "9c2e": id_of(built[1])[:6]}
    assert len(lines) == 6
    for _, *words in lines:
        given = [",".join(ids.get(part, part) for part in word.split(",")) for word in words]
        given += [] if "--out" in given else ["--out", str(out)]
        with pytest.raises(SystemExit) as ended:
            cli.main([*given, "--store", str(out / "store")])
        assert ended.value.code == 0, given
    assert listed(out).current == id_of(built[0])

"""Splits: sizes, groups, even classes, what a previous version holds, and the proof."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.dataset import proof, splits
from radloop.errors import SplitError, UsageError
from radloop.split_sizes import SplitSizes
from radloop.tables import ASSIGNMENT, FINDINGS, GROUPS, SPLITS
from taxonomies import EVERY, VINDR

ONE_EACH = SplitSizes(1, 1, 1, 1, 1, 1)
NO_PATIENTS = pl.DataFrame(schema={"image_id": pl.String, "patient": pl.String})
NO_DUPLICATES = pl.DataFrame(schema=GROUPS)


def assign(table, groups, sizes, *, classes=VINDR, **options):
    return splits.assign(table, groups, sizes, classes, **options)


def prove(table, assignment, sizes, *, classes=VINDR, **options):
    return proof.of(table, assignment, sizes, classes, **options)


def findings(classes: dict[str, tuple[int, ...]]) -> pl.DataFrame:
    """One reader; every image with a box of each of its classes, without any: normal."""
    rows = []
    for image_id, class_ids in classes.items():
        for class_id in class_ids or (None,):
            box = (None,) * 4 if class_id is None else (0.2, 0.2, 0.6, 0.6)
            rows.append((image_id, "R1", class_id, *box, 2000, 2500))
    return pl.DataFrame(rows, schema=FINDINGS, orient="row")


def alone(image_ids) -> pl.DataFrame:
    return grouped({image_id: image_id for image_id in image_ids})


def grouped(group_of: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame({"image_id": list(group_of), "group": list(group_of.values())}, schema=GROUPS)


def version(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=ASSIGNMENT, orient="row")


def split_of(assignment: pl.DataFrame) -> dict[str, str]:
    return dict(assignment.select("image_id", "split").iter_rows())


RATES = np.array([0.70, 0.04, 0.10, 0.52, 0.08, 0.09, 0.14, 0.30, 0.19, 0.26, 0.23, 0.45, 0.02, 0.37])


def like_the_real_table(count: int, *, seed: int, classes=VINDR) -> pl.DataFrame:
    """Seven images of ten normal; the others with classes as rare as 0.6 % and as common as 20 %."""
    rng = np.random.default_rng(seed)
    rates = np.resize(RATES, len(classes))
    seen = (rng.random((count, len(classes))) < rates) & (rng.random((count, 1)) < 0.3)
    return findings({f"{i:06d}": tuple(np.flatnonzero(row).tolist()) for i, row in enumerate(seen)})


# sizes


def test_the_default_sizes_are_those_of_the_15000_images():
    sizes = SplitSizes()
    assert sizes.scaled(15_000) == sizes == SplitSizes(11_500, 750, 750, 1_000, 500, 500)


def test_sizes_are_read_in_any_order():
    text = "production=120, training=300,validation=60,test=60,staging=30,canary=30"
    assert SplitSizes.parse(text) == SplitSizes(300, 60, 60, 30, 30, 120)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("training=300", "lacks validation, test, staging, canary, production", id="missing"),
        pytest.param("train=300", "'train' is no split", id="unknown"),
        pytest.param("", "'' is no split", id="empty"),
        pytest.param("training=1,training=2", "training is named twice", id="twice"),
        pytest.param("training=-1", "'-1' is no count", id="negative"),
        pytest.param("training=1.5", "'1.5' is no count", id="fraction"),
        pytest.param("training", "'' is no count", id="no count"),
        pytest.param("training=0,validation=0,test=0,staging=0,canary=0,production=0", "every split is 0", id="all 0"),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused(text, says):
    with pytest.raises(UsageError, match=says):
        SplitSizes.parse(text)


@given(st.tuples(*[st.integers(0, 20_000)] * 6).filter(any), st.integers(0, 200_000))
def test_scaled_sizes_sum_to_the_total_and_miss_no_share_by_an_image(counts, total):
    scaled = SplitSizes(*counts).scaled(total)
    got = np.array([scaled.training, scaled.validation, scaled.test, scaled.staging, scaled.canary, scaled.production])
    assert got.sum() == total
    assert np.abs(got - np.array(counts) * total / sum(counts)).max() < 1


# groups


def test_every_image_alone_is_its_own_group():
    grouping = splits.group(pl.Series(["b", "a"]), patients=NO_PATIENTS, duplicates=NO_DUPLICATES)
    assert grouping.groups.rows() == [("a", "a"), ("b", "b")]
    assert grouping.warnings == ()


def test_a_patient_and_the_near_duplicates_of_his_pictures_are_one_group():
    patients = pl.DataFrame({"image_id": ["d", "b", "a"], "patient": ["p1", "p1", None]})
    duplicates = pl.DataFrame({"image_id": ["d", "e"], "group": ["d", "d"]})
    grouping = splits.group(pl.Series(["a", "b", "c", "d", "e"]), patients=patients, duplicates=duplicates)
    assert dict(grouping.groups.iter_rows()) == {"a": "a", "b": "b", "c": "c", "d": "b", "e": "b"}


def test_a_patient_is_no_near_duplicate_group_of_the_same_name():
    patients = pl.DataFrame({"image_id": ["a"], "patient": ["x"]})
    duplicates = pl.DataFrame({"image_id": ["b"], "group": ["x"]})
    grouping = splits.group(pl.Series(["a", "b"]), patients=patients, duplicates=duplicates)
    assert grouping.groups["group"].to_list() == ["a", "b"]


def test_a_patient_is_not_named_in_the_groups():
    patients = pl.DataFrame({"image_id": ["a", "b"], "patient": ["secret", "secret"]})
    grouping = splits.group(pl.Series(["a", "b"]), patients=patients, duplicates=NO_DUPLICATES)
    assert "secret" not in str(grouping.groups.rows())


def test_a_large_near_duplicate_group_is_an_error_that_names_it():
    images = [f"{i:02d}" for i in range(21)]
    with pytest.raises(SplitError, match=r"21 near-duplicate pictures \(00, 01, .*, …; group 00\)"):
        splits.group(pl.Series(images), patients=NO_PATIENTS, duplicates=grouped(dict.fromkeys(images, "00")))


def test_one_percent_of_many_images_may_be_near_duplicates():
    images = [f"{i:04d}" for i in range(3_000)]
    grouping = splits.group(
        pl.Series(images), patients=NO_PATIENTS, duplicates=grouped(dict.fromkeys(images[:30], "0000"))
    )
    assert grouping.groups["group"].n_unique() == 2_971


def test_a_large_patient_is_a_warning():
    images = [f"{i:02d}" for i in range(25)]
    patients = pl.DataFrame({"image_id": images[:21], "patient": ["p"] * 21})
    grouping = splits.group(pl.Series(images), patients=patients, duplicates=NO_DUPLICATES)
    assert len(grouping.warnings) == 1
    assert "group 00 holds 21 images" in grouping.warnings[0]


# assignment


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sets(st.integers(0, 19), max_size=4)), min_size=1, max_size=40),
    st.integers(0, 2**32),
    st.randoms(use_true_random=False),
    st.sampled_from(list(EVERY.values())),
)
def test_no_group_in_two_splits_and_nothing_lost_in_any_order(images, seed, shuffler, classes):
    table = findings({f"i{n}": tuple(sorted({c % len(classes) for c in some})) for n, (_, some) in enumerate(images)})
    groups = grouped({f"i{n}": f"g{group}" for n, (group, _) in enumerate(images)})
    assignment = assign(table, groups, ONE_EACH, seed=seed, classes=classes)

    assert assignment.schema == ASSIGNMENT
    assert assignment["image_id"].to_list() == sorted(f"i{n}" for n in range(len(images)))
    assert assignment.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    largest = groups["group"].value_counts()["count"].max()
    wanted = np.array(list(prove(table, assignment, ONE_EACH, seed=seed, classes=classes)["wanted"].values()))
    got = np.array([(assignment["split"] == split).sum() for split in SPLITS])
    assert wanted.sum() == got.sum() == len(images)
    assert np.abs(got - wanted).max() <= (largest if largest > 1 else 0)

    rows, members = list(range(table.height)), list(range(groups.height))
    shuffler.shuffle(rows)
    shuffler.shuffle(members)
    assert assign(table[rows], groups[members], ONE_EACH, seed=seed, classes=classes).equals(assignment)


@pytest.mark.parametrize("seed", range(4))
def test_every_class_of_every_split_is_within_one_image_or_five_percent(seed, classes):
    table = like_the_real_table(6_000, seed=seed, classes=classes)
    assignment = assign(table, alone(table["image_id"].unique()), SplitSizes(), seed=seed, classes=classes)
    proven = prove(table, assignment, SplitSizes(), seed=seed, classes=classes)
    assert {name: split["images"] for name, split in proven["splits"].items()} == proven["wanted"]
    assert proven["even"]
    assert proven["worst"]["of_tolerance"] <= 1
    boxes = {name: split["boxes"] / split["images"] for name, split in proven["splits"].items()}
    assert max(boxes.values()) < 1.02 * min(boxes.values())


def test_patients_of_many_sizes_still_give_exact_sizes_and_even_classes():
    table = like_the_real_table(6_000, seed=0)
    ids = table["image_id"].unique().sort().to_list()
    starts = np.random.default_rng(0).random(6_000) < 0.4
    assignment = assign(table, grouped(dict(zip(ids, starts.cumsum().astype(str), strict=True))), SplitSizes(), seed=0)
    proven = prove(table, assignment, SplitSizes(), seed=0)
    assert {name: split["images"] for name, split in proven["splits"].items()} == proven["wanted"]
    assert proven["even"]
    assert proven["groups"]["largest"] > 5


def test_another_seed_is_another_assignment():
    table = like_the_real_table(200, seed=0)
    groups = alone(table["image_id"].unique())
    assert assign(table, groups, ONE_EACH, seed=0).equals(assign(table, groups, ONE_EACH, seed=0))
    assert not assign(table, groups, ONE_EACH, seed=0).equals(assign(table, groups, ONE_EACH, seed=1))


def test_an_image_without_findings_gets_no_split():
    assignment = assign(findings({"a": (0,)}), alone(["a", "b"]), SplitSizes(), seed=0)
    assert assignment.rows() == [("a", "a", "training")]


def test_findings_that_were_replaced_do_not_count_for_the_class():
    table = findings({"a": (0,), "b": (1,)}).with_columns(used=pl.col("image_id") == "b")
    proven = prove(table, assign(table, alone(["a", "b"]), ONE_EACH, seed=0), ONE_EACH, seed=0)
    assert [proven["classes"][label]["images"] for label in "01"] == [0, 1]
    assert proven["images"] == 2


# a previous version


def test_images_keep_their_split_and_new_ones_fill_what_is_free():
    table = findings(dict.fromkeys("abcdef", ()))
    previous = version(("a", "a", "test"), ("b", "b", "canary"))
    assignment = assign(table, alone("abcdef"), ONE_EACH, seed=0, previous=previous)
    assert split_of(assignment)["a"] == "test"
    assert split_of(assignment)["b"] == "canary"
    assert set(split_of(assignment).values()) == set(SPLITS)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 100))
def test_no_image_changes_its_split_when_the_dataset_grows(before, added, seed):
    table = like_the_real_table(before + added, seed=seed)
    ids = sorted(table["image_id"].unique())
    old = table.filter(pl.col("image_id").is_in(ids[:before]))
    first = assign(old, alone(ids[:before]), ONE_EACH, seed=seed)
    second = assign(table, alone(ids), ONE_EACH, seed=seed + 1, previous=first)
    assert second.filter(pl.col("image_id").is_in(ids[:before])).equals(first)
    assert second.height == before + added


def test_a_new_image_follows_its_group_into_the_held_out_split():
    table = findings({"a": (), "b": ()})
    assignment = assign(
        table, grouped({"a": "a", "b": "a"}), SplitSizes(), seed=0, previous=version(("b", "b", "test"))
    )
    assert assignment.rows() == [("a", "a", "test"), ("b", "a", "test")]


def test_groups_of_the_previous_version_stay_together():
    """Alike through a picture that is gone now, or by a threshold that has changed since."""
    table = findings({"a": (), "b": ()})
    previous = version(("a", "0", "production"), ("b", "0", "production"), ("0", "0", "production"))
    moved = assign(table, alone("ab"), SplitSizes(), seed=0, previous=previous, move=frozenset("a"))
    assert moved.rows() == [("a", "a", "training"), ("b", "a", "training")]


def test_a_move_from_production_takes_the_whole_group_and_nothing_else():
    table = findings(dict.fromkeys("abc", ()))
    previous = version(("a", "a", "production"), ("b", "a", "production"), ("c", "c", "production"))
    assignment = assign(table, alone("abc"), SplitSizes(), seed=0, previous=previous, move=frozenset({"a"}))
    assert split_of(assignment) == {"a": "training", "b": "training", "c": "production"}
    proven = prove(table, assignment, SplitSizes(), seed=0, previous=previous)
    assert proven["moves"] == [
        {"image_id": "a", "from": "production", "to": "training"},
        {"image_id": "b", "from": "production", "to": "training"},
    ]
    assert proven["moved_before"] == []


def test_proof_remembers_the_moves_of_every_version_before():
    table = findings(dict.fromkeys("abc", ()))
    before, moves = version(*((one, one, "production") for one in "abcd")), []
    proven = {}
    for image_id in "cad":  # one after the other; d has no picture any more
        moved = assign(table, alone("abc"), SplitSizes(), seed=0, previous=before, move=frozenset(image_id))
        proven = prove(table, moved, SplitSizes(), seed=0, previous=before, before=proven)
        moves.append([move["image_id"] for move in proven["moves"]])
        before = moved
    assert moves == [["c"], ["a"], []]
    assert [move["image_id"] for move in proven["moved_before"]] == ["a", "c"]
    assert prove(table.filter(image_id="c"), moved.filter(image_id="c"), SplitSizes(), seed=0, before=proven)[
        "moved_before"
    ] == [{"image_id": "c", "from": "production", "to": "training"}]


def test_moving_an_image_of_training_or_an_unknown_one_puts_it_in_training():
    table = findings(dict.fromkeys("ab", ()))
    assignment = assign(
        table,
        alone("ab"),
        SplitSizes(0, 0, 0, 0, 0, 1),
        seed=0,
        previous=version(("a", "a", "training")),
        move=frozenset("ab"),
    )
    assert split_of(assignment) == {"a": "training", "b": "training"}


@pytest.mark.parametrize("split", ["validation", "test", "staging", "canary"])
def test_a_held_out_image_never_moves(split):
    with pytest.raises(SplitError, match=rf"a \({split}\): held-out images keep their split for ever"):
        assign(
            findings({"a": ()}),
            alone("a"),
            SplitSizes(),
            seed=0,
            previous=version(("a", "a", split)),
            move=frozenset("a"),
        )


def test_a_group_that_reaches_from_production_into_training_goes_to_training():
    previous = version(("a", "a", "production"), ("b", "b", "training"))
    assignment = assign(
        findings({"a": (), "b": ()}), grouped({"a": "a", "b": "a"}), SplitSizes(), seed=0, previous=previous
    )
    assert split_of(assignment) == {"a": "training", "b": "training"}


@pytest.mark.parametrize("other", ["training", "production", "test"])
def test_a_group_that_reaches_from_a_held_out_split_into_another_is_an_error_that_names_the_images(other):
    previous = version(("a", "a", "canary"), ("b", "b", other))
    table = findings({"a": (), "b": ()})
    with pytest.raises(SplitError, match=rf"a \(canary\), b \({other}\): these turn out to belong together"):
        assign(table, grouped({"a": "a", "b": "a"}), SplitSizes(), seed=0, previous=previous)


def test_an_image_cannot_be_moved_out_of_a_group_that_a_held_out_image_holds():
    previous = version(("a", "a", "production"), ("b", "b", "test"))
    table = findings({"a": (), "b": ()})
    with pytest.raises(SplitError, match=r"b \(test\)"):
        assign(table, grouped({"a": "a", "b": "a"}), SplitSizes(), seed=0, previous=previous, move=frozenset("a"))

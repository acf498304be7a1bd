"""Agreement against hand-worked cases, the package `krippendorff`, and matching by trying every pairing."""

from itertools import permutations

import krippendorff
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import taxonomies
from radloop.measures import agreement, bootstrap
from radloop.tables import FINDINGS
from radloop.taxonomy import Taxonomy

Box = tuple[float, float, float, float]
HEART = (0.25, 0.5, 0.75, 0.75)


def row(image_id: str, rad_id: str, class_id: int | None, box: Box | None = None) -> tuple[object, ...]:
    """One row of the annotations table; a finding lies on the heart where the test does not care. None: none."""
    corners = (None,) * 4 if class_id is None else box or HEART
    return (image_id, rad_id, class_id, *corners, 1000, 1000)


def table(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FINDINGS, orient="row")


# Three readers of each image; class 3 is seen by 3, 2, 1, 0 of them; n1 and n2 are normal.
SMALL = table(
    *(row("full", reader, 3) for reader in ("R1", "R2", "R10")),
    *(row("two", reader, 3) for reader in ("R1", "R2")),
    row("two", "R10", 0),
    row("one", "R1", 3),
    *(row("one", reader, 0) for reader in ("R2", "R10")),
    *(row("none", reader, 0) for reader in ("R1", "R2", "R10")),
    *(row(image, reader, None) for image in ("n1", "n2") for reader in ("R1", "R2", "R10")),
)
NONE = SMALL.clear()


def test_readings_hold_each_look_once_with_readers_in_the_order_of_their_numbers(classes: Taxonomy) -> None:
    looked = agreement.readings(pl.concat([SMALL, SMALL]), classes)
    assert looked.readers.to_list() == ["R1", "R2", "R10"]
    assert looked.seen.shape == (18, len(classes) + 1)
    assert looked.population("with finding").tolist() == [True, False, False, True, True, True]


def test_one_class_per_image_is_flattered_by_the_normal_images(classes: Taxonomy) -> None:
    found = agreement.one_class(agreement.readings(SMALL, classes))
    assert found.select("population", "images", "agreeing").rows() == [("all", 6, 4), ("with finding", 4, 2)]
    assert found["share"].to_list() == pytest.approx([4 / 6, 2 / 4])
    assert (found["share_low"] < found["share"]).all()
    assert (found["share_high"] > found["share"]).all()


def test_alpha_and_kappa_worked_by_hand(classes: Taxonomy) -> None:
    found = agreement.by_class(agreement.readings(SMALL, classes)).filter(pl.col("class_id") == 3)
    # With a finding: 12 readings, 6 yes, 6 no; two images with one dissenter, 2 · 2 · 1 / (3 − 1) = 2 each.
    alpha, kappa = 1 - 11 * 4 / (2 * 6 * 6), 1 - (2 * 2 / 3 / 4) / (2 * 0.5 * 0.5)
    assert found["alpha"][1] == pytest.approx(alpha)
    assert found["kappa"][1] == pytest.approx(kappa)
    assert found["alpha"][0] > alpha
    assert found.select("images", "positive_images").rows() == [(6, 3), (4, 3)]


def test_agreement_on_what_nobody_saw_is_missing_and_not_perfect(classes: Taxonomy) -> None:
    unseen = agreement.by_class(agreement.readings(SMALL, classes)).filter(pl.col("class_id") == 5)
    assert unseen.select("alpha", "alpha_low", "alpha_high", "kappa").null_count().row(0) == (2, 2, 2, 2)


def test_an_image_of_one_reader_says_nothing_of_agreement(classes: Taxonomy) -> None:
    alone = pl.concat([SMALL, table(row("alone", "R7", 3))])
    assert agreement.by_class(agreement.readings(alone, classes)).equals(
        agreement.by_class(agreement.readings(SMALL, classes))
    )


votes = st.lists(st.lists(st.sampled_from([None, 0, 1]), min_size=4, max_size=4), min_size=2, max_size=12)


@settings(max_examples=60, deadline=None)
@given(votes, st.sampled_from(list(taxonomies.EVERY.values())))
def test_alpha_equals_the_package_krippendorff(said: list[list[int | None]], classes: Taxonomy) -> None:
    rows = [
        row(f"i{image}", f"R{reader}", 3 if vote else 0)
        for image, readers in enumerate(said)
        for reader, vote in enumerate(readers)
        if vote is not None
    ]
    found = agreement.by_class(agreement.readings(table(*rows), classes), resamples=1).filter(pl.col("class_id") == 3)
    pairable = [readers for readers in said if sum(vote is not None for vote in readers) >= 2]
    if {vote for readers in pairable for vote in readers if vote is not None} != {0, 1}:
        assert found["alpha"].to_list() == [None, None]
        return
    data = np.array([[np.nan if vote is None else vote for vote in readers] for readers in pairable], dtype=float)
    assert found["alpha"].to_list() == pytest.approx([krippendorff.alpha(data.T, level_of_measurement="nominal")] * 2)


def test_pairs_of_readers_count_four_cells_by_hand(classes: Taxonomy) -> None:
    found = agreement.by_pair(agreement.readings(SMALL, classes))
    heart = found.filter(pl.col("reader_a") == "R1", pl.col("reader_b") == "R10", pl.col("class_id") == 3)
    assert heart.select("population", "images", "both", "only_a", "only_b").rows() == [
        ("all", 6, 1, 2, 0),
        ("with finding", 4, 1, 2, 0),
    ]
    # R1 says yes on 3 of n, R10 on 1 of n; they agree on n − 2.
    chance_all, chance_found = (3 * 1 + 3 * 5) / 36, (3 * 1 + 1 * 3) / 16
    kappas = (4 / 6 - chance_all) / (1 - chance_all), (2 / 4 - chance_found) / (1 - chance_found)
    assert heart["kappa"].to_list() == pytest.approx(kappas)
    assert heart["positive"].to_list() == pytest.approx([2 * 1 / (3 + 1)] * 2)


def test_pooled_pair_adds_the_findings_and_leaves_no_finding_out(classes: Taxonomy) -> None:
    pooled = agreement.by_pair(agreement.readings(SMALL, classes)).filter(pl.col("class_id").is_null())
    assert pooled.filter(pl.col("population") == "all").select(
        "reader_a", "reader_b", "both", "only_a", "only_b"
    ).rows() == [
        ("R1", "R2", 3, 1, 1),
        ("R1", "R10", 2, 2, 2),
        ("R2", "R10", 3, 1, 1),
    ]


def test_no_finding_is_a_row_of_its_own_with_its_name_and_all_together_has_none(classes: Taxonomy) -> None:
    figures = agreement.by_class(agreement.readings(SMALL, classes))
    assert figures["class_id"].to_list() == [*range(len(classes) + 1)] * 2
    assert figures["class_name"].to_list() == [*classes.names, "No finding"] * 2
    pairs = agreement.by_pair(agreement.readings(SMALL, classes)).filter(population="all", reader_a="R1", reader_b="R2")
    assert pairs["class_id"].to_list() == [*range(len(classes) + 1), None]
    assert pairs["class_name"].to_list() == [*classes.names, "No finding", None]
    assert pairs.filter(pl.col("class_id") == classes.nothing).select("both", "only_a", "only_b").row(0) == (2, 0, 0)


def test_pooled_kappa_asks_each_pair_once_for_each_class(classes: Taxonomy) -> None:
    pooled = agreement.by_pair(agreement.readings(SMALL, classes)).filter(
        pl.col("class_id").is_null(), population="all", reader_a="R1", reader_b="R2"
    )
    asked, both, only = 6 * len(classes), 3, 1  # R1 and R2 say yes four times each
    chance = (4 * 4 + (asked - 4) ** 2) / asked**2
    assert pooled["kappa"][0] == pytest.approx(((asked - 2 * only) / asked - chance) / (1 - chance))
    assert pooled["positive"][0] == pytest.approx(2 * both / 8)


@pytest.mark.parametrize("at_once", [1, 1000], ids=["one key", "two keys"])
def test_figures_are_the_same_however_few_keys_are_summed_at_a_time(
    at_once: int, classes: Taxonomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, matched = agreement.readings(SMALL, classes), agreement.match(SMALL)
    pairs, boxes = agreement.by_pair(looked), agreement.boxes_by_pair(matched, classes)
    monkeypatch.setattr(bootstrap, "AT_ONCE", at_once)
    assert agreement.by_pair(looked).equals(pairs)
    assert agreement.boxes_by_pair(matched, classes).equals(boxes)


def test_readers_who_never_met_are_no_pair(classes: Taxonomy) -> None:
    apart = table(row("a", "R1", 3), row("b", "R2", 3))
    assert agreement.by_pair(agreement.readings(apart, classes)).is_empty()
    assert agreement.match(apart).is_empty()


def square(x: float, y: float = 0.0, side: float = 0.2) -> Box:
    return (x, y, x + side, y + side)


def test_match_pairs_boxes_of_one_class_above_the_overlap() -> None:
    drawn = table(
        row("a", "R1", 3, square(0.0)),
        row("a", "R2", 3, square(0.05)),  # IoU 0.15 / 0.25 = 0.6 with R1's
        row("a", "R2", 3, square(0.6)),
        row("a", "R2", 0, square(0.0)),
        row("a", "R10", None),
    )
    found = agreement.match(drawn, min_iou=0.5).drop("image_id", "iou_sum")
    assert found.rows() == [
        (0, "R1", "R2", 0, 1, 0),
        (0, "R2", "R10", 1, 0, 0),
        (3, "R1", "R2", 1, 2, 1),
        (3, "R1", "R10", 1, 0, 0),
        (3, "R2", "R10", 2, 0, 0),
    ]
    assert agreement.match(drawn, min_iou=0.5)["iou_sum"].sum() == pytest.approx(0.6)
    assert agreement.match(drawn, min_iou=0.7)["matches"].sum() == 0


def test_two_pairs_are_better_than_one_good_pair() -> None:
    chain = table(
        row("a", "R1", 3, square(0.00)),
        row("a", "R1", 3, square(0.08)),
        row("a", "R2", 3, square(0.07)),
        row("a", "R2", 3, square(0.15)),
    )  # the greedy pair 0.08–0.07 would leave 0.00–0.15, which do not overlap enough
    assert agreement.match(chain, min_iou=0.4)["matches"].to_list() == [2]
    looser = table(
        row("a", "R1", 3, square(0.00)),
        row("a", "R1", 3, square(0.11)),
        row("a", "R2", 3, square(0.10)),
        row("a", "R2", 3, square(0.21)),
    )  # 0.11–0.10 has more IoU (0.90) than 0.00–0.10 and 0.11–0.21 together (0.67)
    found = agreement.match(looser, min_iou=0.3)
    assert (found["matches"].to_list(), found["iou_sum"].to_list()) == ([2], pytest.approx([2 / 3]))


def test_boxes_that_just_reach_the_overlap_are_a_pair() -> None:
    halves = table(row("a", "R1", 3, (0.0, 0.0, 0.5, 0.5)), row("a", "R2", 3, (0.0, 0.0, 0.5, 0.25)))
    assert agreement.match(halves, min_iou=0.5)["matches"].to_list() == [1]


@pytest.mark.parametrize("min_iou", [0.0, -1.0, 1.1, float("nan")])
def test_an_overlap_that_cannot_be_meant_is_refused(min_iou: float) -> None:
    with pytest.raises(ValueError, match="min_iou"):
        agreement.match(SMALL, min_iou=min_iou)


def overlap(a: Box, b: Box) -> float:
    wide, tall = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return wide * tall / (area_a + area_b - wide * tall)


def best_pairing(a: list[Box], b: list[Box], min_iou: float) -> tuple[int, float]:
    """The most pairs, then the largest sum of IoU, by trying every pairing."""
    best = (0, 0.0)
    short, long = sorted((a, b), key=len)
    for order in permutations(range(len(long)), len(short)):
        made = [overlap(box, long[at]) for box, at in zip(short, order, strict=True)]
        made = [value for value in made if value >= min_iou]
        best = max(best, (len(made), sum(made)))
    return best


places = st.tuples(st.integers(0, 8), st.integers(0, 2))
drawn_boxes = st.lists(places.map(lambda at: square(at[0] / 16, at[1] / 16)), max_size=4)


@settings(max_examples=150, deadline=None)
@given(drawn_boxes, drawn_boxes, st.sampled_from([0.1, 0.3, 0.5]))
def test_match_finds_the_best_of_all_pairings(a: list[Box], b: list[Box], min_iou: float) -> None:
    rows = [row("i", "R1", 3, box) for box in a] + [row("i", "R2", 3, box) for box in b]
    found = agreement.match(table(row("i", "R1", None), row("i", "R2", None), *rows), min_iou=min_iou)
    matches, iou_sum = best_pairing(a, b, min_iou)
    assert found["matches"].sum() == matches
    assert found["iou_sum"].sum() == pytest.approx(iou_sum)


def test_box_figures_are_f1_and_mean_iou_of_what_was_matched(classes: Taxonomy) -> None:
    drawn = table(
        row("a", "R1", 3, square(0.0)),
        row("a", "R2", 3, square(0.05)),
        row("b", "R1", 3, square(0.0)),
        row("b", "R2", 3, square(0.0)),
        row("b", "R2", 3, square(0.5)),
        row("c", "R1", 0, square(0.0)),
        row("c", "R2", None),
    )
    found = agreement.boxes_by_class(agreement.match(drawn), classes)
    assert found.select("class_id", "boxes_a", "boxes_b", "matches").rows() == [
        (0, 1, 0, 0),
        (3, 2, 3, 2),
        (None, 3, 3, 2),
    ]
    assert found["f1"].to_list() == pytest.approx([0.0, 2 * 2 / 5, 2 * 2 / 6])
    assert found["iou"].to_list()[1:] == pytest.approx([0.8, 0.8])
    assert found["iou"][0] is None
    assert found["class_name"].to_list() == [classes.names[0], classes.names[3], None]
    pairs = agreement.boxes_by_pair(agreement.match(drawn), classes)
    assert pairs.drop("reader_a", "reader_b").equals(found)


def test_most_disputed_image_comes_first_and_of_equals_the_one_with_more_boxes() -> None:
    drawn = table(
        *(row("agreed", reader, 3) for reader in ("R1", "R2", "R3")),
        row("few", "R1", 3),
        *(row("few", reader, None) for reader in ("R2", "R3")),
        *(row("many", "R1", 3, square(x)) for x in (0.0, 0.3, 0.6)),
        *(row("many", reader, None) for reader in ("R2", "R3")),
        *(row("normal", reader, None) for reader in ("R1", "R2", "R3")),
    )
    found = agreement.most_disputed(agreement.match(drawn))
    assert found.rows() == [("many", 3, 0.0, 1.0), ("few", 1, 0.0, 1.0), ("agreed", 3, 1.0, 0.0)]


def test_intervals_hold_the_figure_and_repeat_with_the_seed(classes: Taxonomy) -> None:
    rng = np.random.default_rng(1)
    rows = [
        row(f"i{image}", reader, 3 if rng.random() < 0.6 else 0, square(rng.uniform(0, 0.08)))
        for image in range(60)
        for reader in ("R1", "R2", "R3")
    ]
    looked, matched = agreement.readings(table(*rows), classes), agreement.match(table(*rows))
    for figures in (
        agreement.by_class(looked, seed=5).drop_nulls("alpha"),
        agreement.by_pair(looked, seed=5).drop_nulls("kappa"),
        agreement.boxes_by_class(matched, classes, seed=5).drop_nulls("iou"),
    ):
        assert not figures.is_empty()
        for name in ("alpha", "kappa", "positive", "f1", "iou"):
            if name in figures.columns:
                assert (figures[f"{name}_low"] < figures[name]).all()
                assert (figures[name] < figures[f"{name}_high"]).all()
    assert agreement.by_pair(looked, seed=5).equals(agreement.by_pair(looked, seed=5))
    assert agreement.boxes_by_class(matched, classes, seed=5).equals(agreement.boxes_by_class(matched, classes, seed=5))


@pytest.mark.slow
def test_nine_in_ten_or_more_of_the_intervals_cover_the_truth() -> None:
    """500 tables of 200 images from one model; the truth is the figure of a table of 60,000 images."""

    def draw(images: int, seed: int) -> agreement.Readings:
        rng = np.random.default_rng(seed)
        ill = rng.random(images) < 0.3
        seen = rng.random((images, 3)) < np.where(ill, 0.7, 0.05)[:, np.newaxis]
        marks = np.zeros((images * 3, len(taxonomies.SPINE) + 1), dtype=bool)
        marks[np.arange(images * 3), np.where(seen.ravel(), 3, taxonomies.SPINE.nothing)] = True
        ids = pl.Series([f"{n:05}" for n in range(images)])
        image, reader = np.repeat(np.arange(images), 3), np.tile(np.arange(3), images)
        return agreement.Readings(ids, pl.Series(["R1", "R2", "R3"]), image, reader, marks, taxonomies.SPINE)

    def heart(looked: agreement.Readings) -> dict[str, float]:
        return agreement.by_class(looked, resamples=400).row(3, named=True)

    truth = heart(draw(60_000, 0))["alpha"]
    found = [heart(draw(200, seed)) for seed in range(1, 501)]
    covered = np.mean([each["alpha_low"] <= truth <= each["alpha_high"] for each in found])
    assert 0.90 <= covered <= 0.98


def test_empty_tables_give_empty_figures(classes: Taxonomy) -> None:
    looked, matched = agreement.readings(NONE, classes), agreement.match(NONE)
    assert agreement.one_class(looked)["share"].to_list() == [None, None]
    assert agreement.by_class(looked)["alpha"].null_count() == 2 * (len(classes) + 1)
    assert agreement.by_pair(looked).is_empty()
    assert agreement.boxes_by_class(matched, classes).is_empty()
    assert agreement.boxes_by_pair(matched, classes).is_empty()
    assert agreement.most_disputed(matched).is_empty()

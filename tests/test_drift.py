"""Drift tests alarm as often as they say where there is none, find what is there, and know the readers' doing."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from scipy import stats

import taxonomies
from radloop.measures import drift
from radloop.tables import DETECTIONS, FEEDBACK, FINDINGS
from radloop.taxonomy import Taxonomy

Box = tuple[float, float, float, float]
HEART = (0.25, 0.5, 0.75, 0.75)


def row(image_id: str, rad_id: str, class_id: int | None, box: Box | None = None) -> tuple[object, ...]:
    corners = (None,) * 4 if class_id is None else box or HEART
    return (image_id, rad_id, class_id, *corners, 1000, 1000)


def table(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FINDINGS, orient="row")


def images(count: int, seed: int, *, readers: tuple[str, ...] = ("R1+R2+R3",), ill: float = 0.4) -> pl.DataFrame:
    """Images as `of_annotations` gives them, from one distribution."""
    rng = np.random.default_rng(seed)
    finding = rng.random(count) < ill
    heart = finding & (rng.random(count) < 0.6)
    measured = {name: np.where(finding, rng.normal(0.5, 0.1, count), np.nan) for name in ("x", "y", "area")}
    return pl.DataFrame(
        {
            "image_id": [f"{seed}-{n}" for n in range(count)],
            "readers": rng.choice(readers, count),
            "finding": finding,
            "class_3": heart,
            "class_12": finding & (rng.random(count) < 0.03),
            "boxes": np.where(finding, rng.poisson(2, count) + 1.0, np.nan),
            **measured,
            "picture_mean": rng.normal(130, 20, count),
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))


def figure(figures: pl.DataFrame, summary: str) -> dict[str, object]:
    return figures.filter(pl.col("summary") == summary).row(0, named=True)


def test_annotations_become_one_row_per_image(classes: Taxonomy) -> None:
    found = drift.of_annotations(
        table(
            row("a", "R9", 3, (0.0, 0.0, 0.5, 0.5)),
            row("a", "R10", 3, (0.5, 0.5, 1.0, 1.0)),
            row("a", "R10", 0, (0.0, 0.0, 1.0, 1.0)),
            row("b", "R9", None),
            row("b", "R10", None),
        ),
        classes,
    )
    seen = [name for name in found.columns if name.startswith("class_")]
    assert seen == [f"class_{class_id}" for class_id in range(len(classes))]
    a, b = found.rows(named=True)
    assert (a["image_id"], a["readers"], a["finding"], a["class_3"], a["class_0"], a["class_1"]) == (
        "a", "R10+R9", True, True, True, False,
    )  # fmt: skip
    assert (a["boxes"], a["x"], a["y"], a["area"]) == pytest.approx((1.5, 0.5, 0.5, 0.5))
    assert (b["readers"], b["finding"], b["boxes"], b["x"]) == ("R10+R9", False, None, None)


def test_of_several_feedbacks_on_one_image_the_middle_one_counts(classes: Taxonomy) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    early, late = now - timedelta(hours=1), now + timedelta(hours=1)
    said = [
        {"feedback_id": "f1", "image_id": "a", "timestamp": now, "class_id": 3, "confidence": 0.9, "mean": 100.0},
        {"feedback_id": "f2", "image_id": "a", "timestamp": early, "class_id": 5, "confidence": 0.8, "mean": 120.0},
        {"feedback_id": "f4", "image_id": "a", "timestamp": late, "class_id": 5, "confidence": 0.8, "mean": 200.0},
        {"feedback_id": "f3", "image_id": "b", "timestamp": now, "class_id": None, "confidence": 0.8, "mean": None},
    ]
    boxes = [("f1", "a", 3, 0.9, *HEART), ("f1", "a", 0, 0.5, *HEART), ("f9", "z", 0, 0.5, *HEART)]
    boxes += [("f4", "a", 5, 0.8, *HEART), ("f2", "a", 5, 0.8, *HEART), ("of another week", "a", 5, 0.1, *HEART)]
    found = drift.of_feedback(
        pl.DataFrame(said, schema=FEEDBACK), pl.DataFrame(boxes, schema=DETECTIONS, orient="row"), classes
    )
    assert (found["class_0"].to_list(), found[f"class_{len(classes) - 1}"].to_list()) == ([True, False], [False, False])
    assert f"class_{classes.nothing}" not in found.columns
    a, b = found.rows(named=True)
    assert (a["finding"], a["class_5"], a["boxes"], a["picture_mean"]) == (True, False, 2.0, 100.0)
    assert (a["confidence"], a["area"]) == pytest.approx((0.7, 0.125))
    assert (b["finding"], b["confidence"], b["picture_mean"]) == (False, None, None)


def test_each_question_gets_the_test_that_fits() -> None:
    tests = dict(drift.compare(images(300, 1), images(200, 2)).select("summary", "test").iter_rows())
    assert tests == {
        "finding": "presence",
        "class_3": "presence",
        "class_12": "presence",
        "boxes": "rank",
        "x": "distribution",
        "y": "distribution",
        "area": "distribution",
        "picture_mean": "distribution",
    }


def test_p_values_and_effects_equal_scipys() -> None:
    first, second = images(300, 1), images(200, 2)
    figures = drift.compare(first, second)
    x = [part["x"].drop_nulls().to_numpy() for part in (first, second)]
    boxes = [part["boxes"].drop_nulls().to_numpy() for part in (second, first)]
    expected = stats.ks_2samp(*x, method="asymp")
    assert figure(figures, "x")["distance"] == pytest.approx(expected.statistic)
    assert figure(figures, "x")["p_value"] == pytest.approx(expected.pvalue)
    ranks = stats.mannwhitneyu(*boxes, method="asymptotic", use_continuity=False)
    assert figure(figures, "boxes")["p_value"] == pytest.approx(ranks.pvalue)
    assert figure(figures, "boxes")["shift"] == pytest.approx(2 * ranks.statistic / len(boxes[0]) / len(boxes[1]) - 1)
    assert figure(figures, "boxes")["distance"] is None
    risk = second["finding"].mean() - first["finding"].mean()
    assert figure(figures, "finding")["shift"] == pytest.approx(risk)
    tested = figures.drop_nulls("p_value")
    assert tested["q_value"].to_numpy() == pytest.approx(stats.false_discovery_control(tested["p_value"].to_numpy()))


def test_mid_p_by_hand() -> None:
    first = pl.DataFrame({"image_id": [f"a{n}" for n in range(12)], "finding": [True] * 10 + [False] * 2})
    second = pl.DataFrame({"image_id": [f"b{n}" for n in range(12)], "finding": [True] * 2 + [False] * 10})
    law = stats.hypergeom(24, 12, 12)
    found = figure(drift.compare(first, second), "finding")
    assert found["p_value"] == pytest.approx(2 * (law.pmf(0) + law.pmf(1) + law.pmf(2) / 2))


def test_what_is_too_rare_is_not_tested() -> None:
    found = figure(drift.compare(images(100, 1), images(100, 2)), "class_12")
    assert (found["verdict"], found["p_value"], found["q_value"], found["shift"]) == ("too few", None, None, None)


@pytest.mark.parametrize(("count", "verdict"), [(19, "too few"), (20, "none")])
def test_each_set_needs_twenty_images_with_a_value(count: int, verdict: str) -> None:
    first, second = images(100, 1), images(count, 2)
    for pair in ((first, second), (second, first)):
        assert figure(drift.compare(*pair), "picture_mean")["verdict"] == verdict


@pytest.mark.parametrize(("seen", "verdict"), [(9, "too few"), (10, "none"), (90, "none"), (91, "too few")])
def test_five_images_with_and_without_the_finding_have_to_be_expected(seen: int, verdict: str) -> None:
    finding = np.arange(100) < seen
    every = pl.DataFrame({"image_id": [f"i{n}" for n in range(100)], "finding": finding})
    pair = every.gather_every(2), every.gather_every(2, 1)  # 50 images each
    assert figure(drift.compare(*pair), "finding")["verdict"] == verdict


def test_what_is_found_once_among_many_questions_is_no_alarm() -> None:
    """Twenty questions, of which one has a p-value of 0.02, as one in fifty has by chance."""
    alone = tuple(
        pl.DataFrame(
            {"image_id": [f"{name}{n}" for n in range(100)], "finding": [True] * seen + [False] * (100 - seen)}
        )
        for name, seen in (("a", 30), ("b", 15))
    )
    figures = drift.compare(*alone)
    assert figure(figures, "finding")["p_value"] < 0.05
    assert figure(figures, "finding")["verdict"] == "drift"
    same = {f"class_{n}": [True] * 30 + [False] * 70 for n in range(20)}
    figures = drift.compare(*(part.with_columns(pl.DataFrame(same)) for part in alone))
    assert figure(figures, "finding")["q_value"] > 0.05
    assert figure(figures, "finding")["verdict"] == "none"


def test_sets_without_images_or_spread_are_too_few_and_no_error() -> None:
    some = images(30, 1)
    assert set(drift.compare(some, some.clear())["verdict"]) == {"too few"}
    assert drift.compare(some.clear(), some.clear()).is_empty()
    same = some.with_columns(picture_mean=pl.lit(5.0), finding=pl.lit(True))
    for other in (same, same.with_columns(pl.col("image_id") + "b")):
        found = drift.compare(same, other)
        assert figure(found, "picture_mean")["verdict"] == "too few"
        assert figure(found, "finding")["verdict"] == "too few"
    assert drift.permute(same, same.clear(), "x").p_value == 1.0
    assert drift.permute(same, same.clear(), "x", pairs=True).p_value == 1.0


def test_only_what_both_tables_tell_is_compared() -> None:
    figures = drift.compare(images(100, 1).drop("readers", "x"), images(100, 2))
    assert "x" not in figures["summary"]
    assert figures["p_within_readers"].null_count() == figures.height


INJECTED = {
    "boxes_lower": ("y", pl.col("y") + 0.05),
    "pictures_brighter": ("picture_mean", pl.col("picture_mean") * 1.1),
    "class_missed": ("class_3", pl.col("class_3") & (pl.int_range(pl.len()) % 2 == 0)),
}


@pytest.mark.parametrize(("summary", "changed"), INJECTED.values(), ids=INJECTED.keys())
def test_injected_drift_is_found(summary: str, changed: pl.Expr) -> None:
    first, second = images(1000, 1), images(600, 2).with_columns(changed.alias(summary))
    figures = drift.compare(first, second)
    assert figure(figures, summary)["verdict"] == "drift"
    assert drift.permute(first, second, summary, permutations=400).p_value == 1 / 401


def read_by(careful: int, quick: int, seed: int) -> pl.DataFrame:
    """Images of two groups of readers, of whom one calls far more images abnormal."""
    parts = (
        images(careful, seed, readers=("R8+R9+R10",), ill=0.7),
        images(quick, seed + 1, readers=("R1+R2+R3",), ill=0.1),
    )
    return pl.concat(parts)


def test_difference_that_is_the_readers_doing_is_called_so() -> None:
    first, second = read_by(600, 400, 1), read_by(150, 450, 3)
    found = figure(drift.compare(first, second), "finding")
    assert found["verdict"] == "readers"
    assert abs(found["shift_within_readers"]) < abs(found["shift"]) / 4
    assert drift.permute(first, second, "finding", permutations=400).p_value == 1 / 401
    assert drift.permute(first, second, "finding", permutations=400, within_readers=True).p_value > 0.05


def test_drift_beside_a_change_of_readers_is_still_drift() -> None:
    first, second = read_by(600, 400, 1), read_by(150, 450, 3)
    missed = second.with_columns(finding=pl.col("finding") & (pl.int_range(pl.len()) % 3 != 0))
    assert figure(drift.compare(first, missed), "finding")["verdict"] == "drift"
    assert drift.permute(first, missed, "finding", permutations=400, within_readers=True).p_value < 0.01


SHIFTS = {  # of the share of yes among the images of two groups of readers, who read other shares of the two sets
    "it all but vanishes": (0.0, "readers"),
    "less than half is left": (0.07, "readers"),
    "more than half is left": (0.13, "unclear"),
    "it is as large as before": (0.25, "unclear"),
}


@pytest.mark.parametrize(("left", "verdict"), SHIFTS.values(), ids=SHIFTS)
def test_readers_explain_a_shift_that_is_halved_among_their_own_images(left: float, verdict: str) -> None:
    figures = pl.DataFrame(
        {
            "q_value": [0.001],
            "p_value": [0.001],
            "p_shift": [0.001],
            "shift": [-0.2],
            "shift_within_readers": [left],
            "p_within_readers": [0.3],
        }
    )
    assert drift._judge(figures, with_readers=True)["verdict"].to_list() == [verdict]
    assert drift._judge(figures, with_readers=False)["verdict"].to_list() == ["drift"]


def test_sets_that_no_reader_shares_are_unclear() -> None:
    found = drift.compare(images(300, 1, readers=("R1",), ill=0.2), images(300, 2, readers=("R2",), ill=0.6))
    assert figure(found, "finding")["verdict"] == "unclear"
    assert figure(found, "finding")["p_within_readers"] is None


def test_shift_within_readers_equals_mantel_and_haenszel() -> None:
    first, second = read_by(300, 200, 1), read_by(100, 150, 3)
    tables = []
    for readers in ("R8+R9+R10", "R1+R2+R3"):
        parts = [part.filter(pl.col("readers") == readers)["finding"] for part in (second, first)]
        tables.append([[part.sum(), len(part) - part.sum()] for part in parts])
    weights = [sum(a) * sum(b) / (sum(a) + sum(b)) for a, b in tables]
    risks = [a[0] / sum(a) - b[0] / sum(b) for a, b in tables]
    found = figure(drift.compare(first, second), "finding")
    assert found["shift_within_readers"] == pytest.approx(np.average(risks, weights=weights))
    # Cochran, Mantel and Haenszel, without correction.
    observed = sum(a[0] for a, _ in tables)
    rows = [(sum(a), sum(b), a[0] + b[0], a[1] + b[1], sum(a) + sum(b)) for a, b in tables]
    expected = sum(n * yes / total for n, _, yes, _, total in rows)
    variance = sum(n * m * yes * no / total**2 / (total - 1) for n, m, yes, no, total in rows)
    assert found["p_within_readers"] == pytest.approx(stats.chi2.sf((observed - expected) ** 2 / variance, 1))


def test_permutation_of_a_small_table_comes_near_the_exact_p_value() -> None:
    values, chosen = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], (3, 5, 6)
    first = pl.DataFrame({"image_id": ["a", "b", "c", "d"], "x": [1.0, 2.0, 3.0, 5.0]})
    second = pl.DataFrame({"image_id": ["e", "f", "g"], "x": [values[place] for place in chosen]})

    def distance(places: tuple[int, ...]) -> float:
        inside = [values[place] for place in places]
        return stats.ks_2samp(inside, [value for value in values if value not in inside]).statistic

    every = [distance(places) for places in combinations(range(7), 3)]
    exact = np.mean([each >= distance(chosen) - 1e-9 for each in every])
    found = drift.permute(first, second, "x", permutations=20_000)
    assert found.effect == pytest.approx(distance(chosen))
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_permutation_repeats_with_its_seed() -> None:
    first, second = images(60, 1), images(40, 2)
    assert drift.permute(first, second, "x", seed=3) == drift.permute(first, second, "x", seed=3)


def clustered_table(count: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(annotations, images): two groups of readers, boxes of one image near each other, as on real images."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        group = ("R8", "R9", "R10") if rng.random() < 0.4 else ("R1", "R2", "R3")
        if rng.random() > (0.7 if "R8" in group else 0.1):
            rows += [row(f"i{n}", reader, None) for reader in group]
            continue
        x, y = rng.uniform(0.1, 0.6, 2)
        for reader in group:
            for class_id in rng.choice([0, 3, 3, 10, 11, 12], rng.integers(1, 5)):
                dx, dy, side = *rng.normal(0, 0.02, 2), rng.uniform(0.05, 0.3)
                rows.append(row(f"i{n}", reader, int(class_id), (x + dx, y + dy, x + dx + side, y + dy + side)))
    annotations = table(*rows)
    pictures = pl.Series("picture_mean", rng.normal(130, 20, count))
    return annotations, drift.of_annotations(annotations, taxonomies.TWENTY).with_columns(pictures)


def draw(every: pl.DataFrame, sizes: tuple[int, int], rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    order = rng.permutation(every.height)
    return every[order[: sizes[0]]], every[order[sizes[0] : sum(sizes)]]


@pytest.mark.slow
def test_random_splits_alarm_as_often_as_they_should() -> None:
    annotations, every = clustered_table(3000, 1)
    rng = np.random.default_rng(2)
    splits, tests, alarms, any_alarm, pooled = 400, {}, {}, 0, 0
    centres = annotations.drop_nulls("x_min_norm").select("image_id", "x_min_norm")
    for _ in range(splits):
        pair = draw(every, (700, 500), rng)
        figures = drift.compare(*pair)
        for name, p_value in figures.select("summary", "p_value").drop_nulls().iter_rows():
            tests[name] = tests.get(name, 0) + 1
            alarms[name] = alarms.get(name, 0) + (p_value <= 0.05)
        any_alarm += (figures["q_value"] <= drift.FALSE_DISCOVERIES).any()
        boxes = [centres.join(part.select("image_id"), on="image_id", how="semi")["x_min_norm"] for part in pair]
        pooled += stats.ks_2samp(*(part.to_numpy() for part in boxes), method="asymp").pvalue <= 0.05
    assert len(tests) >= 10
    for name, made in tests.items():
        error = np.sqrt(0.05 * 0.95 / made)
        assert 0.03 - 2 * error <= alarms[name] / made <= 0.07 + 2 * error, name
    assert any_alarm / splits <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / splits)
    assert pooled / splits > 0.2  # what the unit is good for


@pytest.mark.slow
@pytest.mark.parametrize("summary", ["x", "boxes", "finding"])
@pytest.mark.parametrize("within_readers", [False, True], ids=["overall", "within_readers"])
def test_permutation_alarms_as_often_as_it_should(summary: str, within_readers: bool) -> None:
    _, every = clustered_table(600, 3)
    rng = np.random.default_rng(4)
    p_values = [
        drift.permute(*draw(every, (250, 200), rng), summary, permutations=199, within_readers=within_readers).p_value
        for _ in range(400)
    ]
    share = np.mean(np.array(p_values) <= 0.05)
    assert abs(share - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / len(p_values))

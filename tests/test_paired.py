"""On images that both sets hold each is compared with itself, and such tests alarm as often as they say."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from radloop.measures import drift
from radloop.measures.paired import Pairs


def asked_twice(count: int, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One detector on the same pictures twice, under two exposures: the answers of an image resemble each other."""
    image = rng.normal(0, 1, count)
    sets = []
    for _ in range(2):
        logit = image + rng.normal(0, 0.7, count)
        finding = logit > 0.3
        sets.append(
            pl.DataFrame(
                {
                    "image_id": [f"i{n}" for n in range(count)],
                    "finding": finding,
                    "class_3": finding & (logit > 1.2),
                    "boxes": np.where(finding, 1.0 + np.clip(np.floor(2 * logit), 0, 4), np.nan),
                    "confidence": np.where(finding, 1 / (1 + np.exp(-logit)), np.nan),
                    "picture_mean": 130 + 20 * image + rng.normal(0, 5, count),
                }
            ).with_columns(pl.col(pl.Float64).fill_nan(None))
        )
    return sets[0], sets[1]


def presence(*answers: tuple[str, bool]) -> pl.DataFrame:
    return pl.DataFrame(answers, schema={"image_id": pl.String, "finding": pl.Boolean}, orient="row")


def figure(figures: pl.DataFrame, summary: str, *, paired: bool = True) -> dict[str, object]:
    return figures.filter(pl.col("summary") == summary, pl.col("paired") == paired).row(0, named=True)


def test_images_of_both_sets_are_tested_in_pairs_and_the_rest_as_independent_sets() -> None:
    first, second = asked_twice(200, np.random.default_rng(1))
    figures = drift.compare(first[:150], second[60:])
    pairs, rest = (figure(figures, "picture_mean", paired=paired) for paired in (True, False))
    assert (pairs["test"], pairs["first_images"], pairs["second_images"]) == ("signed-rank", 90, 90)
    assert (rest["test"], rest["first_images"], rest["second_images"]) == ("distribution", 60, 50)
    assert figure(figures, "finding")["test"] == "mcnemar"


def test_sets_without_a_common_image_have_no_pairs() -> None:
    first, second = asked_twice(100, np.random.default_rng(1))
    assert not drift.compare(first[:50], second[50:])["paired"].any()


def test_second_set_within_the_first_is_tested_in_pairs_alone() -> None:
    first, second = asked_twice(100, np.random.default_rng(1))
    figures = drift.compare(first, second[:40])
    assert figures["paired"].all()
    assert figure(figures, "picture_mean")["first_images"] == 40


def test_mcnemars_mid_p_by_hand() -> None:
    """Of 30 images nine turn to no, two to yes."""
    before = [True] * 15 + [False] * 15
    after = [True] * 6 + [False] * 9 + [True] * 2 + [False] * 13
    sets = (presence(*((f"i{n}", answer) for n, answer in enumerate(answers))) for answers in (before, after))
    found = figure(drift.compare(*sets), "finding")
    law = stats.binom(11, 0.5)
    assert found["p_value"] == pytest.approx(2 * (law.pmf(0) + law.pmf(1) + law.pmf(2) / 2))
    assert found["shift"] == pytest.approx(-7 / 30)
    assert found["changed"] == 11


def test_signed_ranks_equal_scipys() -> None:
    first, second = asked_twice(120, np.random.default_rng(2))
    for name in ("picture_mean", "boxes"):
        pairs = Pairs.of(first, second, name)
        expected = stats.wilcoxon(
            pairs.second, pairs.first, zero_method="pratt", correction=False, method="asymptotic"
        ).pvalue
        assert pairs.p_value() == pytest.approx(expected)
    assert (Pairs.of(first, second, "boxes").first == Pairs.of(first, second, "boxes").second).any()  # unchanged


def test_shift_is_one_where_every_image_grows_and_none_where_none_changes() -> None:
    first, _ = asked_twice(60, np.random.default_rng(3))
    brighter = first.with_columns(pl.col("picture_mean") + 1)
    assert figure(drift.compare(first, brighter), "picture_mean")["shift"] == pytest.approx(1)
    assert figure(drift.compare(brighter, first), "picture_mean")["shift"] == pytest.approx(-1)
    same = drift.compare(first, first)
    assert set(same["p_value"].drop_nulls()) == {1.0}
    assert set(same["shift"].drop_nulls()) == {0.0}
    assert set(same["verdict"]) == {"none"}


def test_change_that_independent_tests_cannot_see_is_found_in_pairs() -> None:
    first, _ = asked_twice(100, np.random.default_rng(4))
    brighter = first.with_columns(pl.col("picture_mean") + 2)
    renamed = brighter.with_columns(pl.col("image_id") + "b")
    assert figure(drift.compare(first, renamed), "picture_mean", paired=False)["verdict"] == "none"
    assert figure(drift.compare(first, brighter), "picture_mean")["verdict"] == "drift"


@pytest.mark.parametrize(("images", "verdict"), [(2, "too few"), (19, "too few"), (20, "none")])
def test_pairs_need_twenty_images(images: int, verdict: str) -> None:
    first, second = asked_twice(20, np.random.default_rng(5))
    assert figure(drift.compare(first, second[:images]), "picture_mean")["verdict"] == verdict


@pytest.mark.parametrize(("seen", "verdict"), [(4, "too few"), (5, "none"), (25, "none"), (26, "too few")])
def test_pairs_need_five_images_with_and_without_the_finding(seen: int, verdict: str) -> None:
    some = presence(*((f"i{n}", n < seen) for n in range(30)))
    assert figure(drift.compare(some, some), "finding")["verdict"] == verdict


def test_exchange_of_answers_comes_near_the_tests_own_p_value() -> None:
    first, second = asked_twice(60, np.random.default_rng(6))
    for name in ("finding", "picture_mean"):
        pairs = Pairs.of(first, second, name)
        permuted = drift.permute(first, second, name, pairs=True, permutations=20_000)
        assert permuted.effect == pytest.approx(abs(pairs.shift))
        if name == "picture_mean":
            assert permuted.p_value == pytest.approx(pairs.p_value(), abs=0.02)
        else:  # the exact p-value counts the observed table whole
            grew, fell = (pairs.second > pairs.first).sum(), (pairs.second < pairs.first).sum()
            assert permuted.p_value == pytest.approx(stats.binomtest(min(grew, fell), grew + fell).pvalue, abs=0.02)


def test_permutation_of_the_rest_leaves_the_common_images_out() -> None:
    first, second = asked_twice(60, np.random.default_rng(7))
    alone = drift.permute(first[:30], second[40:], "picture_mean", permutations=50)
    assert drift.permute(first[:40], second[30:], "picture_mean", permutations=50).permutations == 50
    extra = first[30:40], second[30:40]
    mixed = drift.permute(
        pl.concat([first[:30], extra[0]]), pl.concat([second[40:], extra[1]]), "picture_mean", permutations=50
    )
    assert mixed == alone
    assert drift.permute(first, second, "picture_mean").permutations == 0


@pytest.mark.slow
def test_pairs_without_drift_alarm_in_five_of_a_hundred() -> None:
    rng = np.random.default_rng(8)
    trials, alarms, any_alarm = 600, dict.fromkeys(("finding", "class_3", "boxes", "confidence", "picture_mean"), 0), 0
    for _ in range(trials):
        figures = drift.compare(*asked_twice(150, rng))
        assert figures["paired"].all()
        for name, p_value in figures.select("summary", "p_value").iter_rows():
            alarms[name] += p_value <= 0.05
        any_alarm += bool((figures["q_value"] <= drift.FALSE_DISCOVERIES).any())
    error = np.sqrt(0.05 * 0.95 / trials)
    for name, count in alarms.items():
        assert abs(count / trials - 0.05) <= 3 * error, name
    assert any_alarm / trials <= 0.05 + 3 * error

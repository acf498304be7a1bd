import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from study import figures, loop, orders, page, patients, reading

from radloop.feedback import reading_times
from radloop.sources import synthetic
from radloop.tables import DETECTIONS

ROOT = Path(__file__).parent.parent
IDS = [f"{number:032x}" for number in range(4)]


def predictions(*rows: tuple[int, int, float]) -> pl.DataFrame:
    """DETECTIONS of (image, class, confidence)."""
    return pl.DataFrame(
        [(IDS[image], IDS[image], class_id, confidence, 0.2, 0.2, 0.6, 0.6) for image, class_id, confidence in rows],
        schema=DETECTIONS,
        orient="row",
    )


def cohort(*ill: int) -> patients.Cohort:
    """Four patients; the ill ones have a nodule."""
    truth = pl.DataFrame([(IDS[image], 8, 0.2, 0.2, 0.6, 0.6) for image in ill], schema=patients.TRUTH, orient="row")
    return patients.Cohort(IDS, np.zeros((4, 1, 1), np.uint8), truth, pl.DataFrame())


def seed(**arms: list[tuple[float, float]]) -> dict[str, list[dict[str, object]]]:
    """One seed: of each arm its rounds as minutes and mAP, the same in three draws."""
    return {
        name: [
            {"minutes": minutes, "images": 1, "boxes": np.array([2, 3]), "map": np.full(3, score), "ap": np.zeros(2)}
            for minutes, score in rounds
        ]
        for name, rounds in arms.items()
    }


def test_the_help_needs_no_torch() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "study", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "make study" in told.stdout


def test_the_page_says_what_the_results_say() -> None:
    results = json.loads(page.RESULTS.read_text())
    assert "\n".join([page.BEGIN, *page.table(results), page.END]) in page.PAGE.read_text()
    assert page.FIGURE.read_text() == page.figure(results)


def test_the_area_is_the_mean_gain_over_the_minutes_beside_that_of_random() -> None:
    both = [
        seed(nothing=[(0, 0.1)], random=[(10, 0.12), (20, 0.12)], sure=[(10, 0.14), (20, 0.16)]),
        seed(nothing=[(0, 0.2)], random=[(10, 0.22), (20, 0.22)], sure=[(10, 0.24), (20, 0.26)]),
    ]
    summed = figures.summary(both)
    assert summed["random"]["area"] == [0.015] * 3
    assert summed["sure"]["area"] == [0.035] * 3  # 0.02 in the first ten minutes, 0.05 in the second
    assert summed["sure"]["times_random"] == pytest.approx([2.3333] * 3)
    assert summed["sure"]["area_over"]["random"] == pytest.approx([0.02] * 3)
    assert summed["sure"]["rounds"][0]["boxes"] == 5
    assert "area" not in summed["nothing"]  # nobody spent a minute


def test_a_difference_is_paired_by_seed() -> None:
    """Seeds differ by far more than arms do; the interval of a gain does not know it."""
    apart = [seed(nothing=[(0, base)], random=[(10, base + 0.01)]) for base in (0.1, 0.3, 0.5)]
    assert figures.summary(apart)["random"]["rounds"][0]["gain"] == [0.01] * 3


def test_a_read_takes_the_published_time_on_average() -> None:
    many = [synthetic.image_id(number, seed=1) for number in range(4000)]
    for boxes in (0, 3):
        taken = np.mean([reading.seconds(boxes, image_id, seed=1) for image_id in many])
        assert taken == pytest.approx(reading.mean_seconds(boxes), rel=0.03)
    assert [reading.mean_seconds(boxes) for boxes in (0, 1, 3)] == pytest.approx(reading_times.PUBLISHED)


def test_reading_ends_with_the_minutes_and_goes_on_in_the_next_round() -> None:
    here = cohort(0, 1)
    said = loop.feedback(predictions((0, 8, 0.6), (1, 8, 0.5)), here, 1)
    whole = loop.read(loop.Read(), said.feedback, said, here, until_s=1e6, seed=0)
    assert [one.image_id for one in whole.said] == IDS
    first = loop.read(loop.Read(), said.feedback, said, here, until_s=whole.seconds - 1, seed=0)
    assert len(first.said) == 3
    assert first.seconds < whole.seconds - 1
    rest = said.feedback.filter(~pl.col("image_id").is_in([one.image_id for one in first.said]))
    assert loop.read(first, rest, said, here, until_s=1e6, seed=0).said == whole.said


def test_feedback_that_was_reviewed_outlasts_the_next_round() -> None:
    here = cohort(0)
    old = loop.feedback(predictions((0, 8, 0.6), (1, 3, 0.1)), here, 1)
    done = loop.read(loop.Read(), old.feedback[:1], old, here, until_s=1e6, seed=0)
    both = loop.newest(old, loop.feedback(predictions((0, 8, 0.9), (1, 3, 0.7)), here, 2), done)
    assert sorted(both.feedback["feedback_id"]) == sorted([f"r1-{IDS[0]}", *(f"r2-{one}" for one in IDS[1:])])
    assert sorted(both.detections["confidence"]) == [0.6, 0.7]
    assert both.low.is_empty()


def test_a_boxs_confidence_decides_whether_it_is_shown_or_kept_beside() -> None:
    said = loop.feedback(predictions((0, 8, 0.6), (0, 3, 0.1), (1, 3, 0.2)), cohort(), 1)
    assert said.detections["confidence"].to_list() == [0.6]
    assert said.low["confidence"].to_list() == [0.1, 0.2]
    top = dict(said.feedback.select("image_id", "class_id").iter_rows())
    assert top == {IDS[0]: 8, IDS[1]: None, IDS[2]: None, IDS[3]: None}


def test_an_order_is_the_products_own_and_leaves_out_what_was_read() -> None:
    here = cohort(0)
    said = loop.feedback(predictions((0, 8, 0.9), (1, 8, 0.2), (2, 8, 0.02)), here, 1)
    readings = pl.DataFrame(
        {"image_id": ["a", "b"], "rad_id": ["R1", "R1"], "class_id": [3, None]},
        schema={"image_id": pl.String, "rad_id": pl.String, "class_id": DETECTIONS["class_id"]},
    )
    ordered = orders.waiting("yield", said, readings, [IDS[3]], seed=3)
    assert sorted(ordered["image_id"]) == IDS[:3]
    scores = dict(ordered.select("image_id", "score").iter_rows())
    assert scores[IDS[0]] > scores[IDS[1]] > scores[IDS[2]] == 0  # feedback does not keep a box of 0.02

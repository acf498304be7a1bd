"""How often does `radloop monitor` alarm where nothing changes, and how soon where something does?

    python -m benchmarks.monitor [--years 400] [--weekly-years 20] [--delay-years 50]

Plays years of one hospital as tables: 30 to 60 images a day, fewer and iller patients at weekends; three sites whose
share of the day wanders; patients who come again within weeks, the iller the likelier, and some pictures shown twice;
pictures as the demo draws them, and each site's exposure, how ill the day's patients are and who reads wander from day
to day (autoregressive, 0.5 from one day to the next). Patients have the generated patients' findings, a detector
finds three of four and makes one up now and then, five readers review a fifth of the images and see what VinDr-CXR's
readers see. Beside it, on the same years, today's way: a week against the first four, each Monday, by the Drift page's
tests (`drift.compare`: a false-discovery rate of 5 % a look).
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from multiprocessing import get_context
from typing import Final

import numpy as np
import polars as pl

from radloop import pixels
from radloop.feedback import stream
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.feedback.stream import Watched
from radloop.measures import drift
from radloop.simulation import drifting
from radloop.simulation.drifting import Drift
from radloop.sources import synthetic
from radloop.tables import CLASS_ID, DETECTIONS, EDGES, FEEDBACK, REFUSED_FILES, REVIEW_FINDINGS, REVIEWS
from radloop.vindr.classes import TAXONOMY
from radloop.vindr.habits import SEEN, WRONG

DAYS: Final = 393  # four weeks, then a year
CHANGE: Final = 150  # the day from which on something is different
BEGIN: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)  # a Monday
DAY_SECONDS: Final = 86_400.0
SITES: Final = ("north", "south", "clinic")
READERS: Final = ("R-a", "R-b", "R-c", "R-d", "R-e")
MISSED: Final = 3  # the class of which half is missed
PICTURES: Final = 240
SCENARIOS: Final = ("nothing", "brightness +5 %", "half of a class missed", "other readers")
Floats = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--years", type=int, default=400, help="without a change")
    parser.add_argument("--weekly-years", type=int, default=20, help="of these, also by the week")
    parser.add_argument("--delay-years", type=int, default=50, help="of each change")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with get_context("spawn").Pool(options.jobs) as pool:
        if options.years:
            tell_false(pool.map(of_nothing, range(options.years), chunksize=4))
        for scenario in SCENARIOS[1:] if options.delay_years else ():
            tell_delay(scenario, pool.map(partial(of_change, scenario=scenario), range(options.delay_years)))
        if options.weekly_years:
            tell_weekly(np.array(pool.map(by_the_week, range(options.weekly_years), chunksize=2)))


def of_nothing(seed: int) -> tuple[list[str], int, int]:
    """The figures that alarm in a year without a change, how many were tested, and how many there are."""
    year = watched(play(seed, SCENARIOS[0]))
    alarms = [figure for figure, one in year.items() if one.came.alarm is not None]
    return alarms, sum(one.came.enough for one in year.values()), len(year)


def by_the_week(seed: int) -> int:
    """The weeks with an alarm in a year without a change."""
    return len(weekly_alarms(play(seed, SCENARIOS[0])))


def of_change(seed: int, *, scenario: str) -> tuple[int, int, str] | None:
    """Days and images from the change to the first alarm, and its figure; None: none. An earlier one is day 0."""
    year = play(seed, scenario)
    alarm = first_alarm(watched(year))
    if alarm is None:
        return None
    day, figure = alarm
    return max(0, day - CHANGE + 1), int(((year.day >= CHANGE) & (year.day <= day)).sum()), figure


def tell_false(years: Sequence[tuple[list[str], int, int]]) -> None:
    alarms = np.array([len(figures) for figures, *_ in years])
    which = Counter(figure for figures, *_ in years for figure in figures)
    print(f"{len(years)} years without a change: {np.mean([tested for _, tested, _ in years]):.0f} figures tested")
    print(
        f"  {alarms.mean():.3f} false alarms a year; at most one in {np.mean(alarms <= 1):.2%} of the years, none in "
        f"{np.mean(alarms == 0):.2%}; most often {which.most_common(3)}",
        flush=True,
    )


def tell_weekly(looks: Floats) -> None:
    print(
        f"by the week at 5 %, {len(looks)} years without a change: {looks.mean():.1f} weeks with an alarm a year, "
        f"at most one in {np.mean(looks <= 1):.2%} of the years",
        flush=True,
    )


def tell_delay(scenario: str, found: Sequence[tuple[int, int, str] | None]) -> None:
    after = [one for one in found if one is not None and one[0] > 0]
    days, images = (np.array([one[place] for one in after]) for place in (0, 1))
    figure, times = Counter(figure for *_, figure in after).most_common(1)[0]
    print(
        f"{scenario}: median {np.median(days):.0f} days, {np.median(images):.0f} images (90 % within "
        f"{np.percentile(days, 90):.0f} days); not found in {found.count(None)} of {len(found)} years; first by "
        f"{figure!r} in {times}",
        flush=True,
    )


def first_alarm(year: dict[str, Watched]) -> tuple[int, str] | None:
    """The day of the first alarm of a year, and its figure."""
    start = int(BEGIN.timestamp() // DAY_SECONDS)
    found = [
        (one.came.blocks[one.came.alarm].last - start, figure)
        for figure, one in year.items()
        if one.came.alarm is not None
    ]
    return min(found) if found else None


@dataclass(frozen=True)
class Year:
    """One hospital's feedback and reviews."""

    seen: pl.DataFrame  # `stream.looks`
    records: Records
    said: pl.DataFrame  # `stream.usable`
    reviewed: Reviews
    day: Floats  # of each look


def watched(year: Year, *, rate: int = 1) -> dict[str, Watched]:
    values = pl.concat(
        [
            stream.of_feedback(year.seen, year.records.detections, TAXONOMY),
            stream.of_reviews(year.said, year.reviewed, year.seen, year.records, TAXONOMY),
        ]
    )
    return stream.watch(values, rate=rate, day_seconds=DAY_SECONDS)


def weekly_alarms(year: Year) -> list[int]:
    """The weeks in which the Drift page's tests would say so, against the first four."""

    def part(first: int, last: int) -> pl.DataFrame:
        looked = year.seen.filter(pl.Series((year.day >= first) & (year.day < last)))
        return drift.of_feedback(looked, year.records.detections, TAXONOMY)

    usual = part(0, 28)
    weeks = range(28, DAYS - 6, 7)
    return [week for week in weeks if "drift" in drift.compare(usual, part(week, week + 7))["verdict"]]


@cache
def pictures() -> tuple[Floats, Floats]:
    """Mean, standard deviation and sharpness of generated pictures, and of the same 5 % brighter: [picture, figure]."""
    drawn = [synthetic.picture(synthetic.patient(index, seed=9), side_px=192) for index in range(PICTURES)]
    brighter = Drift("brightness", 0.05 * float(np.mean([one.mean() for one in drawn])) / 255, 1)
    usual, bright = (
        np.array([(one.mean, one.std, one.sharpness) for one in map(pixels.statistics, shown)])
        for shown in (drawn, [drifting.apply(one, (brighter,)) for one in drawn])
    )
    return usual, bright


@cache
def patients() -> Floats:
    """Which classes generated patients have: [patient, class]."""
    has = np.zeros((3_000, len(TAXONOMY)), dtype=bool)
    for index in range(len(has)):
        has[index, synthetic.patient(index, seed=8).classes] = True
    return has


def wander(rng: np.random.Generator, columns: int, scale: float) -> Floats:
    """A stationary course from day to day: [day, column], standard deviation `scale`, 0.5 from one to the next."""
    steps = rng.normal(0, 1, (DAYS, columns))
    for day in range(1, DAYS):
        steps[day] = 0.5 * steps[day - 1] + np.sqrt(0.75) * steps[day]
    return scale * steps


def shares(rng: np.random.Generator, usual: Floats, scale: float) -> Floats:
    """Shares that wander around the usual ones: [day, column]."""
    weights = usual * np.exp(wander(rng, usual.shape[-1], scale))
    return weights / weights.sum(axis=1, keepdims=True)


def choose(rng: np.random.Generator, share: Floats) -> Floats:
    """A column for each row of shares."""
    return (share.cumsum(axis=1) < rng.random((len(share), 1))).sum(axis=1).clip(max=share.shape[1] - 1)


def play(seed: int, scenario: str) -> Year:
    """A year; the same noise in every scenario."""
    rng = np.random.default_rng([71, seed])
    weekend = np.arange(DAYS) % 7 >= 5
    day = np.repeat(np.arange(DAYS), rng.poisson(np.where(weekend, 32, 50)).clip(25, 65))
    changed = day >= CHANGE
    person, image, ill = _who(rng, day, weekend)
    site = choose(rng, shares(rng, np.array([0.5, 0.35, 0.15]), 0.2)[day])
    has = patients()[ill]

    usual, bright = pictures()
    drawn = np.random.default_rng([72, seed]).integers(0, PICTURES, image.max() + 1)[image]
    gray = np.where((changed & (scenario == "brightness +5 %"))[:, None], bright[drawn], usual[drawn]).copy()
    exposure = wander(rng, len(SITES), 0.005)[day, site] + np.array([0, 0.02, -0.03])[site]
    gray[:, :2] *= 1 + exposure[:, None]

    found = (has & (rng.random(has.shape) < 0.75)) | (rng.random(has.shape) < 0.01)
    lost = rng.random(len(day)) < 0.5
    if scenario == "half of a class missed":
        found[changed & lost, MISSED] = False
    seen, detections = _feedback(rng, day, person, image, site, gray, found)
    mix = np.array([0.35, 0.25, 0.2, 0.1, 0.1])
    before, after = shares(rng, mix, 0.3), shares(rng, mix[::-1], 0.3)
    of_day = np.where((np.arange(DAYS) >= CHANGE)[:, None] & (scenario == "other readers"), after, before)
    records = Records(seen, detections, REFUSED_FILES.to_frame())
    return Year(seen, records, *_reviews(rng, seen, day, has, found, choose(rng, of_day[day])), day)


def _who(rng: np.random.Generator, day: Floats, weekend: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each look the patient, the image, and which generated patient they are like."""
    count = len(day)
    kinds = patients()
    with_finding = kinds.any(axis=1)
    share = np.clip(with_finding.mean() * np.exp(wander(rng, 1, 0.08)[:, 0]) * np.where(weekend, 1.15, 1), 0, 1)
    is_ill = rng.random(count) < share[day]
    like = np.where(
        is_ill,
        rng.choice(np.flatnonzero(with_finding), count),
        rng.choice(np.flatnonzero(~with_finding), count),
    )
    person, image = np.arange(count), np.arange(count)
    back = rng.geometric(1 / 400, count)  # looks ago: mostly within two weeks
    again, same = rng.random(count), rng.random(count) < 0.1
    for look in range(count):
        before = look - back[look]
        if before >= 0 and again[look] < (0.35 if with_finding[like[before]] else 0.12):
            person[look], like[look] = person[before], like[before]
            image[look] = image[before] if same[look] else look
    return person, image, like


def _times(day: Floats) -> pl.Series:
    place = np.arange(len(day)) - np.searchsorted(day, day)
    return pl.Series([BEGIN + timedelta(days=int(one), minutes=int(at)) for one, at in zip(day, place, strict=True)])


def _feedback(
    rng: np.random.Generator, day: Floats, person: Floats, image: Floats, site: Floats, gray: Floats, found: Floats
) -> tuple[pl.DataFrame, pl.DataFrame]:
    ids = [f"f{look:06}" for look in range(len(day))]
    names = [f"i{one:06}" for one in image]
    table = pl.DataFrame(
        {
            "feedback_id": ids,
            "image_id": names,
            "timestamp": _times(day).cast(FEEDBACK["timestamp"]),
            "image_md5": names,
            **dict(zip(("mean", "std", "sharpness"), gray.T, strict=True)),
            "site": [SITES[one] for one in site],
            "model": "played",
        }
    ).match_to_schema(FEEDBACK, missing_columns="insert")
    seen = table.with_columns(group=pl.Series([f"p{one:06}" for one in person]), name=pl.lit("played"))
    looks, classes = np.nonzero(found)
    edges = _edges(classes)
    detections = pl.DataFrame(
        {
            "feedback_id": np.array(ids)[looks],
            "image_id": np.array(names)[looks],
            "class_id": pl.Series(classes, dtype=CLASS_ID),
            "confidence": rng.beta(6, 2, len(looks)).clip(0.26),
            **edges,
        },
        schema=DETECTIONS,
    )
    return seen, detections


def _edges(classes: Floats) -> dict[str, Floats]:
    """A box for each class, always the same: who sees a class sees it there."""
    left = 0.05 + 0.06 * classes
    return dict(zip(EDGES, (left, left, left + 0.05, left + 0.05), strict=True))


def _reviews(
    rng: np.random.Generator, seen: pl.DataFrame, day: Floats, has: Floats, found: Floats, reader: Floats
) -> tuple[pl.DataFrame, Reviews]:
    """A fifth of the images, read the next morning; readers go by what they see, and for half by what was shown."""
    chosen = np.flatnonzero(rng.random(len(day)) < 0.2)
    who = reader[chosen]
    sees = rng.random((len(chosen), len(TAXONOMY))) < SEEN[who % len(SEEN)]
    invents = rng.random(sees.shape) < WRONG[who % len(WRONG)] * np.where(who >= len(WRONG), 1.0, 0.3)[:, None]
    own = (has[chosen] & sees) | invents
    follows = rng.random(own.shape) < 0.5
    drawn = np.where(follows, found[chosen], own)
    looked = seen[chosen]
    files = [f"r{place:06}" for place in range(len(chosen))]
    said = pl.DataFrame(
        {
            "review_id": files,
            "feedback_id": looked["feedback_id"],
            "image_id": looked["image_id"],
            "reviewer": [READERS[one] for one in who],
            "verdict": np.where(drawn.any(axis=1), "correct", "normal"),
            "timestamp": looked["timestamp"] + timedelta(days=1),
            "adjudicates": False,
            "simulated": False,
            "file": files,
        }
    ).match_to_schema(REVIEWS, missing_columns="insert", integer_cast="upcast")
    rows, classes = np.nonzero(drawn)
    findings = pl.DataFrame(
        {"file": np.array(files)[rows], "class_id": pl.Series(classes, dtype=CLASS_ID), **_edges(classes)},
        schema=REVIEW_FINDINGS,
    )
    said = said.sort("timestamp", "review_id")
    return said, Reviews(said, findings, REFUSED_FILES.to_frame())


if __name__ == "__main__":
    main()

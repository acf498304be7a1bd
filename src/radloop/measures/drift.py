"""Do two sets of images differ: two splits, or two time windows of feedback?

The unit is the image. The boxes of one image resemble each other, and a test that takes them one by one alarms in
half of all random splits without any drift; so each image is summarised to one number, or yes or no, per question.
Images that both sets hold are compared each with itself (`paired`), the others as independent sets.
docs/measures.md tells which test is made when, and how often each alarms where there is nothing to find.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from radloop.measures import paired
from radloop.measures.paired import Pairs
from radloop.taxonomy import Taxonomy

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Test = Literal["distribution", "rank", "presence"]  # of independent sets
Sets = tuple[pl.DataFrame, pl.DataFrame]

FALSE_DISCOVERIES: Final = 0.05
LEAST_IMAGES: Final = 20  # with a value, in each set
LEAST_EXPECTED: Final = 5  # images with and without the finding in the smaller set (Cochran 1954)
DETECTABLE: Final = 2.8  # standard errors: two-sided 5 %, found in 80 % of the cases
MOST_REPEATED: Final = 0.1  # share of values that repeat another, above which ranks are compared
_CHUNK: Final = 4_000_000  # labels shuffled at once


def of_annotations(annotations: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """One row per image of the annotations table: what its readers together said of it.

    image_id, readers ("R8+R9+R10": who read it), split where the table has one; finding, class_0 … class_{n-1}
    (whether any reader saw it); boxes (per reader), x, y (the mean centre of its boxes, as fractions of the
    picture) and area (their mean share of it), all four null where there is no box.
    """
    kept = ["image_id", *(name for name in ("split",) if name in annotations.columns)]
    images = annotations.group_by(kept).agg(
        readers=pl.col("rad_id").unique().sort().str.join("+"), reader_count=pl.col("rad_id").n_unique()
    )
    summarised = _summarise(images, annotations.filter(pl.col("class_id").is_not_null()), classes)
    return summarised.with_columns(pl.col("boxes") / pl.col("reader_count")).drop("reader_count")


def of_feedback(feedback: pl.DataFrame, detections: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """One row per image of the FEEDBACK and DETECTIONS tables: what the model said, and the picture.

    The columns of `of_annotations` but readers and split, and confidence (the mean of the detections; null without
    any), picture_mean, picture_std, picture_sharpness (null where the feedback does not tell). Of several predictions
    on one image the middle one in time counts: asked twice, it is one image still, no likelier to show a finding; and
    what changed at an end of a window does not stand for all of it.
    """
    needed = feedback.select("feedback_id", "image_id", "timestamp", "mean", "std", "sharpness")
    by_time = needed.sort("timestamp", "feedback_id")
    place, last = pl.int_range(pl.len()).over("image_id"), pl.len().over("image_id") - 1
    middle = by_time.filter(place == last // 2)
    images = middle.select("image_id", picture_mean="mean", picture_std="std", picture_sharpness="sharpness")
    boxes = detections.join(middle.select("feedback_id"), on="feedback_id", how="semi")
    confidence = boxes.group_by("image_id").agg(confidence=pl.col("confidence").mean())
    return _summarise(images, boxes, classes).join(confidence, on="image_id", how="left")


def shared(first: pl.DataFrame, second: pl.DataFrame) -> Sets:
    """The images that both tables hold, each table's own rows in one order."""
    return (
        first.join(second, on="image_id", how="semi").sort("image_id"),
        second.join(first, on="image_id", how="semi").sort("image_id"),
    )


def apart(first: pl.DataFrame, second: pl.DataFrame) -> Sets:
    """The images that only one of the tables holds."""
    return first.join(second, on="image_id", how="anti"), second.join(first, on="image_id", how="anti")


def compare(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Every question that both tables of images (`of_annotations`, `of_feedback`) answer, tested at once.

    Images that both tables hold are tested in pairs (rows with paired true), the rest as independent sets (rows with
    paired false, unless one of the tables has no rest). One row per question and kind: summary, paired, test,
    first_images, second_images (with an answer; in pairs, with one in both), changed (in pairs, images with another
    answer in the second), first, second (the median, or the share of yes); shift, second against first in [-1, 1]
    (Cliff's delta, or the difference of the shares; in pairs `Pairs.shift`); detectable (the shift that p <= 0.05 finds
    in four of five cases); distance (Kolmogorov-Smirnov's D, for the test "distribution"); p_value, q_value (Benjamini
    and Hochberg 1995, over all rows with a p-value); shift_within_readers and p_within_readers (among images that the
    same readers read; null without readers and in pairs); verdict.

    verdict: "drift"; "readers" (alarms, but hardly moves and not significantly among images that the same readers
    read); "unclear" (alarms, and too few images have the same readers to say why); "none"; "too few" to test.
    """
    twice, rest = shared(first, second), apart(first, second)
    readers = None
    rows: list[tuple[object, ...]] = []
    if twice[0].height:
        rows += [_test_pairs(name, Pairs.of(*twice, name)) for name in _questions(*twice)]
    if not twice[0].height or min(part.height for part in rest):
        both = _together(*rest)
        readers = _readers(both) if "readers" in first.columns and "readers" in second.columns else None
        rows += [_test(_question(both, name), readers) for name in _questions(*rest)]
    figures = pl.DataFrame(
        rows,
        schema={
            "summary": pl.String,
            "paired": pl.Boolean,
            "test": pl.String,
            "first_images": pl.Int64,
            "second_images": pl.Int64,
            "changed": pl.Int64,
            **dict.fromkeys(("first", "second", "shift", "detectable", "distance", "p_value"), pl.Float64),
            **dict.fromkeys(("p_shift", "shift_within_readers", "p_within_readers"), pl.Float64),
        },
        orient="row",
    )
    return _judge(_adjust(figures), with_readers=readers is not None)


@dataclass(frozen=True)
class Permuted:
    """What a permutation test found."""

    effect: float  # distance, or the size of the shift, as `compare` has them; within readers where so asked
    p_value: float
    permutations: int


def permute(
    first: pl.DataFrame,
    second: pl.DataFrame,
    summary: str,
    *,
    pairs: bool = False,
    within_readers: bool = False,
    permutations: int = 2000,
    seed: int = 0,
) -> Permuted:
    """Test one question by moving whole images between the two sets at random; exact whatever the distribution.

    Only images that one set alone holds take part; with `pairs` only those that both hold, whose two answers are
    exchanged. `within_readers` moves an image only in exchange for one that the same readers read, and takes only
    differences among those into account: what remains is not the readers' doing. The p-value counts the observed
    arrangement as one of the permutations (Phipson and Smyth 2010) and is never 0; it is 1 where nothing can be
    exchanged.
    """
    rng = np.random.default_rng(seed)
    if pairs:
        answers = Pairs.of(first, second, summary)
        p_value = answers.permuted(permutations, rng) if len(answers.first) else 1.0
        return Permuted(abs(answers.shift), p_value, permutations if len(answers.first) else 0)
    both = _together(*apart(first, second))
    question = _question(both, summary)
    strata = _Strata.of(question, _readers(both) if within_readers else None)
    if strata.exchangeable == 0:
        return Permuted(0.0, 1.0, 0)

    # Sorted by value, the running sum of the centred labels is the difference of the two distributions.
    order = np.argsort(question.values, kind="stable")
    values, stratum, share = question.values[order], strata.stratum[order], strata.share[order]
    last_of_ties = np.append(values[1:] != values[:-1], True)
    scores = question.scores()[order]

    def effect(labels: Bools) -> Floats:
        centred = labels - share
        if question.test == "distribution":
            steps = np.abs(np.cumsum(centred, axis=1)[:, last_of_ties]).max(axis=1)
            return np.asarray(steps / strata.exchangeable)
        return np.asarray(np.abs(centred @ scores) / strata.exchangeable)

    observed = effect(question.second[order][np.newaxis])[0]
    at_least = 0
    for start in range(0, permutations, max(_CHUNK // len(values), 1)):
        rows = min(max(_CHUNK // len(values), 1), permutations - start)
        drawn = effect(_shuffled(question.second[order], stratum, rows, rng))
        at_least += int((drawn >= observed * (1 - 1e-12)).sum())
    return Permuted(float(observed), (1 + at_least) / (1 + permutations), permutations)


@dataclass(frozen=True)
class _Question:
    """One summary of the images that have it."""

    name: str
    test: Test
    values: Floats
    second: Bools  # whether the image belongs to the second set
    answered: Bools  # which of all images these are

    def scores(self) -> Floats:
        """What is averaged, so that the difference of the means is Cliff's delta, or that of the shares."""
        if self.test == "presence":
            return self.values
        return np.asarray(2 * stats.rankdata(self.values) / max(len(self.values), 1))


@dataclass(frozen=True)
class _Strata:
    """Images that may be exchanged for each other."""

    stratum: Ints
    share: Floats  # of each image, the share of its stratum that lies in the second set
    exchangeable: float  # sum over strata of a b / (a + b): 0 where no stratum lies in both sets

    @classmethod
    def of(cls, question: _Question, readers: Ints | None) -> "_Strata":
        stratum = np.zeros(len(question.values), np.int64) if readers is None else readers[question.answered]
        images = np.bincount(stratum)
        inside = np.bincount(stratum, question.second, minlength=len(images))
        share = np.divide(inside, images, out=np.zeros(len(images)), where=images > 0)
        return cls(stratum, share[stratum], float((share * (1 - share) * images).sum()))

    def shift(self, question: _Question) -> tuple[float, float, float]:
        """Mean difference within the strata (Mantel-Haenszel weights), its two-sided p-value, its standard error.

        NaN without any difference. The standard error is that where there is none but by chance.

        The p-value is the normal approximation to permuting within the strata: with one stratum Mann-Whitney's
        test with ties, with several van Elteren's (1960) with pooled ranks, or Cochran-Mantel-Haenszel's.
        """
        scores = question.scores()
        total = float(((question.second - self.share) * scores).sum())
        images = np.bincount(self.stratum)
        mean = np.bincount(self.stratum, scores) / np.maximum(images, 1)
        spread = np.bincount(self.stratum, (scores - mean[self.stratum]) ** 2)
        share = np.bincount(self.stratum, self.share) / np.maximum(images, 1)
        variance = float((share * (1 - share) * images / np.maximum(images - 1, 1) * spread).sum())
        if variance <= 0:
            return float("nan"), float("nan"), float("nan")
        error = float(np.sqrt(variance))
        return total / self.exchangeable, float(2 * stats.norm.sf(abs(total) / error)), error / self.exchangeable


def _summarise(images: pl.DataFrame, boxes: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """Add what the boxes of each image say; `boxes` is their number."""
    middle = [((pl.col(f"{axis}_min_norm") + pl.col(f"{axis}_max_norm")) / 2).mean().alias(axis) for axis in "xy"]
    sides = [pl.col(f"{axis}_max_norm") - pl.col(f"{axis}_min_norm") for axis in "xy"]
    seen = [(pl.col("class_id") == class_id).any().alias(f"class_{class_id}") for class_id in range(len(classes))]
    said = boxes.group_by("image_id").agg(
        pl.lit(True).alias("finding"), *seen, pl.len().cast(pl.Float64).alias("boxes"), *middle,
        (sides[0] * sides[1]).mean().alias("area"),
    )  # fmt: skip
    return (
        images.join(said, on="image_id", how="left").with_columns(pl.col(pl.Boolean).fill_null(False)).sort("image_id")
    )


def _together(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([first.with_columns(second=False), second.with_columns(second=True)], how="diagonal")


def _readers(both: pl.DataFrame) -> Ints:
    """A number for each group of readers."""
    return both["readers"].rank("dense").to_numpy().astype(np.int64)


def _questions(first: pl.DataFrame, second: pl.DataFrame) -> list[str]:
    """The columns of both that hold an answer in either."""
    return [
        name
        for name, kind in first.schema.items()
        if name in second.columns and kind in (pl.Boolean, pl.Float64)
        and first[name].count() + second[name].count() > 0
    ]  # fmt: skip


def _question(both: pl.DataFrame, name: str) -> _Question:
    answered = both[name].is_not_null().to_numpy()
    column = both[name].drop_nulls()
    values = column.cast(pl.Float64).to_numpy()
    test: Test = "presence" if column.dtype == pl.Boolean else "distribution"
    if test == "distribution" and column.n_unique() < (1 - MOST_REPEATED) * len(column):
        test = "rank"
    return _Question(name, test, values, both["second"].to_numpy()[answered], answered)


def _test_pairs(name: str, pairs: Pairs) -> tuple[object, ...]:
    """The row of one question on the images of both sets, verdict and q-value excepted."""
    images, middle = len(pairs.first), np.mean if pairs.presence else np.median
    first, second = (float(middle(part)) if images else None for part in (pairs.first, pairs.second))
    head = (name, True, pairs.test, images, images, int((pairs.first != pairs.second).sum()), first, second)
    if not pairs.enough(LEAST_IMAGES):
        return (*head, *[None] * 7)
    # Fewer than five images that change their answer cannot alarm, however few change by chance.
    detectable = max(DETECTABLE * pairs.spread, paired.LEAST_CHANGEABLE / images)
    return (*head, pairs.shift, min(1.0, detectable), None, pairs.p_value(), None, None, None)


def _test(question: _Question, readers: Ints | None) -> tuple[object, ...]:
    """The row of one question, verdict and q-value excepted."""
    parts = question.values[~question.second], question.values[question.second]
    middle = np.mean if question.test == "presence" else np.median
    first, second = (float(middle(part)) if len(part) else None for part in parts)
    head = (question.name, False, question.test, len(parts[0]), len(parts[1]), None, first, second)
    if not _enough(question):
        return (*head, *[None] * 7)

    shift, p_shift, spread = _Strata.of(question, None).shift(question)
    distance, p_value = None, p_shift
    if question.test == "distribution":
        distance, p_value = stats.ks_2samp(*parts, method="asymp")
    elif question.test == "presence":
        p_value = _mid_p(question)
    within = (None, None) if readers is None else _Strata.of(question, readers).shift(question)[:2]
    return (*head, shift, min(1.0, DETECTABLE * spread), distance, p_value, p_shift, *within)


def _enough(question: _Question) -> bool:
    sizes = int((~question.second).sum()), int(question.second.sum())
    if question.test != "presence":
        return min(sizes) >= LEAST_IMAGES and bool(np.ptp(question.values) > 0)
    rarer = min(question.values.sum(), (1 - question.values).sum())
    return bool(min(sizes) * rarer >= LEAST_EXPECTED * sum(sizes))


def _mid_p(question: _Question) -> float:
    """Fisher's exact test with the observed table counted half (Lancaster 1961), twice the smaller tail.

    Fisher's own p-value alarms far too seldom where a class is rare.
    """
    images, yes, drawn = len(question.values), int(question.values.sum()), int(question.second.sum())
    seen = int(question.values[question.second].sum())
    law = stats.hypergeom(images, yes, drawn)
    half = law.pmf(seen) / 2
    return float(min(1.0, 2 * min(law.cdf(seen - 1) + half, law.sf(seen) + half)))


def _adjust(figures: pl.DataFrame) -> pl.DataFrame:
    """Add the q-values, and null for what has no meaning."""
    figures = figures.with_columns(pl.col(pl.Float64).fill_nan(None))
    tested = figures["p_value"].is_not_null().to_numpy()
    q_value = np.full(figures.height, np.nan)
    if tested.any():
        q_value[tested] = stats.false_discovery_control(figures["p_value"].drop_nulls().to_numpy())
    at = figures.get_column_index("p_value") + 1
    return figures.insert_column(at, pl.Series("q_value", q_value).fill_nan(None))


def _judge(figures: pl.DataFrame, *, with_readers: bool) -> pl.DataFrame:
    alarm = pl.col("q_value") <= FALSE_DISCOVERIES
    # The readers can only explain a shift; a difference in shape alone stays a drift.
    shifted = pl.col("p_shift") <= FALSE_DISCOVERIES
    shifted_within = pl.col("p_within_readers").fill_null(1) <= FALSE_DISCOVERIES
    doubtful = pl.lit(with_readers) & shifted & ~shifted_within
    vanishes = pl.col("shift_within_readers").abs() <= pl.col("shift").abs() / 2
    verdict = (
        pl.when(pl.col("p_value").is_null())
        .then(pl.lit("too few"))
        .when(~alarm)
        .then(pl.lit("none"))
        .when(doubtful & vanishes)
        .then(pl.lit("readers"))
        .when(doubtful)
        .then(pl.lit("unclear"))
        .otherwise(pl.lit("drift"))
    )
    return figures.with_columns(verdict=verdict).drop("p_shift")


def _shuffled(second: Bools, stratum: Ints, rows: int, rng: np.random.Generator) -> Bools:
    """The labels, shuffled within each stratum anew in each row: [row, image].

    One sort does it: of whole numbers made of the stratum, then random bits, then the label.
    """
    by_stratum = np.argsort(stratum, kind="stable")
    keys = rng.integers(0, 1 << 40, size=(rows, len(second)), dtype=np.int64) << 1
    keys |= (stratum[by_stratum] << 41) | second[by_stratum]
    keys.sort(axis=1)
    labels = np.empty(keys.shape, dtype=bool)
    labels[:, by_stratum] = keys & 1
    return labels

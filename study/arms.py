"""The arms of the study, and one seed of each: three rounds from the same base model with equal training steps."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from study import loop, model, net, orders, patients
from study.patients import Cohort

from radloop.catalog import proven
from radloop.catalog.rule import Rule
from radloop.feedback.rows import Records
from radloop.measures import evaluation
from radloop.tables import EDGES
from radloop.vindr.classes import TAXONOMY
from radloop.words import Order

REVIEWED: Final = Rule(require_review=True)


@dataclass(frozen=True)
class Arm:
    """A way to get labels: in which order a radiologist looks, and what is taken unseen."""

    name: str
    says: str
    order: Order | None = None  # of the worklist; None: nobody looks
    rule: Rule = REVIEWED


ABOVE: Final = Rule(min_confidence=0.9, doubtful=0.9)
PROVEN: Final = Rule(policy="calibrated", precision=0.6)  # of 200 patients none proves 0.9, the default
ARMS: Final = (
    Arm("nothing", "no new label"),
    Arm("above", "all boxes above 0.9, the description's rule", rule=ABOVE),
    Arm("today", "`radloop retrain` without a flag", rule=Rule()),
    Arm("calibrated", "`radloop retrain --policy calibrated --precision 0.6`", rule=PROVEN),
    Arm("random", "reviews, `--order random`", order="random"),
    Arm("queue", "reviews, `--order queue`", order="queue"),
    Arm("yield", "reviews, `--order yield`", order="yield"),
    Arm("queue+calibrated", "reviews as *queue*, *calibrated* for what nobody has read", order="queue", rule=PROVEN),
    Arm("consensus", "three readers' consensus on every image, the ceiling"),
)


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    labelled: int = 300
    validation: int = 200
    streamed: int = 2000
    test: int = 1000
    rounds: int = 3
    minutes: float = 60.0  # of a radiologist, a round
    pretraining: int = 2000  # pictures with stamps
    pretraining_steps: int = 1200
    base_steps: int = 300
    steps: int = 200  # of every arm, every round
    draws: int = 400


QUICK: Final = Sizes(
    100, 60, 200, 150, rounds=2, minutes=10.0, pretraining=300, pretraining_steps=60, base_steps=40, steps=30, draws=50
)
TEST_SEED: Final = 900_001


@dataclass
class Seed:
    """What all arms of one seed share."""

    number: int
    sizes: Sizes
    test: Cohort
    labelled: Cohort
    validation: Cohort
    stream: Cohort
    base: net.Detector
    labels: pl.DataFrame  # of the labelled
    first: model.Model = field(init=False)

    def __post_init__(self) -> None:
        self.first = model.calibrated(self.base, self.validation)

    def learned(self, added: pl.DataFrame) -> model.Model:
        """A model that started from the base and learned its labels and those added (class_id null: nothing there)."""
        ids = set(added["image_id"])
        chosen = [number for number, image_id in enumerate(self.stream.ids) if image_id in ids]
        cohort = Cohort(
            self.labelled.ids + [self.stream.ids[number] for number in chosen],
            np.concatenate([self.labelled.pictures, self.stream.pictures[chosen]]),
            self.labelled.truth,
            self.labelled.readings,
        )
        boxes = (
            added.filter(pl.col("class_id").is_not_null()).select(self.labels.columns).cast(dict(self.labels.schema))
        )
        trained = model.train(
            cohort,
            pl.concat([self.labels, boxes]),
            self.base,
            steps=self.sizes.steps,
            rate=net.RATE / 2,
            seed=self.number,
        )
        return model.calibrated(trained, self.validation)

    def score(self, trained: model.Model) -> dict[str, Any]:
        """mAP in each draw of patients (draw 0: the figure), and the average precision of each class."""
        drawn = evaluation.DrawnPrecision.of(
            trained.predict(self.test), self.test.truth, self.test.images, TAXONOMY, resamples=self.sizes.draws
        )
        return {"map": drawn.ap[-1], "ap": drawn.ap[:-1, 0]}


def play(arm: Arm, seed: Seed) -> list[dict[str, Any]]:
    """The rounds of one arm: minutes spent, images and boxes added, and the score of the model."""
    if arm.name == "nothing":
        return [_told(0.0, _no_labels(seed), seed.score(seed.learned(_no_labels(seed))))]
    if arm.name == "consensus":
        agreed = _with_normals(seed.stream)
        return [_told(float("nan"), agreed, seed.score(seed.learned(agreed)))]
    rounds, trained, read = [], seed.first, loop.Read()
    said: Records | None = None
    added = _no_labels(seed)
    for number in range(1, seed.sizes.rounds + 1):
        new = loop.feedback(trained.predict(seed.stream), seed.stream, number)
        said = new if said is None else loop.newest(said, new, read)
        if arm.order is not None:
            read_before = [one.image_id for one in read.said]
            worklist = orders.waiting(arm.order, said, _readings(seed, added), read_before, seed=seed.number)
            until = number * seed.sizes.minutes * 60
            read = loop.read(read, worklist, said, seed.stream, until_s=until, seed=seed.number)
        rule = proven.by(arm.rule, *loop.shown(trained.predict(seed.validation), seed.validation, number))
        added = loop.labels(said, seed.stream, read.tables(), rule)
        trained = seed.learned(added)
        rounds.append(_told(read.seconds / 60, added, seed.score(trained)))
    return rounds


def _told(minutes: float, added: pl.DataFrame, score: dict[str, Any]) -> dict[str, Any]:
    boxes = added.filter(pl.col("class_id").is_not_null())
    of_class = np.bincount(boxes["class_id"].to_numpy().astype(np.int64), minlength=len(TAXONOMY))
    return {"minutes": minutes, "images": added["image_id"].n_unique(), "boxes": of_class, **score}


def _readings(seed: Seed, added: pl.DataFrame) -> pl.DataFrame:
    """What was read of the images that the last model has learned from."""
    own = seed.labelled.readings.select("image_id", "rad_id", "class_id")
    reviewed = added.select("image_id", "class_id", rad_id=pl.lit("reviewer")).select(own.columns)
    return pl.concat([own, reviewed.cast(dict(own.schema))])


def _no_labels(seed: Seed) -> pl.DataFrame:
    return seed.labels.clear()


def _with_normals(cohort: Cohort) -> pl.DataFrame:
    """The consensus on every image; a row without class where there is nothing."""
    agreed = _weighed(cohort.consensus())
    normal = cohort.images.join(agreed, on="image_id", how="anti").select("image_id")
    return pl.concat([agreed, normal], how="diagonal")


def _weighed(truth: pl.DataFrame) -> pl.DataFrame:
    return truth.select("image_id", "class_id", *EDGES, weight=pl.lit(1.0), ignore=pl.lit(value=False))


def prepare(number: int, sizes: Sizes, pretrained: dict[str, Any]) -> Seed:
    """The patients of a seed and the model that all of its arms start from."""
    everybody = patients.cohort(sizes.labelled + sizes.validation + sizes.streamed, seed=number)
    ends = np.cumsum([0, sizes.labelled, sizes.validation, sizes.streamed]).tolist()
    labelled, validation, stream = (everybody.part(*ends[at : at + 2]) for at in range(3))
    labels = _weighed(labelled.consensus())
    base = model.train(
        labelled, labels, net.started(pretrained, seed=number), steps=sizes.base_steps, rate=net.RATE, seed=number
    )
    return Seed(number, sizes, patients.cohort(sizes.test, seed=TEST_SEED), labelled, validation, stream, base, labels)

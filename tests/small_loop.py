"""A whole loop in one folder, as `radloop` leaves it: dataset, feedback with its log, simulated reviews, a round."""

from pathlib import Path

import made_up
from radloop.catalog.classes import Wishes
from radloop.dashboard.inputs import Inputs
from radloop.dataset.splits import SplitSizes
from radloop.pipelines import offline, online, retraining, reviewing
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR

SIZES = SplitSizes.parse("training=12,validation=4,test=8,staging=4,canary=4,production=8")


def run(out: Path, classes: Taxonomy = VINDR) -> Inputs:
    """Make it, and say where its parts lie."""
    films = made_up.films(out / "films", classes=classes)
    store = str(out / "store")
    transforming = {"sizes": SIZES, "wishes": Wishes(declared=classes)}
    offline.etl(str(films), out, store, extracting={}, transforming=transforming)
    online.simulate(out, store, detector="oracle:0.5", load_pattern="1,1", stage_seconds=0.2, drift="brightness:0.3@2")
    parts = {"feedback": out / "feedback", "dataset": out / "organized", "reviewed": out / "reviews"}
    reviewing.simulate(out, **parts)
    retraining.retrain(out, store, **parts)
    for review in sorted((out / "reviews").iterdir())[:3]:
        review.unlink()  # so that something is left to review
    return Inputs(
        dataset=out / "organized",
        feedback=out / "feedback",
        reviews=out / "reviews",
        retrain=out / "organized" / "retrain" / "retrain.csv",
        log=out / "logs" / "online_data.log",
    )

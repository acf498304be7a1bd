"""A whole loop in one folder, as `radloop` leaves it: dataset, feedback with its log, simulated reviews, a round."""

from pathlib import Path

import made_up
import taxonomies
from radloop.options import Dashboard, Etl, Retrain, Review, Simulate
from radloop.pipelines import offline, online, retraining, reviewing
from radloop.split_sizes import SplitSizes
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR

SIZES = SplitSizes.parse("training=12,validation=4,test=8,staging=4,canary=4,production=8")


def run(out: Path, classes: Taxonomy = VINDR) -> Dashboard:
    """Make it, and say where its parts lie."""
    films = made_up.films(out / "films", classes=classes)
    offline.etl(Etl(out=out, source=str(films), sizes=SIZES, classes=taxonomies.named(classes, films)))
    online.simulate(
        Simulate(
            out=out, detector="oracle:0.5", load_pattern="1,1", stage_seconds=0.2, drift="brightness:0.3@2", jobs=1
        )
    )
    reviewing.simulate(Review(out=out, simulated=True))
    retraining.retrain(Retrain(out=out))
    for review in sorted((out / "reviews").glob("*.json"))[:3]:
        review.unlink()  # so that something is left to review
    return Dashboard(
        out=out,
        dataset=out / "organized",
        feedback=out / "feedback",
        reviews=out / "reviews",
        retrain=out / "organized" / "retrain" / "retrain.csv",
        log=out / "logs" / "online_data.log",
    )

"""How labels are made of readings."""

import polars as pl

from radloop.dataset import labelling
from radloop.dataset.labelling import Labelling
from radloop.tables import ASSIGNMENT, FINDINGS

HEART = (0.3, 0.5, 0.7, 0.9)
LINE = "3 0.500000 0.700000 0.400000 0.400000\n"
NOTHING_LOST = pl.DataFrame(schema={"image_id": pl.String, "rad_id": pl.String})
READ = pl.DataFrame(
    [("a", "R1", 3, *HEART, 9, 9), ("a", "R2", None, None, None, None, None, 9, 9), ("b", "R1", 3, *HEART, 9, 9)],
    schema=FINDINGS,
    orient="row",
)
PLACES = pl.DataFrame([("a", "a", "training"), ("b", "b", "test")], schema=ASSIGNMENT, orient="row")


def made(**wishes: object) -> list[tuple]:
    labels, _ = labelling.labels(READ, PLACES, Labelling(**wishes), NOTHING_LOST)
    return labels.select("folder", "stem", "rad_id", "text", "boxes").sort("folder", "stem").rows()


def test_each_reading_has_a_label_and_one_without_boxes_has_no_text() -> None:
    assert made() == [
        ("test", "b_R1", "R1", LINE, 1),
        ("training", "a_R1", "R1", LINE, 1),
        ("training", "a_R2", "R2", None, None),
    ]


def test_a_consensus_is_one_label_of_each_image() -> None:
    assert made(labels="consensus", min_readers=2) == [
        ("test", "b", None, LINE, 1),
        ("training", "a", None, None, None),
    ]


def test_what_is_judged_apart_has_its_consensus_in_a_folder_of_its_own() -> None:
    assert made(judge="consensus")[1] == ("test-consensus", "b", None, LINE, 1)
    assert Labelling(judge="consensus").folder("test") == "test-consensus"
    assert Labelling(judge="consensus").folder("training") == "training"

"""Automation bias: how often a final read follows the model against the blind one."""

import numpy as np
import polars as pl
import pytest

from radloop.measures import bias
from radloop.tables import CLASS_ID

BOXES = {"file": pl.String, "class_id": CLASS_ID}
EFFUSION, NODULE = 10, 8


def measured(*reads: tuple, truth: dict | None = None, groups: dict | None = None) -> pl.DataFrame:
    """Reads as (reader, image, blind, shown, final) in classes; the truth of some images; groups of others than one."""
    named = [(f"{reader}.{image}", reader, image, reader.startswith("S-")) for reader, image, *_ in reads]
    told = [
        pl.DataFrame(
            [(f"{read[0]}.{read[1]}", class_id) for read in reads for class_id in read[place]],
            schema=BOXES,
            orient="row",
        )
        for place in (2, 3, 4)
    ]
    known = truth or {}
    return bias.following(
        pl.DataFrame(
            named,
            schema={"file": pl.String, "reviewer": pl.String, "image_id": pl.String, "simulated": pl.Boolean},
            orient="row",
        ),
        *told,
        pl.DataFrame(
            [(image, class_id) for image, classes in known.items() for class_id in classes],
            schema={"image_id": pl.String, "class_id": CLASS_ID},
            orient="row",
        ),
        pl.DataFrame(
            [(image, (groups or {}).get(image, image), True) for image in known],
            schema={"image_id": pl.String, "group": pl.String, "known": pl.Boolean},
            orient="row",
        ),
    )


COUNTS = ["asked", "followed", "right", "right_followed", "wrong", "wrong_followed"]


@pytest.mark.parametrize(
    ("read", "truth", "counted"),
    [
        pytest.param(([NODULE], [NODULE], [NODULE]), {"a": [NODULE]}, [0, 0, 0, 0, 0, 0], id="they agree"),
        pytest.param(([], [NODULE], [NODULE]), {"a": [NODULE]}, [1, 1, 1, 1, 0, 0], id="the model mends a miss"),
        pytest.param(([], [NODULE], []), {"a": [NODULE]}, [1, 0, 1, 0, 0, 0], id="it is right, not followed"),
        pytest.param(([], [NODULE], [NODULE]), {"a": []}, [1, 1, 0, 0, 1, 1], id="its false alarm is taken over"),
        pytest.param(([NODULE], [], []), {"a": [NODULE]}, [1, 1, 0, 0, 1, 1], id="its miss is taken over"),
        pytest.param(([NODULE], [], [NODULE]), {"a": [NODULE]}, [1, 0, 0, 0, 1, 0], id="its miss is not"),
        pytest.param(([NODULE], [], []), {"a": []}, [1, 1, 1, 1, 0, 0], id="it takes a false alarm back"),
        pytest.param(([NODULE], [], []), {}, [1, 1, 0, 0, 0, 0], id="nobody knows who is right"),
        pytest.param(
            ([NODULE], [EFFUSION, EFFUSION], [NODULE, EFFUSION]),
            {"a": [EFFUSION]},
            [2, 1, 2, 1, 0, 0],
            id="a question for each class, not for each box",
        ),
    ],
)
def test_question_is_a_class_that_the_blind_read_or_the_model_named_alone(read, truth, counted):
    pooled, of_ann = measured(("ann", "a", *read), truth=truth).iter_rows(named=True)
    assert [of_ann[name] for name in COUNTS] == counted == [pooled[name] for name in COUNTS]
    assert (of_ann["reviewer"], pooled["reviewer"]) == ("ann", None)
    assert (of_ann["reads"], of_ann["groups"]) == (1, 1)
    assert of_ann["follow"] == (counted[1] / counted[0] if counted[0] else None)
    assert of_ann["follow_low"] is None  # of one group nothing can be said


def test_persons_and_simulated_readers_are_not_pooled():
    table = measured(("ann", "a", [], [NODULE], [NODULE]), ("S-R8", "a", [NODULE], [], [NODULE]))
    assert table.select("reviewer", "simulated", "asked", "followed").rows() == [
        (None, False, 1, 1),
        ("ann", False, 1, 1),
        (None, True, 1, 0),
        ("S-R8", True, 1, 0),
    ]


def test_share_of_wrong_among_what_was_followed():
    reads = [("ann", f"i{n}", [], [NODULE], [NODULE] if n < 6 else []) for n in range(8)]
    table = measured(*reads, truth={f"i{n}": [NODULE] if n < 4 else [] for n in range(7)})
    row = table.row(1, named=True)
    assert (row["asked"], row["followed"], row["right"], row["wrong"]) == (8, 6, 4, 3)
    assert (row["follow"], row["follow_right"], row["follow_wrong"], row["mistaken"]) == pytest.approx(
        (6 / 8, 4 / 4, 2 / 3, 2 / 6)
    )
    assert 0 < row["mistaken_low"] < row["mistaken"] < row["mistaken_high"] < 1


def test_group_is_one_unit_however_many_images_it_has():
    reads = [("ann", f"i{n}", [], [NODULE], [NODULE] if n < 20 else []) for n in range(40)]
    truth = {f"i{n}": [] for n in range(40)}
    alone = measured(*reads, truth=truth).row(1, named=True)
    patients = measured(*reads, truth=truth, groups={f"i{n}": f"g{n // 5}" for n in range(40)}).row(1, named=True)
    assert (alone["groups"], patients["groups"]) == (40, 8)
    widths = [row["follow_high"] - row["follow_low"] for row in (alone, patients)]
    assert widths[1] > 1.5 * widths[0]


@pytest.mark.parametrize("share", [0.05, 0.185, 0.6])
def test_interval_covers_the_bias_of_95_readers_in_100(share):
    """200 readers follow with the same probability, each on 40 images."""
    readers, images = 200, 40
    rng = np.random.default_rng(7)
    follows = rng.random((readers, images)) < share
    reads = [
        (f"r{reader}", f"i{reader}-{image}", [], [NODULE], [NODULE] if follows[reader, image] else [])
        for reader in range(readers)
        for image in range(images)
    ]
    table = measured(*reads)
    own = table.filter(pl.col("reviewer").is_not_null())
    covered = own.filter((pl.col("follow_low") <= share) & (pl.col("follow_high") >= share)).height / readers
    assert 0.92 <= covered < 0.995  # Jeffreys' interval is a little wide for few of 40
    pooled = table.row(0, named=True)
    assert pooled["follow_low"] < share < pooled["follow_high"]


def test_no_read_is_no_figure():
    assert measured().is_empty()

"""What a read takes: by this hospital's people where there are enough reads, else by what is published."""

from datetime import UTC, datetime

import polars as pl
import pytest

from radloop.feedback import reading_times
from radloop.feedback.reading_times import LEAST, PUBLISHED
from radloop.tables import REVIEW_FINDINGS, REVIEWS

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def reads(*said: tuple[int, float | None], **changes: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    """REVIEWS and REVIEW_FINDINGS of reads as (boxes, seconds)."""
    rows = [
        {"file": f"r{n}", "verdict": "correct", "simulated": False, "seconds_total": seconds, "timestamp": NOON}
        for n, (_, seconds) in enumerate(said)
    ]
    drawn = [{"file": f"r{n}", "class_id": 1} for n, (boxes, _) in enumerate(said) for _ in range(boxes)]
    changed = [row | changes for row in rows]
    return pl.DataFrame(changed, schema=REVIEWS), pl.DataFrame(drawn, schema=REVIEW_FINDINGS)


def test_median_of_own_reads_counts_where_there_are_enough():
    said = [(0, 10.0 + n) for n in range(LEAST + 1)] + [(1, 60.0)] * (LEAST - 1) + [(4, 90.0), (2, 30.0)] * LEAST
    assert reading_times.of(*reads(*said)) == (10 + LEAST / 2, PUBLISHED[1], 60.0)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"simulated": True}, id="nobody read"),
        pytest.param({"verdict": "reject"}, id="not readable"),
        pytest.param({"seconds_total": None}, id="no time"),
        pytest.param({"seconds_total": 0.0}, id="read elsewhere"),
    ],
)
def test_read_that_tells_no_time_of_a_person_is_left_out(changes):
    assert reading_times.of(*reads(*[(0, 99.0)] * LEAST, **changes)) == PUBLISHED


def test_more_boxes_take_longer_by_what_is_published():
    assert list(PUBLISHED) == sorted(PUBLISHED)
    boxes = pl.DataFrame({"boxes": [None, 0, 1, 2, 300]})
    assert boxes.select(reading_times.kind(pl.col("boxes")))["boxes"].to_list() == [0, 0, 1, 2, 2]


def test_read_takes_longer_by_the_part_of_a_box_that_is_expected():
    boxes = pl.DataFrame({"boxes": [0.0, 0.5, 1.0, 3.0, 4.0]})
    told = boxes.select(reading_times.expected(pl.col("boxes"), (10.0, 20.0, 30.0))).to_series()
    assert told.to_list() == [10.0, 15.0, 20.0, 30.0, 35.0]
    falling = boxes.select(reading_times.expected(pl.col("boxes"), (10.0, 20.0, 5.0))).to_series()
    assert falling.to_list()[2:] == [20.0, 20.0, 20.0]  # few reads with several boxes: no box takes less than no time

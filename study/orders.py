"""Which images a reader is given next: the product's own queue of what waits."""

from typing import Final

import polars as pl

from radloop.feedback import queue
from radloop.feedback.places import Places
from radloop.feedback.rows import Records
from radloop.predictions import LOW_CONFIDENCE
from radloop.words import Order

_SUSPECTS: Final = 0.0  # nothing that waits has labels yet


def waiting(order: Order, said: Records, readings: pl.DataFrame, read: list[str], *, seed: int) -> pl.DataFrame:
    """QUEUE of the images that nobody has `read` yet. readings: those of training and of the rounds before.

    Of the boxes below what counts as found those are looked at that feedback keeps in production.
    """
    unread = ~pl.col("image_id").is_in(read)
    return queue.order(
        said.feedback.filter(unread).with_columns(disputed=pl.lit(value=False)),
        said.detections.filter(unread),
        readings,
        low=said.low.filter(unread, pl.col("confidence") >= LOW_CONFIDENCE),
        places=Places(order=order, suspect_share=_SUSPECTS),
        seed=seed,
    )

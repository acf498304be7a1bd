"""The same picture twice in one dataset: in training and held out, or with other boxes the second time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import polars as pl

from radloop.dataset.trainer_rules import Violation


def judge_leaks(pictures: pl.DataFrame, shows: Mapping[str, str]) -> Iterator[Violation]:
    """The same picture in train and in val or test (columns key, split). Not the same patient: that is not seen here.

    shows: by key, equal for pictures of the same gray values.
    """
    uses = pictures.select("key", "split").unique().sort("key", "split")
    held_out = {shows[key]: key for key, split in uses.rows() if split != "train" and key in shows}
    for key, split in uses.iter_rows():
        if split == "train" and key in shows and (other := held_out.get(shows[key])):
            yield Violation("leak-picture", key, None, f"the same picture as {other}")


def judge_contradictions(
    pictures: pl.DataFrame, shows: Mapping[str, str], labels: Mapping[str, bytes]
) -> Iterator[Violation]:
    """The same picture under two names (columns key, label) whose labels differ in more than the order of lines."""
    first: dict[str, tuple[str, list[bytes]]] = {}
    for key, label in pictures.select("key", "label").unique().sort("key", "label").iter_rows():
        if key in shows:
            lines = sorted(line.strip() for line in labels.get(label, b"").splitlines() if line.strip())
            other, expected = first.setdefault(shows[key], (key, lines))
            if lines != expected:
                yield Violation("label-contradicts", key, None, f"the same picture as {other}, with other boxes")


def note(listed: pl.DataFrame) -> str | None:
    """The sentence for images (of a MANIFEST) that are one picture and have other labels; None where there are none.

    Readers of one image differ rightly, and so may those of one picture under two ids: a thing to know, no fault.
    """
    by_kind = {kind: listed.filter(kind=kind) for kind in ("image", "label")}
    labels = by_kind["label"].group_by("image_id").agg(labels=pl.col("md5").unique().sort())
    images = by_kind["image"].select("image_id", "md5").unique().join(labels, on="image_id", how="left")
    ids: dict[str, list[str]] = defaultdict(list)
    for md5, image_id in images.select("md5", "image_id").sort("image_id").iter_rows():
        ids[md5].append(image_id)
    labels_of = dict(images.select("image_id", "labels").iter_rows())
    doubled = [group for group in ids.values() if any(labels_of[one] != labels_of[group[0]] for one in group)]
    if not doubled:
        return None
    first, second, *_ = min(doubled)
    return f"{len(doubled)} pictures stand under two image ids with different labels, the first {first} and {second}"

"""How it reads what the demonstration made."""

from collections.abc import Mapping

import polars as pl

from radloop.display import Grid, Summary
from radloop.feedback import arrivals
from radloop.pipelines.demo import Demonstration
from radloop.pipelines.offline import Loaded
from radloop.summaries.figures import interval
from radloop.summaries.registry import of
from radloop.words import several


@of.register
def _demonstrated(record: Demonstration) -> Summary:
    first, report = record.offline.transformed, record.retrained.report
    judged = record.evaluated.models[0]
    fates = ", ".join(f"{count:,} {fate}" for fate, count in report["fates"].items() if count)
    told = sum(each.written for each in record.reviewed)
    waiting = sum(record.waiting.values())
    disputed, images = several(record.reviewed[-1].disputed, "feedback file"), several(judged.images, "image")
    loop = [
        ("dataset", f"version {first.version}: {sum(first.images.values()):,} images, {first.labels:,} labels"),
        ("new patients", arrivals.words(report["incoming"])),
        ("hospital", f"{record.simulated.total['feedback']:,} images answered by {record.simulated.detector}"),
        (
            "detector",
            f"mAP@0.4 {interval(judged.map_40, 'ap')} on {images} of {judged.split}",
        ),
        ("on the new patients", _on_audit(record.evaluated.audit)),
        (
            "reviews",
            f"{told:,} by simulated radiologists, {disputed} still disputed",
        ),
        ("worklist", _left(record.waiting)),
        ("feedback", f"{report['feedback']:,} = {fates}"),
        ("re-training", f"{several(sum(report['rows'].values()), 'row')} of {several(report['images'], 'image')}"),
        ("next dataset", _next_version(record.following)),
        ("the loop goes on", _goes_on(record.arrived)),
        ("check", "sound: no group in two splits, every file as the manifest says"),
    ]
    labels = [
        (name, f"{each['labelled']:,}", f"{each['labels']:,}", interval(each, "precision"), interval(each, "recall"))
        for name, each in record.labels.items()
    ]
    produced = next(iter(record.labels.values()))["images"]
    return Summary(
        f"the demo is done: {record.out}",
        grids=(
            Grid("the whole loop", (("step", "what came of it"), *loop)),
            Grid(
                f"how good labels are on the {produced:,} images of production, against what two readers agree on",
                (("labels", "images labelled", "boxes", "precision", "recall"), *labels),
            ),
        ),
        notes=(
            "Everything here is synthetic: patients, images, readers, detector and reviews.",
            *record.offline.transformed.notes,
        ),
        following=(
            f"where a box comes from: radloop explain --out {record.out} IMAGE_ID",
            f"the dataset, as a trainer takes it: {first.organized / 'data.yaml'}",
            f"the store it was published to: {record.store}",
            f"to read now, {several(waiting, 'image')}: radloop dashboard --out {record.out}",
        ),
    )


def _left(waiting: Mapping[str, int]) -> str:
    words = {"unread": "unread", "second": "to be read by a second reader", "disputed": "disputed"}
    return ", ".join(f"{waiting[state]:,} {said}" for state, said in words.items() if waiting.get(state)) or "empty"


def _on_audit(audit: pl.DataFrame) -> str:
    """What is known of the detector by the audit images, of all months together."""
    whole = audit.filter(pl.col("month").is_null()).to_dicts()
    if not whole or not whole[0]["read"]:
        return "unknown: no audit image is read"
    return f"mAP@0.4 {interval(whole[0], 'ap')} on the {whole[0]['read']:,} of {whole[0]['images']:,} audit images read"


def _goes_on(arrived: Mapping[str, int]) -> str:
    return (
        f"{arrived['in_training']:,} of {several(arrived['images'], 'new image')} in training, {arrived['waiting']:,} "
        "left to learn from, and whoever comes in next"
    )


def _next_version(following: Loaded | None) -> str:
    if following is None or following.transformed.difference is None:
        return "none: nothing trains"
    changes = following.transformed.difference
    return (
        f"version {following.transformed.version}: {several(len(changes.moved), 'image')} moved to training, "
        f"{several(len(changes.added), 'new image')} joined it, {len(changes.changed):,} with other labels"
    )

"""Judge the pictures that came in without labels: table, files and dataset tell the same, and nothing leaks."""

from collections.abc import Callable, Iterator
from typing import Final

from radloop import manifest, tree
from radloop.catalog import incoming as unlabelled
from radloop.catalog import version
from radloop.dataset import incoming
from radloop.dataset.trainer_rules import Violation
from radloop.errors import DatasetError

CHECKED: Final = "its table and its files tell the same; what is held out or audit is in no training split"


def judge(get: Callable[[str], bytes | None]) -> Iterator[Violation]:
    """What is wrong with the unit whose dataset `get` brings the files of; keys are relative to the unit."""
    name = f"{manifest.INCOMING}/"
    if get(name + unlabelled.ARRIVING) is not None:
        yield Violation("ingest-unfinished", unlabelled.ARRIVING, None, "an ingest is at work, or was cut off")
        return
    try:
        listed = manifest.decode(get(name + manifest.NAME) or b"", name=manifest.NAME)
        table = unlabelled.decode(get(name + tree.INCOMING) or b"", name=tree.INCOMING)
        classes = version.taxonomy_of(get(tree.SUMMARY), name="this dataset")
        annotations = version.decode(get(tree.ANNOTATIONS) or b"", classes, name=tree.ANNOTATIONS)
    except DatasetError as broken:
        yield Violation("incoming-table", tree.INCOMING, None, str(broken))
        return
    for rule, place, why in incoming.verify(table, listed, annotations):
        yield Violation(rule, tree.INCOMING, None, f"{place}: {why}")

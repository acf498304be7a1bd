"""Judge the versions that a store keeps: each is whole."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from radloop import storage
from radloop.catalog import history
from radloop.dataset.trainer_rules import Violation
from radloop.errors import DatasetError, StoreError
from radloop.storage import Store, versions

CHECKED: Final = "that every kept version is whole: its pictures by size and MD5, its other files by one"


def judge(store: Store, prefix: str) -> Iterator[Violation]:
    """What the kept versions of a store lack, and whether its history can be read."""
    try:
        for key, detail in versions.verify(store, prefix):
            yield Violation("version-incomplete", key, None, detail)
    except (DatasetError, StoreError) as broken:
        yield Violation("version-incomplete", history.NAME, None, str(broken))


def judge_folder(root: Path) -> list[Violation] | None:
    """The same of a folder that is a store; None where nothing is kept in it, as in a dataset that was pulled."""
    with closing(storage.open_store(str(root))) as store:
        try:
            if not versions.read(store, "").kept:
                return None
        except DatasetError:
            pass
        return list(judge(store, ""))

"""Whether the files of a tree name the same classes: each reader of a dataset takes another of them."""

from collections.abc import Iterator, Mapping

import yaml

from radloop import taxonomy, tree
from radloop.dataset.trainer_rules import Violation
from radloop.errors import TaxonomyError
from radloop.taxonomy import Taxonomy

FILES = (tree.DATA, tree.CLASSES)  # beside summary.json


def judge(texts: Mapping[str, bytes], classes: Taxonomy) -> Iterator[Violation]:
    """Where a trainer's yaml or classes.txt (bytes by key) does not name `classes`, those that summary.json tells.

    "No finding" may be the last name, but then of all. A file that cannot be parsed is judged by the trainer's rules.
    """
    keys = [key for key in sorted(texts) if key == tree.CLASSES or key.endswith(".yaml")]
    lists = {key: names for key in keys if (names := _names(key, texts[key])) is not None}
    detectors = [list(classes.file_names(with_nothing=with_nothing)) for with_nothing in (False, True)]
    wrong = [key for key, names in lists.items() if names not in detectors]
    for key in wrong:
        detail = f"{_difference(lists[key], detectors[0])}, not as in {tree.SUMMARY}"
        yield Violation("classes-differ", key, None, detail)
    counts = {key: len(names) for key, names in lists.items()}
    if not wrong and len(set(counts.values())) > 1:
        detail = "; ".join(f"{count} classes in {key}" for key, count in counts.items())
        yield Violation("classes-differ", tree.CLASSES, None, detail)


def _names(key: str, data: bytes) -> list[str] | None:
    try:
        if key == tree.CLASSES:
            return [line.partition(" ")[2] for line in data.decode().splitlines()]
        content = yaml.safe_load(data)
        return taxonomy.of_numbered(content["names"]) if isinstance(content, dict) and "names" in content else None
    except (TaxonomyError, UnicodeDecodeError):
        return []
    except Exception:  # noqa: BLE001 - PyYAML raises anything
        return None


def _difference(names: list[str], wanted: list[str]) -> str:
    at = next((at for at, pair in enumerate(zip(names, wanted, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        return f"{len(names)} classes instead of {len(wanted)}"
    return f"class {at} is {names[at][:60]!r} instead of {wanted[at][:60]!r}"

"""The trainer whose rules `radloop check` speaks for, what it makes of each violation, and how one is told.

The rules are those of its `data/utils.py`, `data/base.py` and `data/dataset.py`, told without torch. `make test-peers`
compares them with the package itself. The trainer drops a whole picture for one bad line and says so in a log only;
here each bad line is a row.
"""

from typing import Final, NamedTuple

TRAINER: Final = "Ultralytics 8.4.190"

_REFUSED: Final = "dataset refused"
_DROPPED: Final = "image dropped"
_BACKGROUND: Final = "picture taken for background"

# Every rule, and what the trainer makes of a violation.
RULES: Final = {
    "yaml-missing": _REFUSED,
    "yaml-unreadable": _REFUSED,
    "yaml-keys": _REFUSED,
    "yaml-names": _REFUSED,
    "yaml-path": "dataset looked for elsewhere",
    "yaml-download": "text executed",
    "yaml-split": "split ignored",
    "place-missing": _REFUSED,
    "place-empty": _REFUSED,
    "place-unlabelled": "every picture taken for background",
    "train-unlabelled": _REFUSED,
    "split-dropped": _REFUSED,
    "test-refused": "no evaluation on test",
    "list-unreadable": _REFUSED,
    "list-path": "image looked for in the working directory",
    "list-ignored": "line ignored",
    "picture-unreadable": _DROPPED,
    "picture-small": _DROPPED,
    "picture-format": _DROPPED,
    "picture-truncated": _DROPPED,
    "picture-tail": "file replaced by a new JPEG",
    "picture-undecodable": "training stops there",
    "picture-black": "trains on a picture that shows nothing",
    "picture-ignored": "file ignored",
    "label-missing": _BACKGROUND,
    "label-shared": "the same boxes for several pictures",
    "label-contradicts": "one picture taught in two ways",
    "label-unreadable": _DROPPED,
    "label-encoding": _DROPPED,
    "label-columns": _DROPPED,
    "label-mixed": _DROPPED,
    "label-number": _DROPPED,
    "label-range": _DROPPED,
    "label-negative": _DROPPED,
    "label-class": _DROPPED,
    "label-duplicate": "line dropped with a warning",
    "label-orphan": "file ignored",
    "cache-listed": "opened as a pickle, which can run programs",
}
DROPPING: Final = frozenset(rule for rule, consequence in RULES.items() if consequence == _DROPPED)


class Violation(NamedTuple):
    """One rule that one file breaks; `line` counts from 1, None where a line has no meaning."""

    rule: str
    key: str
    line: int | None
    detail: str

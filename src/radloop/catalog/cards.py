"""What is kept of a model that was promoted: its ONNX file, how its classes are read, its recipe and its verdict."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from radloop import formats, manifest, tree
from radloop.catalog import models
from radloop.catalog.models import Models
from radloop.errors import UNDECODABLE, DatasetError, UsageError

NAME: Final = "model.json"  # in the folder of each model
CLASSES: Final = "classes.txt"  # beside it
MODEL_CLASSES: Final = "model-classes.txt"  # what --model-classes said of it
ALIAS: Final = "alias:"
_KINDS: Final = ("random", "oracle", "onnx", "triton")


@dataclass(frozen=True)
class Card:
    """model.json."""

    model: str  # its id
    name: str  # as feedback tells them
    version: str
    detector: str  # as `--detector` takes it; of an ONNX file `onnx:` and its name in the folder
    md5: str | None  # of that file
    classes: list[str]  # of the dataset that it was judged on
    has_own_classes: bool  # whether MODEL_CLASSES lies beside it
    map: list[str]  # what --map said of it
    recipe: str | None  # of the pictures that it was trained on; None: nobody said
    dataset: str  # the version
    verdict: Mapping[str, Any]  # by split: the comparison that it passed; forced: why it was promoted without
    schema_version: int = models.SCHEMA_VERSION

    @property
    def document(self) -> bytes:
        """The bytes of model.json."""
        return tree.json_file(asdict(self))

    def detector_in(self, folder: Path) -> str:
        """As `--detector` takes it, with the path of its file below the models' `folder`."""
        kind, _, name = self.detector.partition(":")
        return f"onnx:{folder.absolute() / self.model / name}" if kind == "onnx" and self.md5 else self.detector


def is_detector(text: str) -> bool:
    """Whether a text names a detector itself, not a model that is kept.

    >>> is_detector("onnx:a.onnx"), is_detector("random"), is_detector("champion"), is_detector("alias:triton")
    (True, True, False, False)
    """
    return text.partition(":")[0] in _KINDS


def model_of(known: Models, text: str) -> str | None:
    """The id that an alias (`champion`, `alias:NAME`) means; None where the text is no alias."""
    name = text.removeprefix(ALIAS)
    if name in known.aliases:
        return known.aliases[name]
    if name != text or text == models.CHAMPION:
        there = f"there are {', '.join(sorted(known.aliases))}" if known.aliases else "there is none yet"
        raise UsageError(f"unknown alias {name[:60]!r}: {there}. `radloop promote` makes one.")
    return None


def read(folder: Path, model: str) -> Card | None:
    """The card of a model below the models' `folder`; None where it has none. Raises DatasetError for a damaged one."""
    path = folder / model / NAME
    if "/" in model or not path.is_file():
        return None
    try:
        formats.require_json(data := path.read_bytes(), name=str(path))
        card = msgspec.json.decode(data, type=Card)
    except UNDECODABLE as broken:
        raise DatasetError(f"{path} is damaged ({broken}). Promote the model again.") from broken
    kind, _, name = card.detector.partition(":")
    if card.model != model or (kind == "onnx" and card.md5 and ("/" in name or name in ("", ".", ".."))):
        raise DatasetError(f"{path} is not radloop's: it names another model, or a file elsewhere. Promote it again.")
    return card


def require_whole(folder: Path, model: str) -> None:
    """Raise DatasetError where a file of a model below the models' `folder` is not the one that was promoted."""
    listed = manifest.read(folder)
    for key, md5 in () if listed is None else listed.select("key", "md5").iter_rows():
        path = folder / key
        if key.startswith(f"{model}/") and not (path.is_file() and hashlib.md5(path.read_bytes()).hexdigest() == md5):
            raise DatasetError(
                f"{path} is not the file that was promoted. Move {folder} away, and run the same command again: it "
                "brings what the store holds."
            )

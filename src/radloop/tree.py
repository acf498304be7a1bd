"""The YOLO tree: every name, key and line in it, written and read in this one place.

A key is a file's name relative to the unit it lies in (`organized/`, `organized/retrain/`), "/"-separated.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import yaml

from radloop import boxes
from radloop.tables import EDGES, SPLITS, Split

DATA: Final = "data.yaml"
CLASSES: Final = "classes.txt"
ANNOTATIONS: Final = "annotations.parquet"
CONSENSUS: Final = "consensus.parquet"
BOXES: Final = "scaled_bounding_boxes.csv"
SUMMARY: Final = "summary.json"
PROOF: Final = "splits.json"
REJECTED: Final = "rejected.csv"
HELDOUT: Final = "heldout.parquet"
RADIOGRAPHS: Final = "radiographs.parquet"  # of pictures that were made of DICOM files
RECIPE: Final = "recipe"  # in a comment of the trainer's files, as in summary.json
TOMBSTONES: Final = "tombstones.parquet"
INCOMING: Final = "incoming.parquet"  # of the unit of the pictures without labels

# of the unit of the re-training data
RETRAIN_TABLE: Final = "retrain.csv"
RETRAIN_DATA: Final = "data-retrain.yaml"
REFUSED: Final = "refused.csv"
WITHHELD: Final = "withheld.csv"
REPORT: Final = "report.json"
ROUNDS: Final = "rounds/"

TRAINERS_OWN: Final[tuple[Split, ...]] = ("training", "validation", "test")  # a trainer's file knows no more splits

_BESIDE: Final = "-consensus"  # behind a split's name: the folder of its consensus, beside that of its readers

_KINDS: Final = {".yaml": "yaml", ".parquet": "table", ".csv": "table"}
_LINE: Final = "%d %.6f %.6f %.6f %.6f\n"  # Python's %.6f rounds exactly, as an integer format would not


class Part(NamedTuple):
    """What the key of a picture or label tells of it."""

    kind: str
    split: str
    image_id: str
    rad_id: str | None


def stem(image_id: str, rad_id: str | None) -> str:
    """The name of a reading's files without their ending; of the image's own where there is no reader."""
    return image_id if rad_id is None else f"{image_id}_{rad_id}"


def folder(split: str, *, consensus: bool = False) -> str:
    """The folder of a split's pictures and labels; or that of its consensus, which stands beside its readers' files.

    >>> folder("test"), folder("test", consensus=True)
    ('test', 'test-consensus')
    """
    return f"{split}{_BESIDE}" if consensus else split


def parse(key: str) -> Part | None:
    """What a picture's or label's key tells; None for another file. What stands behind the last "_" is the reader.

    >>> [tuple(parse(f"{folder}/labels/a_b.txt")) for folder in ("test", "test-consensus")]
    [('label', 'test', 'a', 'b'), ('label', 'test', 'a_b', None)]
    """
    parts = key.split("/")
    split = parts[0].removesuffix(_BESIDE)
    if len(parts) != 3 or split not in SPLITS or parts[1] not in ("images", "labels"):
        return None
    kind, name = parts[1].removesuffix("s"), PurePosixPath(key).stem
    if split != parts[0]:
        return Part(kind, split, name, None)
    image_id, _, rad_id = name.rpartition("_")
    return Part(kind, split, image_id or rad_id, rad_id if image_id else None)


def document_kind(key: str) -> str:
    """The kind (MANIFEST) of a file that is neither a picture nor a label."""
    return _KINDS.get(PurePosixPath(key).suffix, "document")


def data_of(split: str) -> str:
    """The trainer's file that has `split` as `val`."""
    return f"data-{split}.yaml"


def lines(drawn: pl.DataFrame) -> pl.Series:
    """The label line of each box (class_id and EDGES as fractions, inside the picture): `class_id xc yc w h`."""
    table = np.column_stack([drawn["class_id"].to_numpy(), boxes.xyxy_to_cxcywh(drawn.select(EDGES).to_numpy())])
    # one formatting for all: 36,000 lines in 50 ms
    text = (_LINE * len(table)) % tuple(table.ravel().tolist())
    return pl.Series(text.splitlines(keepends=True), dtype=pl.String)


def texts(drawn: pl.DataFrame) -> pl.DataFrame:
    """The text of every label that has boxes (stem, class_id and EDGES): stem, text, boxes (how many lines)."""
    return (
        drawn.select("stem", "class_id", line=lines(drawn))
        .unique()
        .sort("stem", "class_id", "line")
        .group_by("stem", maintain_order=True)
        .agg(text=pl.col("line").str.join(), boxes=pl.len())
    )


def whole_picture(class_id: int) -> str:
    """The line of a box around the whole picture: the only one that claims no place for what is not there."""
    return _LINE % (class_id, 0.5, 0.5, 1.0, 1.0)


def data_yaml(places: Mapping[str, str], names: Iterable[str], *, comment: str = "") -> bytes:
    """A trainer's file: where `train`, `val` and perhaps `test` lie, and the names of the classes.

    No `path`: the trainer then starts from the file's own folder. No `download`: its text would be executed.
    """
    where = "".join(f"{split}: {place}\n" for split, place in places.items())
    numbered = "".join(f"  {number}: {_scalar(name)}\n" for number, name in enumerate(names))
    return f"{comment}{where}names:\n{numbered}".encode()


def read_data_yaml(data: bytes) -> object:
    """What a trainer reads from a data yaml: without what is no UTF-8 or not printable, and the text None is nothing.

    Raises whatever PyYAML raises, which may be anything: a KeyError for `!!bool x`.
    """
    text = data.decode("utf-8", errors="ignore")
    content = yaml.safe_load(yaml.reader.Reader.NON_PRINTABLE.sub("", text))
    if isinstance(content, dict):
        return {key: None if value == "None" else value for key, value in content.items()}
    return content


def classes_txt(names: Iterable[str]) -> bytes:
    """`number name` a line."""
    return "".join(f"{number} {name}\n" for number, name in enumerate(names)).encode()


def label_path(picture: str) -> str:
    """The path of the label that the trainer reads for a picture.

    >>> label_path("/images/a/images/b.1.png")
    '/images/a/labels/b.1.txt'
    """
    head, found, tail = picture.rpartition("/images/")
    moved = f"{head}/labels/{tail}" if found else picture
    return moved.rpartition(".")[0] + ".txt"


def json_file(content: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """The bytes of a JSON document that a person may read."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _scalar(name: str) -> str:
    """A name as YAML reads it back: plain where that is the same text, else in quotes."""
    try:
        plain = yaml.safe_load(f"- {name}\n") == [name] and not name.startswith(("'", '"'))
    except Exception:  # noqa: BLE001  PyYAML raises anything
        plain = False
    return name if plain else json.dumps(name, ensure_ascii=False)

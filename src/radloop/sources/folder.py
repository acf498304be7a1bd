"""A folder of one's own as a source: it is read where it lies and never changed."""

from pathlib import Path
from typing import Final

from radloop import files
from radloop.errors import SourceError
from radloop.progress import Progress, silent
from radloop.sources import Wanted
from radloop.sources.raw import Boxes, RawData

ANNOTATIONS: Final = ("train.csv", "train.csv.gz", "scaled_bounding_boxes.csv", "scaled_bounding_boxes.csv.gz")
PICTURES: Final = ("train", "images", ".")
SUFFIXES: Final = (".png", ".jpg", ".jpeg")
SIZES: Final = "train_meta.csv"


class Folder:
    """A folder that is read where it lies."""

    def __init__(self, wanted: Wanted) -> None:
        """Look at nothing yet."""
        self._wanted = wanted

    def foresee(self) -> RawData:
        """What lies there."""
        wanted = self._wanted
        return find(Path(wanted.source), annotations=wanted.annotations, boxes=wanted.boxes)

    def extract(self, into: Path, *, progress: Progress = silent) -> RawData:
        """The same: nothing is copied."""
        return self.foresee()


def find(folder: Path, *, annotations: Path | None = None, boxes: Boxes = "auto") -> RawData:
    """The annotations, sizes and pictures of `folder`; `annotations` names a file that goes before those in it.

    Raises SourceError, with what was looked for, where the folder, the annotations or the pictures are missing.
    """
    folder = folder.absolute()
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder. Pass the folder that holds the pictures, kaggle, or synthetic:N.")
    if annotations is None:
        annotations = _first_file(folder, ANNOTATIONS)
        if annotations is None:
            raise SourceError(f"{folder} holds none of {', '.join(ANNOTATIONS)}. Pass --annotations FILE.")
    elif not annotations.is_file():
        raise SourceError(f"{annotations} is not a file. Pass the CSV of annotations.")
    annotations = annotations.absolute()
    pictures = next((folder / name for name in PICTURES if _has_picture(folder / name)), None)
    if pictures is None:
        raise SourceError(
            f"{folder} holds no picture ({', '.join(SUFFIXES)}), neither in train/, nor in images/, nor itself."
        )
    sizes = _first_file(annotations.parent, (SIZES,)) or _first_file(folder, (SIZES,))
    return RawData(name="folder", annotations=annotations, boxes=boxes, sizes=sizes, pictures=pictures)


def _first_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _has_picture(folder: Path) -> bool:
    try:
        return any(entry.name.lower().endswith(SUFFIXES) for entry in files.walk_visible(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as refused:
        raise SourceError(f"{folder} cannot be read: {refused.strerror}.") from refused

"""WebDataset: tar files that a trainer streams, `<split>-000000.tar` and on.

A sample is an image's picture and a .json of the same name, each image once with the boxes of all its readers. Its name
is the image_id; a dot in it is written %2E, as WebDataset takes the first dot of a name for the begin of its ending.
"""

import io
import tarfile
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from radloop.dataset.export import pictures
from radloop.dataset.export.contents import Contents
from radloop.progress import Progress, silent
from radloop.tables import EDGES

_MODE: Final = 0o644


def write(contents: Contents, folder: Path, *, most_bytes: int, progress: Progress = silent) -> None:
    """Write the shards; none has more than `most_bytes` of pictures, but for one larger picture alone."""
    boxes, done = _boxes(contents), 0
    for split in contents.splits:
        images, _ = contents.of(split)
        for number, shard in enumerate(pictures.shards(images, most_bytes)):
            with tarfile.open(folder / f"{split}-{number:06}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
                for row in shard.iter_rows(named=True):
                    name = sample_name(row["image_id"])
                    label = _label(contents, row, boxes.get(row["image_id"], []))
                    _add(tar, f"{name}.json", msgspec.json.encode(label))
                    data = pictures.read(contents.root, row["key"], row["md5"])
                    _add(tar, name + Path(row["file"]).suffix, data)
            done += shard.height
            progress("pictures", done, contents.images.height)


def sample_name(image_id: str) -> str:
    """The name of an image's files in a shard.

    >>> sample_name("1.2.840"), sample_name("a%")
    ('1%2E2%2E840', 'a%25')
    """
    return image_id.replace("%", "%25").replace(".", "%2E")


def _label(contents: Contents, image: dict[str, Any], boxes: list[dict[str, Any]]) -> dict[str, Any]:
    told = ("image_id", "split", "group", "width", "height", "readers")
    return {name: image[name] for name in told} | {"boxes": boxes, "classes": contents.classes.names}


def _boxes(contents: Contents) -> dict[str, list[dict[str, Any]]]:
    """Corners as fractions of the picture: a trainer resizes it, and they stay right."""
    class_name = contents.classes.named(pl.col("class_id")).alias("class_name")
    xyxy_norm = pl.concat_list(EDGES).alias("xyxy_norm")
    told = contents.boxes.select("image_id", box=pl.struct("class_id", class_name, "rad_id", "support", xyxy_norm))
    return dict(told.group_by("image_id", maintain_order=True).agg("box").iter_rows())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """A file of nobody at no time, so that the same content gives the same bytes."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = len(data), _MODE
    tar.addfile(header, io.BytesIO(data))

"""A hospital whose files are full of identifiers, through every command: what radloop wrote and said of it."""

import contextlib
import io
import logging
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

import planted_identifiers
from dicom_folder import SHRUNK, shrunk
from planted_identifiers import identifiers
from radloop import cli
from radloop.sources import synthetic

LABELLED = range(60)
NEW = range(60, planted_identifiers.FILES)
SIZES = "training=30,validation=6,test=6,staging=6,canary=6,production=6"
RECIPE = "vinbigdata,size=64"


@dataclass
class House:
    """Where the files lie, and every word that was printed or logged."""

    folder: Path
    said: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self, *arguments: object, exits: tuple[int, ...] = (0,)) -> str:
        """What a command says: its output, its errors and its log."""
        command = " ".join(map(str, arguments))
        said = io.StringIO()
        log = logging.StreamHandler(said)
        logging.getLogger().addHandler(log)
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                cli.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            logging.getLogger().removeHandler(log)
        self.said[f"{len(self.said)}: {command}"] = said.getvalue()
        if code not in exits:
            raise AssertionError(f"{command} ended with {code}:\n{said.getvalue()}")
        return said.getvalue()


def hospital(folder: Path) -> House:
    """The files, some of them with labels."""
    rows, sizes = synthetic.annotations(len(LABELLED), seed=0)
    shapes = sizes.select(pl.col("dim0", "dim1") // SHRUNK).rows()
    paths = planted_identifiers.plant(folder / "all", shapes)
    for index, path in enumerate(paths):
        to = folder / ("labelled" if index in LABELLED else "new") / path.relative_to(folder / "all")
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
    uids = {image_id: identifiers(index)["UID"] for index, image_id in enumerate(sizes["image_id"])}
    rows = shrunk(rows, sizes).with_columns(pl.col("image_id").replace_strict(uids))
    rows.write_csv(folder / "labelled" / "train.csv")
    return House(folder)

"""What the dashboard is asked to show, and where it lies. Every part may be missing."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Inputs:
    """Where each part lies, None where nobody named it; and the seed of every random choice."""

    dataset: Path | None = None  # a dataset's folder, or an annotations CSV in 1024×1024 pixels
    feedback: Path | None = None  # a folder of feedback files
    reviews: Path | None = None  # a folder of review files; written to by the Review page
    retrain: Path | None = None  # a retrain.csv
    images: Path | None = None  # a folder of pictures, in the place of the dataset's own
    log: Path | None = None  # the simulator's log
    seed: int = 0

    @classmethod
    def parse(cls, arguments: Sequence[str], **defaults: Path | int | None) -> Self:
        """From `--dataset DIR --feedback DIR …`, as they stand behind `--` of `streamlit run`."""
        parser = argparse.ArgumentParser(prog="radloop dashboard", allow_abbrev=False)
        for field in fields(cls):
            kind = int if isinstance(field.default, int) else Path
            parser.add_argument(f"--{field.name}", type=kind, default=defaults.get(field.name, field.default))
        return cls(**vars(parser.parse_args(arguments)))

    def arguments(self) -> list[str]:
        """What `parse` makes this of."""
        values = [(field.name, getattr(self, field.name), field.default) for field in fields(self)]
        return [f"--{name}={value}" for name, value, default in values if value != default]

"""What the exchange with other tools can be told (`radloop.options`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from radloop.option import About, option
from radloop.parts import (
    DatasetFolder,
    DryRun,
    Durable,
    Jobs,
    Json,
    ReadFeedback,
    Renamed,
    ReviewsFolder,
    Strict,
)
from radloop.words import ExportFormat, ExportPart, LabelKind, ReviewFormat


@dataclass(frozen=True, kw_only=True)
class Export(Json, DryRun, Jobs, DatasetFolder, ReadFeedback):
    """Write the dataset in the format of another tool, to OUT/export. From its tables; no picture is decoded."""

    format: Annotated[ExportFormat, About("The tool's format.", ours=False)]
    labels: LabelKind | None = option(
        None,
        About(
            "Each reader's boxes, or all readers' fused.",
            shown="as the dataset's own label files; for people to read, fused",
            ours=False,
        ),
    )
    splits: tuple[ExportPart, ...] | None = option(
        None,
        About(
            "Splits to export, comma-separated; retrain: the re-training data, for COCO.",
            shown="all",
            ours=False,
            commas=True,
        ),
    )
    license: str | None = option(
        None, About("The licence of pictures and annotations, a name or an address.", shown="unknown", ours=False)
    )
    shard_mb: int = option(
        256, About("Megabytes of pictures in a file, of formats that pack them.", ours=False, ge=1, le=100_000)
    )

    image_prefix: str = option(
        "/data/local-files/?d=images/",
        About("What stands before a picture's name in a task of Label Studio.", ours=False),
    )

    @property
    def is_to_read(self) -> bool:
        """Whether people read the images there, so that what waits for a read is exported with boxes to begin from."""
        return self.format in ("label-studio", "cvat")

    @property
    def export_folder(self) -> Path:
        """Where the export lies."""
        return self.out / "export" / self.format


@dataclass(frozen=True, kw_only=True)
class Import(Json, Strict, DryRun, Jobs, Durable, Renamed, DatasetFolder, ReviewsFolder, ReadFeedback):
    """Bring what people drew in another tool back as reviews. It is what the tool exports of a `radloop export`."""

    file: Annotated[Path, About("What the tool exported: a file, a zip or a folder.", argument="FILE")]
    format: Annotated[ReviewFormat, About("The tool's format.", ours=False)]

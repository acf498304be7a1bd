"""imports: a COCO file of 15,000 images read into tables, beside Datumaro's import of it and beside json.loads.

The boxes are made up, or those of a real train.csv, of one reader after the other. radloop's turn ends with the tables
as Parquet, as does that of the plain program, which checks nothing; Datumaro's with its dataset in memory.
"""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks import labels
from benchmarks.harness import Bench, Contestant, Limit, Section
from radloop.sources.bundle import Bundle
from radloop.sources.formats import coco
from radloop.taxonomy import is_nothing

FILE = Path("annotations") / "instances_train.json"


def run(bench: Bench) -> Section:
    """One contest."""
    images = 150 if bench.quick else 15_000
    given = bench.fresh("given")
    annotations = str(bench.annotations) if bench.annotations else None
    bench.turn(Contestant("made", "benchmarks.imports:make"), given, images=images, annotations=annotations)
    result = bench.contest(
        "COCO",
        [
            Contestant("json.loads + Parquet", "benchmarks.opponents:json_to_tables"),
            Contestant("radloop", "benchmarks.imports:read"),
            Contestant("Datumaro", "benchmarks.opponents:datumaro_import", opponent=True),
        ],
        given=given,
        unit="images",
        limits=[
            Limit("Datumaro", "wall_s", "radloop", least=5),
            Limit("radloop", "wall_s", "json.loads + Parquet"),
            Limit("radloop", "peak_mb", most=400, unit="MB"),
        ],
    )
    rows = "made-up boxes" if annotations is None else "the boxes of a real train.csv"
    size = (given / FILE).stat().st_size / 1e6
    return Section(
        "imports",
        "extract: COCO",
        f"A COCO file of {size:.1f} MB with {images:,} images, {rows}. radloop reads it, judges every record and "
        "writes the rows as Parquet; the plain program only loads the JSON and writes its lists as Parquet; Datumaro "
        "imports it into memory.",
        results=[result],
    )


def make(given: Path, fresh: Path, *, images: int, annotations: str | None) -> Callable[[], int]:
    """The file."""

    def work() -> int:
        rows = labels.read_annotations(Path(annotations) if annotations else None, images)
        path = given / FILE
        path.parent.mkdir(parents=True)
        (given / "images" / "train").mkdir(parents=True)  # Datumaro asks for the folder, not for the pictures
        document = _document(rows)
        path.write_text(json.dumps(document))
        return len(document["images"])

    return work


def _document(rows: pl.DataFrame) -> dict[str, list[dict[str, object]]]:
    listed = (
        rows.group_by("image_id", maintain_order=True).agg(pl.col("width", "height").first()).with_row_index("id", 1)
    )
    boxes = rows.filter(~pl.col("class_name").map_elements(is_nothing, return_dtype=pl.Boolean))
    names = boxes["class_name"].unique().sort().to_list()
    numbered = boxes.join(listed.select("image_id", number="id"), on="image_id", maintain_order="left")
    width, height = pl.col("x_max") - pl.col("x_min"), pl.col("y_max") - pl.col("y_min")
    found = numbered.with_row_index("id", 1).select(
        "id",
        image_id="number",
        category_id=pl.col("class_name").replace_strict(names, range(1, len(names) + 1)),
        bbox=pl.concat_list("x_min", "y_min", width, height),
        area=width * height,
        segmentation=pl.lit([], pl.List(pl.Float64)),
        iscrowd=pl.lit(0),
    )
    return {
        "images": listed.select("id", "width", "height", file_name=pl.col("image_id") + ".png").to_dicts(),
        "annotations": found.to_dicts(),
        "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(names, 1)],
    }


def read(given: Path, fresh: Path) -> Callable[[], int]:
    """The reader, and its rows on the disk."""

    def work() -> int:
        found = coco.read(Bundle(given / FILE))
        found.rows.write_parquet(fresh)
        return found.rows["image_id"].n_unique()

    return work

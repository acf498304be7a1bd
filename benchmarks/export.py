"""export: the dataset as COCO, from the tree on the disk, beside supervision's `from_yolo` and `as_coco` of that tree.

supervision keeps a picture for each reader, radloop one for all of them; both are handed the same 15,000 images. A turn
begins with the folder and ends with one json a split.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks import labels
from benchmarks.harness import Bench, Contestant, Limit, Section
from radloop.catalog import version
from radloop.dataset import yolo
from radloop.dataset.export import coco, contents
from radloop.options import Export
from radloop.pipelines import exporting


def run(bench: Bench) -> Section:
    """One contest."""
    images = 150 if bench.quick else 15_000
    given = bench.fresh("given")
    annotations = str(bench.annotations) if bench.annotations else None
    bench.turn(Contestant("made", "benchmarks.export:make"), given, images=images, annotations=annotations)
    result = bench.contest(
        "From the tree to COCO",
        [
            Contestant("radloop, annotations alone", "benchmarks.export:annotations"),
            Contestant("radloop export, with links to the pictures", "benchmarks.export:everything"),
            Contestant(
                "supervision, annotations alone", "benchmarks.opponents:supervision_coco", opponent=True, rounds=1
            ),
        ],
        given=given,
        unit="images",
        limits=[
            Limit("supervision, annotations alone", "wall_s", "radloop, annotations alone", least=50),
            Limit("supervision, annotations alone", "wall_s", "radloop export, with links to the pictures"),
            Limit("radloop, annotations alone", "peak_mb", most=400, unit="MB"),
        ],
    )
    rows = "made-up rows" if annotations is None else "the rows of a real train.csv"
    return Section(
        "export",
        "export: COCO",
        f"{images:,} images read by three each, {rows}, as `transform` has written them: to one COCO file for each of "
        "six splits. supervision reads the tree with `from_yolo` and writes with `as_coco`; it asks Pillow for the "
        "EXIF of each picture, which decodes a PNG.",
        results=[result],
    )


def make(given: Path, fresh: Path, *, images: int, annotations: str | None) -> Callable[[], int]:
    """The tree."""
    made = labels.make(given, fresh, images=images, annotations=annotations)

    def work() -> int:
        count = made()
        plan, _ = labels.load(given)
        yolo.write(plan, given / "organized", pictures=given / "pictures")
        return count

    return work


def annotations(given: Path, fresh: Path) -> Callable[[], int]:
    """From the folder to the json files."""

    def work() -> int:
        chosen = contents.read(version.read(given / "organized"))
        coco.write_annotations(chosen, fresh)
        return chosen.images.height

    return work


def everything(given: Path, fresh: Path) -> Callable[[], int]:
    """As the command does it."""

    def work() -> int:
        done = exporting.export(Export(out=fresh, dataset=given / "organized", format="coco"))
        return sum(done.images.values())

    return work

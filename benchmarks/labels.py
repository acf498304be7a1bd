"""Labels and links beside the least that any program must do: `python benchmarks/labels.py`.

45,000 label files and as many links to 15,000 pictures, in turns, each time in a fresh folder: a C program that makes
just these files (`floor.c`), `yolo.write`, `plan.build` with it, and once a script that does it as the description of
such pipelines reads. Then 3,000 labels alone beside Datumaro and supervision.

The boxes are made up, or those of `--annotations train.csv`, as fractions of a made-up size. The pictures are small and
differ in their last bytes only: links do not read them, and for the script, which copies, small ones are a favour.
"""

import argparse
import csv
import hashlib
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from radloop.dataset import plan, yolo
from radloop.dataset.plan import Plan
from radloop.sources import synthetic
from radloop.tables import ANNOTATION_COLUMNS, ASSIGNMENT, FINDINGS, NO_FINDING, PICTURES, REJECTED

Reading = tuple[str, str, list[int], np.ndarray]  # image_id, rad_id, classes, corners as fractions

SPLITS = {"training": 11_500, "validation": 750, "test": 750, "staging": 1_000, "canary": 500, "production": 500}
REAL_PICTURE_BYTES = 747_000  # the mean of VinBigData's 1024×1024 PNG
PEER_IMAGES = 1_000
ROUNDS = 3


def read_annotations(path: Path | None) -> pl.DataFrame:
    """The rows of train.csv with a made-up size that every box of its image fits."""
    if path is None:
        rows, _ = synthetic.annotations(sum(SPLITS.values()), seed=0)
    else:
        rows = pl.read_csv(path)
    coordinates = [pl.col(name).cast(pl.Float64) for name in ANNOTATION_COLUMNS[4:]]
    return rows.with_columns(*coordinates, pl.col("class_id").cast(pl.Int8)).with_columns(
        width=pl.max_horizontal(2_400, pl.col("x_max").max().over("image_id").ceil()).cast(pl.Int32),
        height=pl.max_horizontal(2_600, pl.col("y_max").max().over("image_id").ceil()).cast(pl.Int32),
    )


def as_findings(rows: pl.DataFrame) -> pl.DataFrame:
    """The same as FINDINGS."""
    return (
        rows.with_columns(
            x_min_norm=pl.col("x_min") / pl.col("width"),
            y_min_norm=pl.col("y_min") / pl.col("height"),
            x_max_norm=pl.col("x_max") / pl.col("width"),
            y_max_norm=pl.col("y_max") / pl.col("height"),
        )
        .select(FINDINGS.names())
        .match_to_schema(FINDINGS)
        .sort("image_id", "rad_id", "class_id", "x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm")
    )


def make_pictures(folder: Path, image_ids: Iterable[str]) -> pl.DataFrame:
    """One small 1024×1024 PNG for each image, and what an inspection would say of it."""
    folder.mkdir()
    ramp = np.add.outer(np.arange(1024), np.arange(1024)) // 8
    Image.fromarray(ramp.astype(np.uint8)).save(folder / "base.png")
    base = (folder / "base.png").read_bytes()
    (folder / "base.png").unlink()
    rows = []
    for image_id in image_ids:
        data = base + image_id.encode()
        (folder / f"{image_id}.png").write_bytes(data)
        md5 = hashlib.md5(data).hexdigest()
        measured = {"width": 1024, "height": 1024, "mean": 120.0, "std": 60.0, "sharpness": 1.0, "phash": md5[:16]}
        named = {"image_id": image_id, "path": f"{image_id}.png", "bytes": len(data), "md5": md5, "pixels_md5": md5}
        rows.append(named | measured | {"problem": None})
    return pl.DataFrame(rows, schema=PICTURES)


def assign(image_ids: list[str]) -> pl.DataFrame:
    """Splits in the proportion of SPLITS, in the order of the names."""
    names = np.repeat(list(SPLITS), list(SPLITS.values()))
    picked = names[np.arange(len(image_ids)) * len(names) // len(image_ids)]
    return pl.DataFrame({"image_id": image_ids, "group": image_ids, "split": picked}, schema=ASSIGNMENT)


def build(findings: pl.DataFrame, pictures: pl.DataFrame, assignment: pl.DataFrame) -> Plan:
    """Every file of the dataset."""
    return plan.build(
        findings,
        pictures,
        assignment,
        labels="per-reader",
        min_readers=1,
        no_finding="background",
        rejected=pl.DataFrame(schema=REJECTED),
        lost=pl.DataFrame(schema={"image_id": pl.String, "rad_id": pl.String}),
        proof={},
        source="benchmark",
        settings={},
    )


def write_list(made: Plan, path: Path) -> None:
    """What floor.c reads."""
    parts = []
    for table, kind, column in ((made.labels, b"F", "text"), (made.images, b"L", "source")):
        names = table.select(pl.col("key").str.extract_groups(r"^(?<folder>.*)/(?<name>[^/]*)$"), pl.col(column))
        for (folder,), files in names.unnest("key").partition_by("folder", as_dict=True, maintain_order=True).items():
            parts.append(b"D" + str(folder).encode() + b"\0")
            for _, name, value in files.iter_rows():
                data = value.encode()
                tail = struct.pack("I", len(data)) + data if kind == b"F" else data + b"\0"
                parts.append(kind + name.encode() + b"\0" + tail)
    path.write_bytes(b"".join(parts))


def as_the_description_reads(annotations: Path, split_lists: dict[str, list[str]], pictures: Path, out: Path) -> None:
    """A loop over the rows; a search of the lists for the split; a copy of the picture for each reader."""
    for split in split_lists:
        (out / split / "images").mkdir(parents=True)
        (out / split / "labels").mkdir()
    grouped: dict[tuple[str, str], list[dict[str, str]]] = {}
    with annotations.open(newline="") as file:
        for row in csv.DictReader(file):
            grouped.setdefault((row["image_id"], row["rad_id"]), []).append(row)
    for (image_id, rad_id), rows in grouped.items():
        split = next(name for name, members in split_lists.items() if image_id in members)
        with (out / split / "labels" / f"{image_id}_{rad_id}.txt").open("w") as label:
            for row in rows:
                if int(row["class_id"]) != NO_FINDING:
                    width, height = float(row["width"]), float(row["height"])
                    x_min, x_max = float(row["x_min"]) / width, float(row["x_max"]) / width
                    y_min, y_max = float(row["y_min"]) / height, float(row["y_max"]) / height
                    label.write(f"{row['class_id']} {(x_min + x_max) / 2:.6f} {(y_min + y_max) / 2:.6f} ")
                    label.write(f"{x_max - x_min:.6f} {y_max - y_min:.6f}\n")
        shutil.copy(pictures / f"{image_id}.png", out / split / "images" / f"{image_id}_{rad_id}.png")


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall time, and processor time of this process with the programs that it started."""
    wall, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return time.perf_counter() - wall, sum(after[:4]) - sum(before[:4])


def boxes_of(findings: pl.DataFrame) -> list[Reading]:
    """For each reading: image_id, rad_id, classes and boxes as x_min, y_min, x_max, y_max fractions."""
    readings = []
    for (image_id, rad_id), rows in findings.partition_by("image_id", "rad_id", as_dict=True).items():
        found = rows.filter(pl.col("class_id") != NO_FINDING)
        corners = found.select("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm").to_numpy()
        readings.append((str(image_id), str(rad_id), found["class_id"].to_list(), corners))
    return readings


def with_supervision(readings: list[Reading], pictures: Path, out: Path) -> Callable[[], object]:
    """supervision's export of the labels only; its pictures must have distinct names, so each reading has a link."""
    import supervision

    out.mkdir()
    annotations = {}
    for image_id, rad_id, classes, corners in readings:
        link = out / f"{image_id}_{rad_id}.png"
        os.link(pictures / f"{image_id}.png", link)
        annotations[str(link)] = supervision.Detections(
            xyxy=corners.reshape(-1, 4) * 1024, class_id=np.array(classes, dtype=int)
        )
    dataset = supervision.DetectionDataset([str(n) for n in range(14)], list(annotations), annotations)
    return lambda: dataset.as_yolo(annotations_directory_path=str(out / "labels"))


def with_datumaro(readings: list[Reading], pictures: Path, out: Path, *, sizes_known: bool) -> Callable[[], object]:
    """Datumaro's export without pictures. Where it is not told their sizes it opens each one."""
    import datumaro
    from datumaro.components.media import Image as DatumaroImage

    size = (1024, 1024) if sizes_known else None
    items = [
        datumaro.DatasetItem(
            f"{image_id}_{rad_id}",
            subset="train",
            media=DatumaroImage.from_file(str(pictures / f"{image_id}.png"), size=size),
            annotations=[
                datumaro.Bbox(x1, y1, x2 - x1, y2 - y1, label=label)
                for label, (x1, y1, x2, y2) in zip(classes, (corners * 1024).tolist(), strict=True)
            ],
        )
        for image_id, rad_id, classes, corners in readings
    ]
    dataset = datumaro.Dataset.from_iterable(items, categories=[str(n) for n in range(14)])
    return lambda: dataset.export(str(out), "yolo", save_media=False)


def report(title: str, base: str, taken: dict[str, list[tuple[float, float]]]) -> None:
    """Print medians, and their ratios to those of `base`. On a busy machine the processor's ratio is the truer one."""
    print(f"\n{title}\n{'':30} wall s     min     max  ×base   cpu s  ×base   (base: {base})")
    base_wall, base_cpu = (statistics.median(times) for times in zip(*taken[base], strict=True))
    for name, times in taken.items():
        walls, cpus = zip(*times, strict=True)
        wall, cpu = statistics.median(walls), statistics.median(cpus)
        print(
            f"{name:30} {wall:6.3f} {min(walls):7.3f} {max(walls):7.3f} {wall / base_wall:6.2f}"
            f" {cpu:7.3f} {cpu / base_cpu:6.2f}"
        )


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--annotations", type=Path, help="the real train.csv")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, help="where to write; on the file system to be measured")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="radloop-benchmark-") as folder:
        measure(Path(folder), read_annotations(chosen.annotations), chosen.rounds)


def measure(folder: Path, rows: pl.DataFrame, rounds: int) -> None:
    """All of it, in `folder`."""
    findings = as_findings(rows)
    image_ids = findings["image_id"].unique().sort().to_list()
    pictures = make_pictures(folder / "pictures", image_ids)
    assignment = assign(image_ids)
    made = build(findings, pictures, assignment)
    write_list(made, folder / "list")
    subprocess.run(["gcc", "-O2", "-o", folder / "floor", Path(__file__).with_name("floor.c")], check=True)
    rows.write_csv(folder / "annotations.csv")
    split_lists = {
        str(split): part["image_id"].to_list() for (split,), part in assignment.group_by("split", maintain_order=True)
    }
    print(f"{made.labels.height:,} labels, {made.images.height:,} links to {len(image_ids):,} pictures; {sys.platform}")

    def floor(out: Path) -> None:
        out.mkdir()
        subprocess.run([folder / "floor", folder / "list", out, folder / "pictures"], check=True)

    def build_and_write(out: Path) -> None:
        yolo.write(build(findings, pictures, assignment), out, pictures=folder / "pictures")

    contestants: dict[str, Callable[[Path], object]] = {
        "floor": floor,
        "yolo.write": lambda out: yolo.write(made, out, pictures=folder / "pictures"),
        "plan.build + yolo.write": build_and_write,
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for number, (name, work) in enumerate(contestants.items()):
            taken[name].append(seconds(lambda work=work, out=folder / f"{turn}-{number}": work(out)))
    script = folder / "script"
    taken["script (a copy per reader)"] = [
        seconds(lambda: as_the_description_reads(folder / "annotations.csv", split_lists, folder / "pictures", script))
    ]
    unchanged = [seconds(lambda: yolo.write(made, folder / "0-1", pictures=folder / "pictures"))]
    report("Labels and links", "floor", taken | {"yolo.write, nothing to do": unchanged})
    print_growth(folder / "0-1", folder / "pictures")

    few = findings.filter(pl.col("image_id").is_in(image_ids[:PEER_IMAGES]))
    part = build(few, pictures.head(PEER_IMAGES), assignment.head(PEER_IMAGES))
    labels_only = Plan(part.images.clear(), part.labels, part.documents, part.manifest, part.version)
    write_list(labels_only, folder / "labels-list")
    readings = boxes_of(few)

    def floor_of_labels(out: Path) -> Callable[[], object]:
        out.mkdir()
        return lambda: subprocess.run([folder / "floor", folder / "labels-list", out, folder / "pictures"], check=True)

    exports: dict[str, Callable[[Path], Callable[[], object]]] = {
        "yolo.write": lambda out: lambda: yolo.write(labels_only, out, pictures=folder / "pictures"),
        "floor": floor_of_labels,
        "Datumaro, sizes given": lambda out: with_datumaro(readings, folder / "pictures", out, sizes_known=True),
        "Datumaro": lambda out: with_datumaro(readings, folder / "pictures", out, sizes_known=False),
        "supervision": lambda out: with_supervision(readings, folder / "pictures", out),
    }
    peers: dict[str, list[tuple[float, float]]] = {name: [] for name in exports}
    for turn in range(rounds):
        for number, (name, prepare) in enumerate(exports.items()):
            peers[name].append(seconds(prepare(folder / f"peer-{turn}-{number}")))
    report(f"Labels alone, {part.labels.height:,} files", "yolo.write", peers)


def print_growth(organized: Path, pictures: Path) -> None:
    """How much of the disk the dataset takes beyond its pictures."""
    linked = {path.stat().st_ino for path in pictures.iterdir()}
    own = {path.lstat().st_ino: path.lstat().st_blocks * 512 for path in organized.rglob("*")}
    grown = sum(size for inode, size in own.items() if inode not in linked)
    share = grown / (len(linked) * REAL_PICTURE_BYTES)
    print(f"the dataset takes {grown / 1e6:.0f} MB beside its pictures: {share:.1%} of {len(linked):,} real ones")


if __name__ == "__main__":
    main()

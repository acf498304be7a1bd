"""Pictures as folders have them, from source to dataset: published as they should be, or a stop that says why."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, PngImagePlugin

import made_up
from radloop.errors import RadloopError
from radloop.options import Extract, Transform
from radloop.pipelines import checking, offline
from radloop.split_sizes import SplitSizes

SIZES = SplitSizes.parse("training=20,validation=4,test=4,staging=4,canary=4,production=4")
Save = Callable[[Path, Path], None]  # a picture, and where it is to be


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound source."""
    return made_up.films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def labels(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Its labels, by the name of their file."""
    return labels_of(build(base, tmp_path_factory.mktemp("out")))


def build(source: Path, out: Path) -> Path:
    offline.extract(Extract(source=str(source), out=out))
    offline.transform(Transform(out=out, sizes=SIZES))
    return out / "organized"


def labels_of(organized: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in organized.glob("*/labels/*.txt")}


def source_of(base: Path, folder: Path, save: Save, *, place: str = "train", ending: str = ".png") -> Path:
    """The base with its pictures saved in another way."""
    for name in ("train.csv", "train_meta.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((base / name).read_bytes())
    for path in sorted((base / "train").iterdir()):
        target = folder / place / f"{path.stem}{ending}"
        target.parent.mkdir(parents=True, exist_ok=True)
        save(path, target)
    return folder


def gray(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def with_text(path: Path, target: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("PatientName", "DOE^JOHN")
    Image.fromarray(gray(path)).save(target, pnginfo=info)


def with_exif(path: Path, target: Path, orientation: int = 0) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "DOE^JOHN"
    Image.fromarray(gray(path)).save(target, quality=95, exif=exif)


def of_16_bits(path: Path, target: Path) -> None:
    Image.fromarray(gray(path).astype(np.uint16) * 257).save(target)


def of_12_bits(path: Path, target: Path) -> None:
    Image.fromarray(gray(path).astype(np.uint16) * 16).save(target)


def of_4_bits(path: Path, target: Path) -> None:
    Image.fromarray(gray(path) // 16).save(target)


def turned(path: Path, target: Path) -> None:
    with_exif(path, target, 6)


def one_turned(path: Path, target: Path) -> None:
    with_exif(path, target, 3 if path == min(path.parent.iterdir()) else 1)


def linked_out(path: Path, target: Path) -> None:
    target.symlink_to(path.resolve())


@pytest.mark.parametrize(
    ("save", "place", "ending"),
    [
        pytest.param(os.link, "train/2024/a", ".png", id="in folders within"),
        pytest.param(with_text, "train", ".png", id="with a text"),
        pytest.param(with_exif, "train", ".jpg", id="orientation 0"),
        pytest.param(of_16_bits, "train", ".png", id="16 bits"),
    ],
)
def test_dataset_has_the_labels_of_the_base_and_no_text(
    base: Path, labels: dict[str, str], tmp_path: Path, save: Save, place: str, ending: str
) -> None:
    source = source_of(base, tmp_path / "source", save, place=place, ending=ending)
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    organized = build(source, tmp_path / "out")
    assert labels_of(organized) == labels
    assert checking.check(organized).violations.rows() == []
    assert not any(b"DOE^JOHN" in path.read_bytes() for path in organized.rglob("*") if path.is_file())
    assert {path: path.read_bytes() for path in before} == before


def test_hidden_files_choose_no_folder(base: Path, labels: dict[str, str], tmp_path: Path) -> None:
    source = source_of(base, tmp_path / "source", os.link, place="images")
    (source / "train").mkdir()
    (source / "train/._a.png").write_bytes(b"x")
    assert labels_of(build(source, tmp_path / "out")) == labels


@pytest.mark.parametrize(
    ("save", "ending", "reason"),
    [
        pytest.param(of_12_bits, ".png", "of 256 steps", id="12 bits in 16"),
        pytest.param(of_4_bits, ".png", "of 256 steps", id="4 bits in 8"),
        pytest.param(linked_out, ".png", r"\.png is a link that leads out of the folder", id="links leading out"),
        pytest.param(turned, ".jpg", "EXIF data of .* and 39 more says .* No box was turned", id="turned"),
        pytest.param(one_turned, ".jpg", r"EXIF data of \S* says .* No box was turned", id="one turned"),
    ],
)
def test_source_stops_with_the_reason_before_anything_is_written(
    base: Path, tmp_path: Path, save: Save, ending: str, reason: str
) -> None:
    source = source_of(base, tmp_path / "source", save, ending=ending)
    with pytest.raises(RadloopError, match=reason):
        build(source, tmp_path / "out")
    assert not (tmp_path / "out/organized").exists()


def test_published_sums_are_the_files_and_links_stay_links_where_nothing_is_taken_off(
    base: Path, tmp_path: Path
) -> None:
    def one_with_text(path: Path, target: Path) -> None:
        (with_text if path == min((base / "train").iterdir()) else os.link)(path, target)

    source = source_of(base, tmp_path / "source", one_with_text)
    organized = build(source, tmp_path / "out")
    images = pl.read_parquet(organized / "manifest.parquet").filter(kind="image")
    linked = {
        image_id: os.path.samefile(organized / key, source / f"train/{image_id}.png")
        for key, image_id in images["key", "image_id"].rows()
    }
    assert [image_id for image_id, is_link in linked.items() if not is_link] == [min(linked)]
    assert offline.transform(Transform(out=tmp_path / "out", sizes=SIZES)).written is False

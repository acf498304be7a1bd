"""Looking at a folder of pictures: every file ends in a row, nothing is decoded twice."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from radloop import pixels
from radloop.dataset import pictures
from radloop.engines import Local
from radloop.errors import SourceError
from radloop.tables import PICTURES


def draw(path, seed=0, side=64, **options):
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side + 16), Image.Resampling.BICUBIC)
    image.save(path, **options)


def inspect(folder, **options):
    return pictures.inspect(folder, pictures.find(folder), **options)


def problems(table):
    return dict(table.filter(pl.col("problem").is_not_null()).select("image_id", "problem").iter_rows())


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "train"
    made.mkdir()
    for number in range(3):
        draw(made / f"p{number}.png", number)
    return made


def test_names_with_spaces_unicode_dots_and_underscores_are_found(folder):
    for name in ("chest film.png", "søster-é.PNG", "1.2.840.10008.jpeg", "a_b_R1.JPG"):
        draw(folder / name, format="PNG" if name.lower().endswith("png") else "JPEG")
    found = pictures.find(folder)
    assert found["image_id"].to_list() == ["1.2.840.10008", "a_b_R1", "chest film", "p0", "p1", "p2", "søster-é"]
    assert found["problem"].null_count() == len(found)
    assert pictures.inspect(folder, found)["problem"].null_count() == len(found)


def test_folders_hidden_files_and_other_files_are_passed_over(folder):
    (folder / "deeper.png").mkdir()
    (folder / "._p0.png").write_bytes(b"what macOS leaves")
    (folder / "train_meta.csv").write_text("image_id,dim0,dim1\n")
    assert pictures.find(folder)["image_id"].to_list() == ["p0", "p1", "p2"]


def test_what_cannot_be_a_picture_of_the_dataset_has_a_problem(folder, tmp_path):
    draw(tmp_path / "secret.png")
    (folder / "outside.png").symlink_to(tmp_path / "secret.png")
    (folder / "inside.png").symlink_to("p0.png")
    (folder / "broken.png").symlink_to("nothing.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "back\\slash.png").write_bytes(b"x")
    (folder / "new\nline.png").write_bytes(b"x")
    draw(folder / "p1.jpg")
    os.mkfifo(folder / "pipe.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9.png")).write_bytes(b"x")

    found = problems(pictures.find(folder))

    assert found.pop("back\\slash").endswith("is not safe in an object store")
    assert found.pop("new\nline").endswith("is not safe in an object store")
    assert found == {
        "broken": "a broken link",
        "latin-\\xe9": "its name is not UTF-8",
        "loop": "a broken link",
        "outside": "a link that leads out of the folder",
        "p1": "2 files have this image_id: p1.jpg, p1.png",
        "pipe": "not a regular file",
    }
    table = inspect(folder)
    assert table["image_id"].is_unique().all()
    assert problems(table).keys() >= found.keys()
    assert "inside" in table.filter(pl.col("problem").is_null())["image_id"]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(SourceError, match="the pictures cannot be listed"):
        pictures.find(tmp_path / "nothing")


def test_a_sound_picture_is_measured_whole(folder):
    row = inspect(folder).row(0, named=True)
    gray = np.asarray(Image.open(folder / "p0.png"))
    assert (row["width"], row["height"]) == (64, 80)
    assert row["bytes"] == (folder / "p0.png").stat().st_size
    assert row["mean"] == pytest.approx(gray.mean())
    assert row["pixels_md5"] == pixels.fingerprint(gray)
    assert len(row["md5"]) == 32
    assert len(row["phash"]) == 16


def test_every_hostile_file_is_a_row_with_a_problem(folder):
    whole = (folder / "p0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:-30])
    (folder / "text.png").write_text("not a picture")
    (folder / "zero.png").touch()
    with (folder / "vast.png").open("wb") as file:
        file.truncate(pictures.MAX_BYTES + 1)
    draw(folder / "gone.png")
    found = pictures.find(folder)
    (folder / "gone.png").unlink()

    table = pictures.inspect(folder, found)

    assert table.schema == PICTURES
    assert table["image_id"].to_list() == found["image_id"].to_list()
    assert problems(table) == {
        "cut": "cut off or damaged: the PNG ends inside its chunk IDAT at byte 33",
        "gone": "cannot be read: No such file or directory",
        "text": "neither a PNG nor a JPEG",
        "vast": f"{2**28 + 1} bytes are more than any radiograph has ({2**28}): not read",
        "zero": "the file is empty",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_a_row_and_is_tried_again(folder, tmp_path):
    cache = tmp_path / "cache.parquet"
    (folder / "p0.png").chmod(0)
    assert problems(inspect(folder, cache=cache)) == {"p0": "cannot be read: Permission denied"}
    (folder / "p0.png").chmod(0o644)
    assert problems(inspect(folder, cache=cache)) == {}


def test_headers_give_the_sizes_without_decoding(folder):
    (folder / "p0.png").write_bytes((folder / "p0.png").read_bytes()[:40])
    draw(folder / "long.jpg", comment=b"x" * 60_000)
    (folder / "text.png").write_text("not a picture")
    sizes = pictures.read_headers(folder, pictures.find(folder))
    assert sizes.rows() == [("long", 64, 80), ("p0", 64, 80), ("p1", 64, 80), ("p2", 64, 80)]


def test_a_second_run_looks_only_at_what_changed(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "pictures.parquet"
    first = inspect(folder, cache=cache)
    draw(folder / "p1.png", seed=9)
    draw(folder / "p3.png", seed=3)
    looked_at = []
    plain = pictures.inspect_shard
    monkeypatch.setattr(pictures, "inspect_shard", lambda root, paths: looked_at.extend(paths) or plain(root, paths))

    second = inspect(folder, cache=cache)
    inspect(folder, cache=cache)

    assert looked_at == ["p1.png", "p3.png"]
    assert second.filter(pl.col("image_id").is_in(["p0", "p2"])).equals(
        first.filter(pl.col("image_id").is_in(["p0", "p2"]))
    )
    assert second.equals(inspect(folder))


@pytest.mark.parametrize("damage", [b"", b"PAR1 not really PAR1"], ids=["empty", "nonsense"])
def test_a_damaged_cache_is_no_cache(folder, tmp_path, damage):
    cache = tmp_path / "cache.parquet"
    cache.write_bytes(damage)
    assert inspect(folder, cache=cache).equals(inspect(folder))
    assert pl.read_parquet(cache).height == 3


def test_thumbnails_come_in_the_order_asked_for_with_and_without_a_cache(folder, tmp_path):
    cache = tmp_path / "cache.parquet"
    table = inspect(folder, cache=cache)
    kept = cache.read_bytes()
    small = pictures.thumbnails(folder, table, ["p2", "p0"], cache=cache)
    assert small.shape == (2, 32, 32)
    assert np.array_equal(small, pictures.thumbnails(folder, table, ["p2", "p0"]))
    assert np.array_equal(small[1], pictures.thumbnails(folder, table, ["p0"])[0])
    assert cache.read_bytes() == kept


def test_a_thumbnail_of_a_picture_that_changed_is_refused(folder):
    table = inspect(folder)
    draw(folder / "p1.png", seed=9)
    with pytest.raises(SourceError, match="p1 changed while it was worked on"):
        pictures.thumbnails(folder, table, ["p0", "p1"])


def test_progress_ends_at_the_total(folder):
    calls = []
    inspect(folder, progress=lambda what, done, total, unit="files": calls.append((what, done, total)))
    assert calls[-1] == ("pictures", 3, 3)


def many(folder, count):
    data = (folder / "p0.png").read_bytes()
    for number in range(count):
        (folder / f"q{number:04}.png").write_bytes(data)


def test_two_processes_see_what_one_sees(folder, monkeypatch):
    monkeypatch.setattr(pictures, "_FEW", 8)
    many(folder, 40)
    assert inspect(folder, engine=Local(2)).equals(inspect(folder))


HANG = """
import sys, time
from pathlib import Path
from radloop.dataset import pictures

folder, cache = map(Path, sys.argv[1:])
plain = pictures.inspect_shard
pictures._SAVE_EVERY = 32
pictures.inspect_shard = lambda root, paths: time.sleep(600) if "q0090.png" in paths else plain(root, paths)
pictures.inspect(folder, pictures.find(folder), cache=cache)
"""


@pytest.mark.slow
def test_a_killed_run_keeps_most_of_what_it_did(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache.parquet"
    many(folder, 100)
    with subprocess.Popen([sys.executable, "-c", HANG, folder, cache]) as process:
        give_up = time.monotonic() + 60
        while not (cache.exists() and pl.read_parquet(cache).height >= 64) and time.monotonic() < give_up:
            time.sleep(0.02)
        process.kill()

    looked_at = []
    plain = pictures.inspect_shard
    monkeypatch.setattr(pictures, "inspect_shard", lambda root, paths: looked_at.extend(paths) or plain(root, paths))
    assert inspect(folder, cache=cache)["problem"].null_count() == 103
    assert len(looked_at) == 103 - 64

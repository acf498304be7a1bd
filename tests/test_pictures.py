"""Looking at a folder of pictures: every file ends in a row, nothing is decoded twice."""

import hashlib
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, PngImagePlugin

from radloop import pixels, sealed
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
        "outside": "outside.png is a link that leads out of the folder: put the picture itself there",
        "p1": "2 files have this image_id: p1.jpg, p1.png",
        "pipe": "not a regular file",
    }
    table = inspect(folder)
    assert table["image_id"].is_unique().all()
    assert problems(table).keys() >= found.keys()
    assert "inside" in table.filter(pl.col("problem").is_null())["image_id"]


@pytest.mark.parametrize("deep", ["a", "a/b/c", "2024.01/p0.png"])
def test_pictures_in_folders_within_are_found(folder, deep):
    (folder / deep).mkdir(parents=True)
    draw(folder / deep / "q.png", 9)
    table = inspect(folder)
    assert problems(table) == {}
    assert table.filter(image_id="q")["path"].to_list() == [f"{deep}/q.png"]


@pytest.mark.parametrize("other", ["a/p1.png", "a/b/p1.jpg", "a/p1.JPEG"])
def test_pictures_of_one_name_in_two_folders_are_named(folder, other):
    (folder / other).parent.mkdir(parents=True)
    draw(folder / other, format="PNG" if other.endswith("png") else "JPEG")
    assert problems(pictures.find(folder)) == {"p1": f"2 files have this image_id: {other}, p1.png"}


@pytest.mark.parametrize(
    "kept", [".hidden/q.png", "out/organized/training/images/q.png", "export/manifest.parquet/q.png"]
)
def test_hidden_folders_and_what_radloop_wrote_are_passed_over(folder, kept):
    (folder / kept).parent.mkdir(parents=True)
    draw(folder / kept)
    assert pictures.find(folder)["image_id"].to_list() == ["p0", "p1", "p2"]


@pytest.mark.parametrize("inside", [True, False])
def test_linked_folder_of_pictures_stops_with_its_name(folder, tmp_path, inside):
    real = folder / "real" if inside else tmp_path / "real"
    real.mkdir()
    draw(real / "q.png")
    (folder / "link").symlink_to(real)
    with pytest.raises(SourceError, match="train/link is a link to a folder of pictures"):
        pictures.find(folder)


def test_linked_folder_without_pictures_is_passed_over(folder, tmp_path):
    (tmp_path / "notes").mkdir()
    (folder / "notes").symlink_to(tmp_path / "notes")
    assert len(pictures.find(folder)) == 3


@pytest.mark.parametrize("orientation", [0, 1, 9, 77])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_orientation_that_means_nothing_is_none(folder, orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    draw(folder / f"q.{form.lower()}", exif=exif)
    assert problems(inspect(folder)) == {}


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_picture_to_be_shown_turned_stops_and_is_named(folder, orientation, form, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    draw(folder / f"q.{form.lower()}", exif=exif)
    for _ in range(2):  # also from the cache
        inspected = inspect(folder, cache=tmp_path / "cache.parquet")
        with pytest.raises(SourceError, match=rf"EXIF data of q\.{form.lower()} says .* No box was turned"):
            pictures.require_upright(inspected)


@pytest.mark.parametrize(
    ("low", "high", "type_"),
    [
        pytest.param(0, 4095, np.uint16, id="12 bits in 16"),
        pytest.param(0, 1023, np.uint16, id="10 bits in 16"),
        pytest.param(30_000, 32_000, np.uint16, id="in the middle of 16 bits"),
        pytest.param(0, 15, np.uint8, id="4 bits in 8"),
        pytest.param(240, 255, np.uint8, id="nearly white"),
        pytest.param(0, 0, np.uint8, id="black"),
    ],
)
def test_picture_that_uses_few_gray_values_has_a_problem(folder, low, high, type_):
    values = np.random.default_rng(0).integers(low, high, (64, 64), endpoint=True).astype(type_)
    values[0, 0] = np.iinfo(type_).max  # a marker burnt in makes no radiograph of it
    Image.fromarray(values).save(folder / "q.png")
    assert "of 256 steps, a sixteenth or less" in problems(inspect(folder))["q"]
    shown = pictures.inspect(folder, pictures.find(folder), to_publish=False)
    assert problems(shown) == {}


@pytest.mark.parametrize(
    ("low", "high", "type_"),
    [
        pytest.param(0, 65535, np.uint16, id="16 bits"),
        pytest.param(0, 8191, np.uint16, id="13 bits in 16"),
        pytest.param(100, 130, np.uint8, id="pale"),
    ],
)
def test_picture_that_uses_enough_gray_values_has_none(folder, low, high, type_):
    values = np.random.default_rng(0).integers(low, high, (64, 64), endpoint=True).astype(type_)
    Image.fromarray(values).save(folder / "q.png")
    assert problems(inspect(folder)) == {}


def test_size_and_sum_are_those_of_the_picture_without_its_tags(folder, tmp_path):
    whole = (folder / "p0.png").read_bytes()
    Image.open(folder / "p0.png").save(folder / "q.png", exif=Image.Exif(), pnginfo=text("DOE^JOHN"))
    rows = inspect(folder, cache=tmp_path / "cache.parquet").filter(pl.col("image_id").is_in(["p0", "q"]))
    assert rows["md5"].to_list() == [hashlib.md5(whole).hexdigest()] * 2
    assert rows["sha256"].to_list() == [hashlib.sha256(whole).hexdigest()] * 2
    assert rows["bytes"].to_list() == [len(whole)] * 2
    assert inspect(folder, cache=tmp_path / "cache.parquet").equals(inspect(folder))
    shown = pictures.inspect(folder, pictures.find(folder), to_publish=False).filter(image_id="q")
    assert shown["md5"].to_list() == [hashlib.md5((folder / "q.png").read_bytes()).hexdigest()]


def text(value):
    info = PngImagePlugin.PngInfo()
    info.add_text("PatientName", value)
    return info


def by_names(first, second):
    first.rename(first.with_name("aside"))
    second.rename(first)
    first.with_name("aside").rename(second)


def by_bytes(first, second):
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def by_new_files(first, second):
    one, other = first.read_bytes(), second.read_bytes()
    first.unlink()
    second.unlink()
    second.write_bytes(one)
    first.write_bytes(other)


@pytest.mark.parametrize("swap", [by_names, by_bytes, by_new_files])
def test_two_pictures_swapped_under_one_size_and_time_are_noticed(folder, tmp_path, swap):
    pair = [folder / "p0.png", folder / "p1.png"]
    longest = max(path.stat().st_size for path in pair)
    for path in pair:
        path.write_bytes(path.read_bytes().ljust(longest, b"\0"))
        os.utime(path, ns=(10**18, 10**18))
    before = inspect(folder, cache=tmp_path / "cache.parquet")
    swap(*pair)
    for path in pair:
        os.utime(path, ns=(10**18, 10**18))
    after = inspect(folder, cache=tmp_path / "cache.parquet")
    assert after.equals(inspect(folder))
    assert after["pixels_md5"][:2].to_list() == before["pixels_md5"][:2].to_list()[::-1]


def test_pictures_that_only_got_a_link_are_read_once_more_and_not_decoded(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache.parquet"
    first = inspect(folder, cache=cache)
    for number in range(3):
        os.link(folder / f"p{number}.png", tmp_path / f"{number}.png")
    looked_at, read = [], []
    plain = pictures._sums_of
    monkeypatch.setattr(pictures, "inspect_shard", lambda root, paths: looked_at.extend(paths))
    monkeypatch.setattr(pictures, "_sums_of", lambda path, tagged: read.append(path.name) or plain(path, tagged))
    for _ in range(2):
        assert inspect(folder, cache=cache).equals(first)
    assert looked_at == []
    assert sorted(read) == ["p0.png", "p1.png", "p2.png"]


def test_a_cache_without_sha256_is_completed_without_decoding(folder, tmp_path, monkeypatch):
    Image.open(folder / "p0.png").save(folder / "q.png", pnginfo=text("DOE^JOHN"))
    cache = tmp_path / "cache.parquet"
    first = inspect(folder, cache=cache)
    kept = sealed.decode(cache.read_bytes(), up_to=2)
    cache.write_bytes(sealed.encode(kept.drop("sha256", "bare_sha256")))  # as radloop wrote it before
    monkeypatch.setattr(pictures, "inspect_shard", lambda *_: pytest.fail("a picture was decoded"))
    assert inspect(folder, cache=cache).equals(first)
    assert first["sha256"].null_count() == 0
    assert sealed.decode(cache.read_bytes(), up_to=2).sort("path").equals(kept.sort("path"))


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
    small = pictures.thumbnails(folder, table, pl.Series(["p2", "p0"]), cache=cache)
    assert small.shape == (2, 32, 32)
    assert np.array_equal(small, pictures.thumbnails(folder, table, pl.Series(["p2", "p0"])))
    assert np.array_equal(small[1], pictures.thumbnails(folder, table, pl.Series(["p0"]))[0])
    assert cache.read_bytes() == kept


def test_all_distinct_thumbnails_are_given_without_a_copy(folder):
    (folder / "q.png").write_bytes((folder / "p1.png").read_bytes())
    (folder / "bad.png").write_bytes(b"none")
    small = pictures.Thumbnails(inspect(folder), partial(pictures.thumbnails, folder))
    every = small(pl.Series(["p0", "p1", "p2"]))
    assert every is small(pl.Series(["p0", "p1", "p2"]))
    assert np.array_equal(small(pl.Series(["q", "p0"])), every[[1, 0]])
    assert small(pl.Series([], dtype=pl.String)).shape == (0, 32, 32)


def test_a_thumbnail_of_a_picture_that_changed_is_refused(folder):
    table = inspect(folder)
    draw(folder / "p1.png", seed=9)
    with pytest.raises(SourceError, match="p1 changed while it was worked on"):
        pictures.thumbnails(folder, table, pl.Series(["p0", "p1"]))


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
        while not cache.with_suffix(".0.parquet").exists() and time.monotonic() < give_up:
            time.sleep(0.02)
        process.kill()

    looked_at = []
    plain = pictures.inspect_shard
    monkeypatch.setattr(pictures, "inspect_shard", lambda root, paths: looked_at.extend(paths) or plain(root, paths))
    assert inspect(folder, cache=cache)["problem"].null_count() == 103
    assert len(looked_at) == 103 - 64

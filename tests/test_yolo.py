"""Writing the YOLO tree: the right bytes, links, one switch; nothing of others lost; and finding its parts again."""

import errno
import hashlib
import io
import os
import pickle
import signal
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from radloop import files, manifest, tree
from radloop.dataset import yolo
from radloop.dataset.plan import Plan
from radloop.errors import DatasetError
from radloop.tables import MANIFEST


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def plan(
    pictures: Path, readings: dict[str, str], *, images: dict[str, bytes] | None = None, yaml: bytes = b"train: t\n"
) -> Plan:
    """A plan of training labels (`image_reader` -> text) whose pictures it puts under `pictures` where absent."""
    contents = images or {}
    image_rows, label_rows = [], []
    for name, text in sorted(readings.items()):
        image_id, rad_id = name.split("_")
        picture = contents.get(image_id, image_id.encode() * 1000)
        source = pictures / f"{image_id}.png"
        pictures.mkdir(exist_ok=True)
        if not source.exists() or source.read_bytes() != picture:
            source.unlink(missing_ok=True)
            source.write_bytes(picture)
        common = {"image_id": image_id, "rad_id": rad_id, "split": "training"}
        image_rows.append(
            {"key": f"training/images/{name}.png", "kind": "image", "source": source.name}
            | {"bytes": len(picture), "md5": md5(picture)}
            | common
        )
        label_rows.append(
            {"key": f"training/labels/{name}.txt", "kind": "label", "text": text}
            | {"bytes": len(text), "md5": md5(text.encode())}
            | common
        )
    image_table = pl.DataFrame(image_rows, schema={**MANIFEST, "source": pl.String})
    label_table = pl.DataFrame(label_rows, schema={**MANIFEST, "text": pl.String})
    document = {"key": "data.yaml", "kind": "yaml", "bytes": len(yaml), "md5": md5(yaml)}
    listed = pl.concat(
        [image_table.drop("source"), label_table.drop("text"), pl.DataFrame([document], schema=MANIFEST)]
    ).sort("key")
    lists = image_table.sort("key").lazy(), label_table.sort("key").lazy()
    return Plan(*lists, {"data.yaml": yaml}, listed.lazy(), manifest.version(listed))


ONE = {"a_R1": "0 0.500000 0.500000 0.100000 0.100000\n", "a_R2": "", "b_R1": "3 0.4 0.4 0.1 0.1\n"}
TWO = {"a_R1": "1 0.500000 0.500000 0.100000 0.100000\n", "c_R1": ""}


def contents(root: Path) -> dict[str, bytes]:
    return {key: (root / key).read_bytes() for key in yolo.walk(root)}


def inodes(root: Path) -> dict[str, int]:
    return {key: (root / key).stat().st_ino for key in yolo.walk(root)}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refuse(number: int) -> object:
    def call(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_tree_holds_what_the_plan_says(tmp_path: Path) -> None:
    made = plan(tmp_path / "raw", ONE)
    assert yolo.write(made, tmp_path / "out/organized", pictures=tmp_path / "raw")
    assert contents(tmp_path / "out/organized") == {
        "training/images/a_R1.png": b"a" * 1000,
        "training/images/a_R2.png": b"a" * 1000,
        "training/images/b_R1.png": b"b" * 1000,
        "training/labels/a_R1.txt": ONE["a_R1"].encode(),
        "training/labels/a_R2.txt": b"",
        "training/labels/b_R1.txt": ONE["b_R1"].encode(),
        "data.yaml": b"train: t\n",
        "manifest.parquet": manifest.encode(made.manifest),
    }
    assert names(tmp_path / "out") == ["organized"]


def test_pictures_are_links_to_their_source(tmp_path: Path) -> None:
    yolo.write(plan(tmp_path / "raw", ONE), tmp_path / "organized", pictures=tmp_path / "raw")
    for name in ("a_R1", "a_R2"):
        assert os.path.samefile(tmp_path / "raw/a.png", tmp_path / f"organized/training/images/{name}.png")


def tagged(pictures: Path, image_id: str) -> bytes:
    """Give a source a text; the same picture without it."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20), dtype=np.uint8)).save(buffer, "PNG")
    bare = buffer.getvalue()
    pictures.mkdir(exist_ok=True)
    text = b"PatientName\0DOE^JOHN"
    chunk = len(text).to_bytes(4) + b"tEXt" + text + zlib.crc32(b"tEXt" + text).to_bytes(4)
    (pictures / f"{image_id}.png").write_bytes(bare[:33] + chunk + bare[33:])
    return bare


def test_picture_with_a_text_is_published_without_it_as_a_file_of_its_own(tmp_path: Path) -> None:
    raw, organized = tmp_path / "raw", tmp_path / "organized"
    made = plan(raw, ONE, images={"a": tagged(raw, "a")})
    tagged(raw, "a")
    source = (raw / "a.png").read_bytes()
    assert yolo.write(made, organized, pictures=raw)
    first, second = (organized / f"training/images/{name}.png" for name in ("a_R1", "a_R2"))
    assert b"DOE" not in first.read_bytes()
    assert os.path.samefile(first, second)
    assert not os.path.samefile(first, raw / "a.png")
    assert os.path.samefile(organized / "training/images/b_R1.png", raw / "b.png")
    assert (raw / "a.png").read_bytes() == source
    assert not yolo.write(made, organized, pictures=raw)


def test_picture_with_a_text_that_changed_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    made = plan(raw, ONE, images={"a": tagged(raw, "a")})
    tagged(raw, "a")
    (raw / "a.png").write_bytes((raw / "a.png").read_bytes().replace(b"IDAT", b"IDAt"))
    with pytest.raises(DatasetError, match="has changed since it was inspected"):
        yolo.write(made, tmp_path / "organized", pictures=raw)


def test_labels_are_not_programs_and_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        yolo.write(plan(tmp_path / "raw", ONE), tmp_path / "organized", pictures=tmp_path / "raw")
    finally:
        os.umask(before)
    assert (tmp_path / "organized/training/labels/a_R1.txt").stat().st_mode & 0o777 == 0o640


def test_picture_in_a_folder_of_its_own_is_found(tmp_path: Path) -> None:
    made = plan(tmp_path / "raw", ONE)
    (tmp_path / "raw/train").mkdir()
    for path in list((tmp_path / "raw").glob("*.png")):
        path.rename(tmp_path / "raw/train" / path.name)
    moved = made.images.with_columns(source="train/" + pl.col("source"))
    made = Plan(moved, made.labels, made.documents, made.manifest, made.version)
    assert yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")
    assert (tmp_path / "organized/training/images/b_R1.png").read_bytes() == b"b" * 1000


def test_source_that_cannot_be_linked_is_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def other_file_system(source: str | Path, target: str | Path, **options: int) -> None:
        if "src_dir_fd" in options or Path(source).parent == tmp_path / "raw":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", other_file_system)
    made = plan(tmp_path / "raw", {f"a_R{number}": "" for number in range(1, 5)})
    yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")
    copies = {key: number for key, number in inodes(tmp_path / "organized").items() if key.endswith(".png")}
    assert len(copies) == 4
    assert len(set(copies.values())) == 1
    assert (tmp_path / "raw/a.png").stat().st_ino not in copies.values()
    assert not yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")


def test_source_with_too_many_links_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def at_most_three(source: str | Path, target: str | Path, **options: int) -> None:
        there = os.stat(source, dir_fd=options.get("src_dir_fd"))
        if there.st_nlink >= 3:
            raise OSError(errno.EMLINK, "Too many links")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", at_most_three)
    made = plan(tmp_path / "raw", {f"a_R{number}": "" for number in range(1, 9)})
    yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")
    found = contents(tmp_path / "organized")
    assert [found[f"training/images/a_R{number}.png"] for number in range(1, 9)] == [b"a" * 1000] * 8


def calls(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> Counter[str]:
    """How often `work` asks the system, by the functions of `os` that do so."""
    counted: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., object]:
        call = getattr(os, name)

        def counts(*arguments: object, **options: object) -> object:
            counted[name] += 1
            return call(*arguments, **options)

        return counts

    with monkeypatch.context() as patched:
        for name in CALLS:
            patched.setattr(os, name, counting(name))
        work()
    return counted


CALLS = (
    *("open", "close", "read", "write", "mknod", "link", "stat", "lstat", "fstat", "mkdir", "listdir", "scandir"),
    *("chmod", "fchmod", "chown", "utime", "fsync", "ftruncate", "rename", "replace", "unlink", "readlink"),
)


def test_a_file_more_costs_no_more_calls_than_the_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine: three calls a label, one if it is empty, one a link, and a look at each picture."""
    text = "0 0.5 0.5 0.1 0.1\n"

    def written(images: int, *, again: bool) -> Counter[str]:
        readings = {f"i{i}_R{reader}": text if reader == 1 else "" for i in range(images) for reader in (1, 2, 3)}
        made, raw = plan(tmp_path / f"raw{images}", readings), tmp_path / f"raw{images}"
        target = tmp_path / f"organized{images}"
        return calls(monkeypatch, lambda: yolo.write(made, target, pictures=raw) is again or pytest.fail("not so"))

    more = written(30, again=True) - written(10, again=True)
    labels, empty, links, pictures = 20, 40, 60, 20
    assert more == Counter(open=labels, write=labels, close=labels, mknod=empty, link=links, stat=pictures)
    more = written(30, again=False) - written(10, again=False)
    assert more == Counter(open=labels, read=labels, close=labels, stat=empty + links + pictures)


def test_where_no_file_can_be_made_by_one_call_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mknod", refuse(errno.EPERM))
    yolo.write(plan(tmp_path / "raw", ONE), tmp_path / "organized", pictures=tmp_path / "raw")
    assert (tmp_path / "organized/training/labels/a_R2.txt").read_bytes() == b""


def test_second_write_of_the_same_touches_nothing(tmp_path: Path) -> None:
    made = plan(tmp_path / "raw", ONE)
    yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")
    before = inodes(tmp_path / "organized")
    assert not yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")
    assert inodes(tmp_path / "organized") == before


@pytest.mark.parametrize(
    ("key", "data"),
    [
        pytest.param("training/labels/a_R1.txt", b"7 0.500000 0.500000 0.100000 0.100000\n", id="a label, same size"),
        pytest.param("training/labels/a_R2.txt", None, id="a label gone"),
        pytest.param("training/images/b_R1.png", b"B" * 1000, id="a picture, same size"),
        pytest.param("training/images/b_R1.png", None, id="a picture gone"),
        pytest.param("data.yaml", b"val: t", id="the yaml"),
        pytest.param("training/labels", None, id="a folder gone"),
    ],
)
def test_damaged_tree_is_mended_by_a_second_write(tmp_path: Path, key: str, data: bytes | None) -> None:
    made = plan(tmp_path / "raw", ONE)
    yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")
    sound = contents(tmp_path / "organized")
    if (tmp_path / "organized" / key).is_dir():
        for path in (tmp_path / "organized" / key).iterdir():
            path.unlink()
        (tmp_path / "organized" / key).rmdir()
    else:
        (tmp_path / "organized" / key).unlink()
    if data is not None:
        (tmp_path / "organized" / key).write_bytes(data)
    assert yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")
    assert contents(tmp_path / "organized") == sound


def test_new_version_takes_the_old_ones_place_and_keeps_what_no_manifest_lists(tmp_path: Path) -> None:
    organized = tmp_path / "organized"
    yolo.write(plan(tmp_path / "raw", ONE), organized, pictures=tmp_path / "raw")
    kept = {
        "retrain/retrain.csv": b"image_id",
        "retrain/labels.cache": b"of labels that stay",
        "notes.txt": b"mine",
        "training/images/.hidden": b"mine",
    }
    for key, data in (kept | {"training/labels.cache": b"stale"}).items():
        (organized / key).parent.mkdir(exist_ok=True)
        (organized / key).write_bytes(data)
    (organized / "link").symlink_to("nowhere")
    before = (organized / "retrain/retrain.csv").stat().st_ino

    assert yolo.write(plan(tmp_path / "raw", TWO), organized, pictures=tmp_path / "raw")
    assert (organized / "link").readlink() == Path("nowhere")
    (organized / "link").unlink()
    found = contents(organized)
    assert {key: found.pop(key) for key in kept} == kept
    assert sorted(found) == [
        "data.yaml",
        "manifest.parquet",
        "training/images/a_R1.png",
        "training/images/c_R1.png",
        "training/labels/a_R1.txt",
        "training/labels/c_R1.txt",
    ]
    assert (organized / "retrain/retrain.csv").stat().st_ino == before
    assert (tmp_path / "raw/b.png").exists()


def test_folder_that_holds_only_retraining_data_is_ours(tmp_path: Path) -> None:
    (tmp_path / "organized/retrain").mkdir(parents=True)
    (tmp_path / "organized/retrain/retrain.csv").write_bytes(b"x")
    yolo.write(plan(tmp_path / "raw", ONE), tmp_path / "organized", pictures=tmp_path / "raw")
    assert contents(tmp_path / "organized")["retrain/retrain.csv"] == b"x"


def test_folder_of_somebody_else_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "organized").mkdir()
    (tmp_path / "organized/thesis.doc").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"holds thesis\.doc\. Move it away"):
        yolo.write(plan(tmp_path / "raw", ONE), tmp_path / "organized", pictures=tmp_path / "raw")
    assert contents(tmp_path / "organized") == {"thesis.doc": b"x"}


def test_unlisted_file_where_the_new_version_needs_its_name_is_refused_untouched(tmp_path: Path) -> None:
    organized = tmp_path / "organized"
    yolo.write(plan(tmp_path / "raw", ONE), organized, pictures=tmp_path / "raw")
    (organized / "training/labels/c_R1.txt").write_bytes(b"mine")
    before = contents(organized)
    with pytest.raises(DatasetError, match=r"c_R1\.txt is in the way"):
        yolo.write(plan(tmp_path / "raw", TWO), organized, pictures=tmp_path / "raw")
    assert contents(organized) == before
    assert names(tmp_path) == ["organized", "raw"]


@pytest.mark.parametrize("data", [None, b"short"])
def test_picture_that_changed_since_it_was_inspected_is_an_error(tmp_path: Path, data: bytes | None) -> None:
    made = plan(tmp_path / "raw", ONE)
    (tmp_path / "raw/b.png").unlink()
    if data is not None:
        (tmp_path / "raw/b.png").write_bytes(data)
    with pytest.raises(DatasetError, match=r"b\.png has (gone|changed) since it was inspected"):
        yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw")
    assert not (tmp_path / "organized").exists()


@pytest.mark.parametrize("call", ["write", "link", "mkdir", "mknod", "replace", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_refusing_disk_is_one_sentence_and_leaves_the_old_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    organized = tmp_path / "organized"
    yolo.write(plan(tmp_path / "raw", ONE), organized, pictures=tmp_path / "raw")
    before = contents(organized)
    made = plan(tmp_path / "raw", TWO)
    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse(number))
        if call == "link" and number == errno.EACCES:
            patched.setattr(files, "link_or_copy", refuse(number))
        with pytest.raises(DatasetError, match=r"could not be written: .*, then run it again"):
            yolo.write(made, organized, pictures=tmp_path / "raw")
    assert contents(organized) == before
    assert names(tmp_path) == ["organized", "raw"]


def test_leftover_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".organized.new/training").mkdir(parents=True)
    (tmp_path / ".organized.new/training/x").write_bytes(b"half")
    yolo.write(plan(tmp_path / "raw", ONE), tmp_path / "organized", pictures=tmp_path / "raw")
    assert names(tmp_path) == ["organized", "raw"]


def test_linked_folder_is_written_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "organized").symlink_to(tmp_path / "big")
    yolo.write(plan(tmp_path / "raw", ONE), tmp_path / "organized", pictures=tmp_path / "raw", durable=True)
    assert (tmp_path / "organized").is_symlink()
    assert (tmp_path / "big/data.yaml").exists()


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    said: dict[str, tuple[int, int]] = {}

    def progress(what: str, done: int, total: int, unit: str = "files") -> None:
        said[what] = (done, total)

    made = plan(tmp_path / "raw", ONE)
    yolo.write(made, tmp_path / "organized", pictures=tmp_path / "raw", progress=progress)
    assert said == {"labels": (3, 3), "pictures": (3, 3)}


# The real writer in a process of its own, which kills itself just before its Nth call that changes the disk.
KILLED_WRITER = """
import os, pickle, shutil, signal, sys
from pathlib import Path
from radloop.dataset import yolo

left = int(sys.argv[4])

def counted(call):
    def wrapper(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapper

for name in ("write", "link", "mkdir", "mknod", "replace", "rename", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
look, create = os.open, counted(os.open)
os.open = lambda path, flags, *arguments, **options: (create if flags & os.O_CREAT else look)(
    path, flags, *arguments, **options
)
from radloop import files
files.exchange = counted(files.exchange)
plan = pickle.loads(Path(sys.argv[1]).read_bytes())
yolo.write(plan, Path(sys.argv[2]), pictures=Path(sys.argv[3]))
"""


def write_killed_at(step: int, pickled: Path, organized: Path, pictures: Path) -> bool:
    """Whether the writer was killed before it had done."""
    arguments = [str(pickled), str(organized), str(pictures), str(step)]
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, *arguments], check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.slow
def test_kill_at_every_step_leaves_one_whole_tree_and_a_second_run_ends_alike(tmp_path: Path) -> None:
    pictures = tmp_path / "raw"
    old, new = plan(pictures, ONE), plan(pictures, TWO)
    undisturbed = tmp_path / "undisturbed"
    yolo.write(old, undisturbed, pictures=pictures)
    (undisturbed / "retrain").mkdir()
    (undisturbed / "retrain/retrain.csv").write_bytes(b"x")
    before = contents(undisturbed)
    yolo.write(new, undisturbed, pictures=pictures)
    after = contents(undisturbed)
    pickled = tmp_path / "plan.pickle"
    pickled.write_bytes(pickle.dumps(new))

    seen, step = set(), 0
    while True:
        place = tmp_path / str(step)
        organized = place / "organized"
        yolo.write(old, organized, pictures=pictures)
        (organized / "retrain").mkdir()
        (organized / "retrain/retrain.csv").write_bytes(b"x")
        killed = write_killed_at(step, pickled, organized, pictures)
        found = contents(organized)
        assert found in (before, after)
        seen.add(found == after)
        yolo.write(new, organized, pictures=pictures)
        assert contents(organized) == after
        assert names(place) == ["organized"]
        if not killed:
            break
        step += 1
    assert seen == {False, True}


def test_read_finds_the_yamls_and_where_they_lead(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("train: training/images\nval: [validation/images, more/images]\nnames: [a]\n")
    (tmp_path / "args.yaml").write_text("epochs: 3\n")
    (tmp_path / "data-canary.yml").write_text("path: /elsewhere\nval: canary/images\n")
    first, second = yolo.read(tmp_path).configs
    assert (first.key, second.key) == ("data-canary.yml", "data.yaml")
    assert first.splits["val"] == [Path("/elsewhere/canary/images")]
    assert second.splits == {
        "train": [tmp_path / "training/images"],
        "val": [tmp_path / "validation/images", tmp_path / "more/images"],
        "test": [],
    }


def test_broken_data_yaml_is_found_with_its_problem(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("train: [")
    (config,) = yolo.read(tmp_path).configs
    assert config.problem is not None
    assert "flow" in config.problem


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("/d/training/images/a_R1.png", "/d/training/labels/a_R1.txt"),
        ("/images/training/images/a.png", "/images/training/labels/a.txt"),
        ("/d/images/deep/a.1.jpeg", "/d/labels/deep/a.1.txt"),
        ("/d/myimages/a.png", "/d/myimages/a.txt"),
    ],
)
def test_label_path_is_the_trainers(picture: str, label: str) -> None:
    assert tree.label_path(picture) == label

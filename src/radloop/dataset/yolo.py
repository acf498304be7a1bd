"""The YOLO tree on disk: write a plan as one, find the parts of any."""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import files, manifest, tree
from radloop.dataset import portions, trainer_yaml
from radloop.dataset.plan import Plan
from radloop.errors import DatasetError, SourceError
from radloop.progress import Progress, silent
from radloop.tags import without_tags

# The endings that the trainer looks for in a folder of pictures; it passes over all others without a word.
PICTURE_SUFFIXES: Final = frozenset(
    {"avif", "bmp", "dng", "heic", "heif", "jp2", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp"}
)

_FOLDER: Final = pl.col("key").str.replace(r"/?[^/]*$", "")  # of a file
_BATCH: Final = 4096  # files between two words to `progress`
_MAKES_FILES: Final = os.mknod in os.supports_dir_fd
_WAYS_OUT: Final = {
    errno.ENOSPC: "The disk is full: free some space",
    errno.EDQUOT: "The disk quota is used up: free some space",
    errno.EROFS: "The file system is read-only: use another --out",
    errno.EACCES: "Permission denied: use another --out, or have it changed",
    errno.EPERM: "Permission denied: use another --out, or have it changed",
}


def write(plan: Plan, organized: Path, *, pictures: Path, progress: Progress = silent, durable: bool = False) -> bool:
    """Make the folder `organized` hold what `plan` says; False where it did already and nothing was touched.

    The new tree grows beside the old one and takes its place by one rename, so that a kill at any moment leaves
    the one or the other. Pictures are hard links to their source under `pictures`, or copies on another file
    system; nothing may edit them in place. What lies in the old tree and no manifest lists, all of the units
    inside it included, is linked into the new one, but for the trainer's caches, which would outlive their labels. With
    `durable` the tree is on the disk before the rename, and the rename before this returns.

    Raises DatasetError where `organized` holds something else, a picture has changed since it was inspected, or
    the file system refuses; the old tree then stands as it was.
    """
    organized = organized.resolve()
    new = organized.with_name(f".{organized.name}.new")
    try:
        files.make_folder(organized.parent, durable=durable)
        files.recover_tree(organized)
        if new.exists():  # a killed run left it
            shutil.rmtree(new)
        kept = _unlisted(organized)
        if _is_written(plan, organized, pictures):
            return False
        tagged = _require_unchanged(plan.images, pictures)
        try:
            _write_tree(plan, new, pictures=pictures, tagged=tagged, progress=progress)
            _keep(kept, organized, new)
            files.write_atomic(new / manifest.NAME, manifest.encode(plan.manifest))
            files.replace_tree(new, organized, durable=durable)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
    except OSError as error:
        way_out = _WAYS_OUT.get(error.errno or 0, "Mend that")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            needed = plan.manifest.select(pl.col("bytes").sum()).collect().item()
            way_out += f" ({files.room(organized, needed)})"
        raise DatasetError(
            f"{organized} could not be written: {error}. {way_out}, then run it again; no part of it was left there."
        ) from error
    return True


def _write_tree(plan: Plan, new: Path, *, pictures: Path, tagged: set[str], progress: Progress) -> None:
    new.mkdir()
    _write_labels(plan.labels, new, progress)
    _link_pictures(plan.images, new, pictures, tagged, progress)
    for key, data in plan.documents.items():
        (new / key).parent.mkdir(parents=True, exist_ok=True)
        (new / key).write_bytes(data)
    for key, made in plan.large.items():
        made.write(new / key)


def _write_labels(labels: pl.LazyFrame, new: Path, progress: Progress) -> None:
    done, number = 0, portions.height(labels)
    for folder, names, texts in _batches(labels, pl.col("text").cast(pl.Binary)):
        (new / folder).mkdir(parents=True, exist_ok=True)
        with files.opened_folder(new / folder) as there:
            for name, text in zip(names, texts, strict=True):
                _create(name, text, there)
        progress("labels", done := done + len(names), number)


def _create(name: str, data: bytes, folder: int) -> None:
    """A new file. An empty one, as two labels of three are, is one call instead of an open and a close."""
    if not data and _MAKES_FILES:
        try:
            os.mknod(name, stat.S_IFREG | 0o666, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        else:
            return
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    try:
        files.write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _link_pictures(images: pl.LazyFrame, new: Path, pictures: Path, tagged: set[str], progress: Progress) -> None:
    done, number = 0, portions.height(images)
    # of a source that cannot be linked, or has tags: its next file is a link to its last copy
    copies: dict[str, Path] = {}
    with files.opened_folder(pictures) as origin:
        for folder, names, sources in _batches(images, pl.col("source")):
            (new / folder).mkdir(parents=True, exist_ok=True)
            with files.opened_folder(new / folder) as there:
                for name, source in zip(names, sources, strict=True):
                    if source in tagged and source not in copies:
                        copies[source] = new / folder / name
                        _create(name, without_tags((pictures / source).read_bytes()), there)
                        continue
                    try:
                        if source in tagged:
                            os.link(copies[source], name, dst_dir_fd=there)
                        else:
                            os.link(source, name, src_dir_fd=origin, dst_dir_fd=there)
                    except OSError as error:
                        if error.errno == errno.EEXIST:
                            raise
                        target = new / folder / name
                        if not files.link_or_copy(copies.get(source, pictures / source), target):
                            copies[source] = target
            progress("pictures", done := done + len(names), number)


def _batches(table: pl.LazyFrame, *values: pl.Expr) -> Iterator[tuple[Any, ...]]:
    """The folder, the names in it and their values, for at most `_BATCH` files at a time."""
    parts = table.select(_FOLDER.alias("folder"), pl.col("key").str.extract(r"([^/]*)$").alias("name"), *values)
    for some in portions.slices(parts, _BATCH):
        for part in some.partition_by("folder", maintain_order=True):
            folder, *lists = part
            yield folder[0], *(one.to_list() for one in lists)


def _require_unchanged(images: pl.LazyFrame, pictures: Path) -> set[str]:
    """Raise DatasetError where a picture is no longer the file that was inspected, as far as its size tells.

    The sources with tags, which are published without them and so as smaller files, are returned.
    """
    tagged = set()
    distinct = images.select("source", "bytes", "md5").unique("source", maintain_order=True).collect()
    with files.opened_folder(pictures) as origin:
        for source, size, md5 in distinct.iter_rows():
            try:
                found = os.stat(source, dir_fd=origin).st_size
            except FileNotFoundError as gone:
                raise DatasetError(
                    f"picture {pictures / source} has gone since it was inspected. Put it back, or run transform again."
                ) from gone
            if found == size:
                continue
            if _is_without_tags(pictures / source, md5):
                tagged.add(source)
            else:
                raise DatasetError(
                    f"picture {pictures / source} has changed since it was inspected: {found} bytes instead of {size}."
                    " Run transform again."
                )
    return tagged


def _is_without_tags(picture: Path, md5: str) -> bool:
    """Whether a picture without its tags has this MD5."""
    try:
        return hashlib.md5(without_tags(picture.read_bytes())).hexdigest() == md5
    except SourceError:
        return False


def _unlisted(organized: Path) -> list[str]:
    """The keys in the old tree that must be in the new one too, because no manifest says that they are ours."""
    if not organized.exists():
        return []
    found = list(walk(organized))
    listed = manifest.read(organized)
    if listed is None:
        foreign = [key for key in found if not manifest.is_inner(key)]
        if foreign:
            raise DatasetError(
                f"{organized} was not written by radloop: it has no {manifest.NAME} and holds {foreign[0]}."
                " Move it away, or use another --out."
            )
        return found
    ours = {*listed["key"], manifest.NAME}
    return [key for key in found if key not in ours and (manifest.is_inner(key) or not key.endswith(".cache"))]


def _keep(keys: list[str], old: Path, new: Path) -> None:
    for key in keys:
        target = new / key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if (old / key).is_symlink():
                os.link(old / key, target, follow_symlinks=False)
            else:
                files.link_or_copy(old / key, target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as taken:
            raise DatasetError(
                f"{old / key} is in the way: no manifest lists it, and the new dataset needs its name. Move it away."
            ) from taken


def _is_written(plan: Plan, organized: Path, pictures: Path) -> bool:
    """Whether every file of the plan is there, byte for byte; what was damaged since is then written again."""
    try:
        return (
            all((organized / key).read_bytes() == data for key, data in plan.documents.items())
            and (organized / manifest.NAME).read_bytes() == manifest.encode(plan.manifest)
            and all(made.is_in(organized / key) for key, made in plan.large.items())
            and _labels_are_written(plan.labels, organized)
            and _pictures_are_linked(plan.images, organized, pictures)
        )
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _labels_are_written(labels: pl.LazyFrame, organized: Path) -> bool:
    for folder, names, texts in _batches(labels, pl.col("text").cast(pl.Binary)):
        with files.opened_folder(organized / folder) as there:
            for name, text in zip(names, texts, strict=True):
                if not text:  # one call instead of three
                    file = os.stat(name, dir_fd=there)
                    if file.st_size or not stat.S_ISREG(file.st_mode):
                        return False
                    continue
                descriptor = os.open(name, os.O_RDONLY, dir_fd=there)
                try:
                    if os.read(descriptor, len(text) + 1) != text:
                        return False
                finally:
                    os.close(descriptor)
    return True


def _pictures_are_linked(images: pl.LazyFrame, organized: Path, pictures: Path) -> bool:
    """Whether each picture is the very file that was inspected, or (across file systems) has its bytes."""
    sums: dict[tuple[int, int], str] = {}
    with files.opened_folder(pictures) as origin:
        for folder, names, sources, expected in _batches(images, pl.col("source"), pl.col("md5")):
            inspected = {source: os.stat(source, dir_fd=origin) for source in dict.fromkeys(sources)}
            with files.opened_folder(organized / folder) as there:
                for name, source, md5 in zip(names, sources, expected, strict=True):
                    file = os.stat(name, dir_fd=there)
                    if os.path.samestat(file, inspected[source]):
                        continue
                    inode = (file.st_dev, file.st_ino)
                    if inode not in sums:
                        with (organized / folder / name).open("rb") as opened:
                            sums[inode] = hashlib.file_digest(opened, "md5").hexdigest()
                    if sums[inode] != md5:
                        return False
    return True


def walk(root: Path) -> Iterator[str]:
    """The key of every file under `root`, hidden ones too; a link is a file, whatever it leads to."""
    folders = [""]
    while folders:
        prefix = folders.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name


def dataset_root(folder: Path) -> Path:
    """Where the dataset in `folder` lies: there or in its `organized`, with a manifest or not. Raises DatasetError."""
    try:
        return manifest.unit_root(folder).resolve()
    except DatasetError:
        for candidate in (folder, folder / manifest.UNIT):
            if candidate.is_dir() and any(map(_is_part_of_yolo, walk(candidate))):
                return candidate.resolve()
        raise


def _is_part_of_yolo(key: str) -> bool:
    return key.rpartition(".")[2].lower() in {*PICTURE_SUFFIXES, "yaml", "yml"}


@dataclass(frozen=True)
class Config:
    """One data yaml of a tree, and what it leads to."""

    key: str
    content: object  # as parsed: a mapping in any dataset that can be trained
    problem: str | None  # why it could not be parsed
    splits: dict[str, list[Path]]  # of train, val, test: every folder or list of pictures, as the trainer resolves it


@dataclass(frozen=True)
class Tree:
    """A YOLO dataset on disk, ours or not: its data yamls; pictures and labels are found through them."""

    root: Path
    configs: tuple[Config, ...]


def read(root: Path) -> Tree:
    """Find the parts of the YOLO dataset in the folder `root`, without opening a picture or a label.

    A yaml is a data yaml if its name is `data.yaml`, if it has places for train or val, or names or counts classes; but
    that of a model (`backbone`), or of a run's settings (`val: true`), is none.
    """
    root = root.resolve()
    found = (_config(path, root) for path in sorted(root.iterdir()) if path.suffix in (".yaml", ".yml"))
    return Tree(root, tuple(config for config in found if config is not None))


def _config(path: Path, root: Path) -> Config | None:
    content: object = None
    problem = None
    splits: dict[str, list[Path]] = {}
    try:
        content = tree.read_data_yaml(path.read_bytes())
        splits = _splits(content, root)
    except Exception as broken:  # noqa: BLE001 - PyYAML raises anything, a KeyError for `!!bool x`; a path may hold a NUL
        content, problem = None, " ".join(str(broken).split())[:200] or type(broken).__name__
    if path.name != "data.yaml" and not _is_of_data(content):
        return None
    return Config(path.name, content, problem, splits)


def _is_of_data(content: object) -> bool:
    if not isinstance(content, dict) or "backbone" in content:
        return False
    return (
        "names" in content or "nc" in content or any(isinstance(content.get(k), str | list) for k in ("train", "val"))
    )


def _splits(content: object, root: Path) -> dict[str, list[Path]]:
    mapping = content if isinstance(content, dict) else {}
    base = mapping.get("path")
    base = root / base if isinstance(base, str) else root  # an absolute `path` replaces the root
    splits = {}
    for split in trainer_yaml.SPLITS:
        named = trainer_yaml.named_split(content, split)
        if isinstance(named, str):
            splits[split] = [_place(base, named)] if named else []
        else:
            listed = named if isinstance(named, list) else []
            splits[split] = [(base / place).resolve() for place in listed if isinstance(place, str)]
    return splits


def _place(base: Path, named: str) -> Path:
    place = (base / named).resolve()
    if not place.exists() and named.startswith("../"):  # the trainer forgives one `../` too many, not in a list
        return (base / named[3:]).resolve()
    return place

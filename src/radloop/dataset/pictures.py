"""Looking at every picture of a folder once: is it sound, what does it measure, what is its hash.

Each file is read once; all else is done on its bytes. A picture that cannot be used is a row with a `problem`,
never an exception. What was found is kept in a cache, so that only new and changed pictures are looked at again.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import engines, files, manifest, pixels, similarity, sums, tags
from radloop.dataset import picture_cache
from radloop.dataset.picture_cache import INSPECTED, MEASURED, PASS
from radloop.engines import HERE, Engine
from radloop.errors import SourceError
from radloop.progress import Progress, silent
from radloop.tables import PICTURES

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg"})
MAX_BYTES: Final = 2**28  # no radiograph is larger; what is, is not read

_FOUND: Final = pl.Schema({"image_id": pl.String, "path": pl.String, "problem": pl.String})
_SIZES: Final = pl.Schema({"image_id": pl.String, "width": pl.Int32, "height": pl.Int32})
_NEXT_TO_NOTHING: Final = 16  # of 256 gray values: 12 bits in 16
_LOW_STD: Final = 20.0  # no picture of so small a spread has a larger one
_HEADER_BYTES: Final = (4096, 2**16)  # enough for almost all headers; else the whole file
_READ_AGAIN: Final = pl.Schema(dict.fromkeys(("md5_now", "sha256", "bare_sha256"), pl.String()))
_SHARD: Final = 64  # pictures: a quarter of a second; their rows fit into one message of Ray (100 kB)
_FEW: Final = 256  # pictures: a worker takes as long to start
_SAVE_EVERY: Final = 1000  # pictures, or a fiftieth of all: what a kill can cost


def find(folder: Path) -> pl.DataFrame:
    """The pictures in `folder` and the folders in it: image_id (the name without its ending), path, problem; by id.

    Hidden files and folders and files with other endings are passed over. One row for each image_id.
    Raises SourceError where the folder cannot be listed, and for a linked folder of pictures, which is not entered.
    """
    names = defaultdict(list)
    problems: dict[str, str] = {}
    try:
        root = os.path.realpath(folder)
        for entry in files.walk_visible(folder):
            stem, suffix = os.path.splitext(entry.name)
            if os.path.isdir(entry):
                _require_no_picture_behind(entry)
            elif suffix.lower() in SUFFIXES:
                path = os.path.relpath(entry.path, folder)
                image_id, name = (os.fsencode(text).decode("utf-8", "backslashreplace") for text in (stem, path))
                names[image_id].append(name)
                if problem := _entry_problem(entry, root):
                    problems[image_id] = problem
    except OSError as error:
        raise SourceError(f"{folder}: the pictures cannot be listed ({error.strerror}).") from error
    for image_id, alike in names.items():
        if len(alike) > 1:
            problems[image_id] = f"{len(alike)} files have this image_id: {', '.join(sorted(alike))}"
    rows = [(image_id, min(names[image_id]), problems.get(image_id)) for image_id in sorted(names)]
    return pl.DataFrame(rows, schema=_FOUND, orient="row")


def _require_no_picture_behind(link: os.DirEntry[str]) -> None:
    if any(entry.name.lower().endswith(tuple(SUFFIXES)) for entry in files.walk_visible(link.path)):
        raise SourceError(
            f"{link.path} is a link to a folder of pictures ({os.path.realpath(link.path)}), and no folder behind a "
            "link is read: put the folder itself there, or name it as the source."
        )


def read_headers(folder: Path, found: pl.DataFrame) -> pl.DataFrame:
    """The sizes that the headers of the `found` pictures give, nothing decoded: image_id, width, height.

    No row for a picture with a problem or without a header.
    """
    rows = [
        (image_id, *size)
        for image_id, path in found.filter(pl.col("problem").is_null()).select("image_id", "path").iter_rows()
        if (size := _header_size(folder / path)) is not None
    ]
    return pl.DataFrame(rows, schema=_SIZES, orient="row")


def inspect(
    folder: Path,
    found: pl.DataFrame,
    *,
    engine: Engine = HERE,
    cache: Path | None = None,
    to_publish: bool = True,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Look at every `found` picture: PICTURES, sorted by image_id, the same for every engine.

    to_publish: bytes and md5 are those of the picture without its tags (`tags`), as it is published, and one that uses
    no more than a sixteenth of the gray values has a problem; else they are the file's.

    With a `cache` file, pictures whose path, inode, size and times of change are as they were are not even opened, and
    a run that is killed keeps most of what it did: in parts beside it, which the end of a run makes one file again.
    Raises EngineError where the engine fails, or a machine of it does not see the folder.
    """
    sound = found.filter(pl.col("problem").is_null())
    known, touched = _unchanged(folder, sound["path"], cache)
    paths = _missing(sound["path"], known["path"])

    saved, new, done = [known], list[pl.DataFrame](), len(known)
    progress("pictures", done, len(sound))
    for table in _inspect_shards(folder, paths, engine):
        new.append(table)
        done += len(table)
        progress("pictures", done, len(sound))
        if sum(map(len, new)) >= max(_SAVE_EVERY, len(sound) // 50):
            some, new = pl.concat(new, rechunk=True), []
            if cache:
                picture_cache.add(cache, some)
            saved.append(some.drop("thumbnail"))
    rest = pl.concat([INSPECTED.to_frame(), *new])
    if cache and (paths or touched or picture_cache.has_parts(cache)):
        picture_cache.put(cache, pl.concat(saved), rest)
    inspected = pl.concat([*saved, rest.drop("thumbnail")], rechunk=True)
    if to_publish:
        inspected = _as_published(inspected)
    refused = found.filter(pl.col("problem").is_not_null())
    return pl.concat([inspected, refused], how="diagonal").select(PICTURES.names()).sort("image_id")


def require_upright(pictures: pl.DataFrame) -> pl.DataFrame:
    """The inspected `pictures`; raises SourceError where an EXIF mark says to show some turned or mirrored."""
    turned = pictures.filter(pl.col("problem") == pixels.TURNED)["path"].sort()
    if len(turned):
        more = f" and {len(turned) - 1} more" if len(turned) > 1 else ""
        raise SourceError(
            f"The EXIF data of {turned[0]}{more} says to show it turned. No box was turned with it, and nobody knows "
            "whether the boxes were drawn before or after: save the pictures upright, as they were drawn on."
        )
    return pictures


def thumbnails(
    folder: Path, pictures: pl.DataFrame, image_ids: pl.Series, *, engine: Engine = HERE, cache: Path | None = None
) -> npt.NDArray[np.uint8]:
    """The 32×32 thumbnails that `similarity.near_duplicates` asks for, n×32×32, from the cache where there is one.

    Raises SourceError for a picture that changed since it was inspected.
    """
    places = pl.DataFrame({"image_id": image_ids}).with_row_index("place")
    wanted = pictures.select("image_id", "path", "pixels_md5").join(places, on="image_id")
    known, _ = _unchanged(folder, wanted["path"], cache)
    small = np.empty((len(image_ids), similarity.SIDE_PX, similarity.SIDE_PX), np.uint8)
    missing = np.ones(len(image_ids), bool)
    looked = _inspect_shards(folder, _missing(wanted["path"], known["path"]), engine)
    for table in chain(picture_cache.with_thumbnails(cache, known) if cache else (), looked):
        sound = table.join(wanted, on=["image_id", "pixels_md5"])
        small[sound["place"]] = similarity.unpacked(sound["thumbnail"])
        missing[sound["place"]] = False
    if missing.any():
        changed = image_ids[int(missing.argmax())]
        raise SourceError(f"{folder}: the picture {changed} changed while it was worked on. Run it again.")
    return small


class Thumbnails:
    """The thumbnails of all sound `pictures`, fetched when the first is asked for.

    Of pictures with equal pixels one is kept, in the order of their first image_ids: whoever asks for just these gets
    them without a copy.
    """

    def __init__(self, pictures: pl.DataFrame, fetch: Callable[[pl.DataFrame, pl.Series], npt.NDArray[np.uint8]]):
        """Look at nothing yet. fetch: `thumbnails` of their folder."""
        distinct = similarity.distinct(pictures)
        sound = pictures.filter(pl.col("problem").is_null()).select("image_id", "pixels_md5")
        self._places = sound.join(distinct.with_row_index("place"), on="pixels_md5").select("image_id", "place")
        self._fetch = partial(fetch, pictures, distinct["image_id"])
        self._all: npt.NDArray[np.uint8] | None = None

    def __call__(self, image_ids: pl.Series) -> npt.NDArray[np.uint8]:
        """n×32×32 gray values."""
        if self._all is None:
            self._all = self._fetch()
        asked = pl.DataFrame({"image_id": image_ids}).join(self._places, on="image_id", maintain_order="left")["place"]
        return self._all if asked.equals(pl.arange(len(self._all), dtype=pl.UInt32, eager=True)) else self._all[asked]


def measured(
    folder: Path,
    files: pl.DataFrame,
    *,
    caches: Sequence[Path],
    engine: Engine = HERE,
    caching: bool = True,
    progress: Progress = silent,
) -> pl.DataFrame:
    """MD5s, hash and thumbnail of published pictures (image_id, path, md5): by image_id; no row for a bad one.

    What any of the `caches` knows by its MD5 is not opened; what none does is looked at, and kept in the first of them.
    """
    known = _recalled([table for cache in caches for table in picture_cache.scan(cache)], files)
    new = files.join(known, on="md5", how="anti")
    looked, done = list[pl.DataFrame](), files.height - new.height
    for table in _inspect_shards(folder, new["path"].to_list(), engine):
        looked.append(table)
        progress("known pictures", done := done + table.height, files.height)
    if caching and looked:
        before = picture_cache.measured(caches[0]).unique([*picture_cache.FILE, "md5"])
        picture_cache.put(caches[0], before, pl.concat(looked))
    new = _recalled([table.lazy() for table in looked], files)
    found = pl.concat([known, new]).drop_nulls().unique("md5", keep="first")
    return files.select("image_id", "md5").join(found, on="md5")


def _recalled(tables: Sequence[pl.LazyFrame], files: pl.DataFrame) -> pl.DataFrame:
    """What the caches know of published pictures, by their MD5."""
    every = pl.concat([INSPECTED.to_frame().lazy(), *tables]).filter(pl.col("pass") == PASS)
    found = every.select(pl.coalesce("bare_md5", "md5").alias("md5"), "pixels_md5", "phash", "thumbnail")
    return found.join(files.lazy(), on="md5", how="semi").collect()


def inspect_shard(folder: Path, paths: list[str]) -> pl.DataFrame:
    """Look at the pictures at `paths` in `folder`, in this process: PICTURES and what the cache keeps beside it."""
    return pl.DataFrame([_inspect_one(folder, path) for path in paths], schema=INSPECTED)


def _as_published(inspected: pl.DataFrame) -> pl.DataFrame:
    """With the size and sums that the published file has, and a problem where it would show nothing."""
    pale = pl.format(
        "its values use {} of 256 steps, a sixteenth or less: next to nothing is to be seen. Stretch them to the "
        "range of their type (12 bits in 16: times 16)",
        "spread",
    )
    return inspected.with_columns(
        bytes=pl.coalesce("bare_bytes", "bytes"),
        md5=pl.coalesce("bare_md5", "md5"),
        sha256=pl.coalesce("bare_sha256", "sha256"),
        problem=pl.coalesce("problem", pl.when(pl.col("spread") <= _NEXT_TO_NOTHING).then(pale)),
    )


def _entry_problem(entry: os.DirEntry[str], root: str) -> str | None:
    try:
        entry.name.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if not manifest.is_safe_key(entry.name):
        return f"its name {entry.name!r} is not safe in an object store"
    if entry.is_symlink() and os.path.commonpath([root, os.path.realpath(entry.path)]) != root:
        return f"{entry.name} is a link that leads out of the folder: put the picture itself there"
    if not os.path.isfile(entry):
        return "a broken link" if entry.is_symlink() else "not a regular file"
    return None


def _header_size(path: Path) -> tuple[int, int] | None:
    try:
        with path.open("rb", buffering=0) as file:
            for count in _HEADER_BYTES:
                data = os.pread(file.fileno(), count, 0)
                if (size := pixels.header_size(data)) is not None or len(data) < count:
                    return size
            return pixels.header_size(os.pread(file.fileno(), MAX_BYTES, 0))
    except OSError:
        return None


def _inspect_one(folder: Path, path: str) -> dict[str, Any]:
    row: dict[str, Any] = {"image_id": os.path.splitext(os.path.basename(path))[0], "path": path, "pass": PASS}
    try:
        with (folder / path).open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            row |= {"bytes": status.st_size, **_times(status)}
            if status.st_size > MAX_BYTES:
                raise SourceError(f"{status.st_size} bytes are more than any radiograph has ({MAX_BYTES}): not read")
            data = file.read()
        row |= {"bytes": len(data), **sums.of(data)._asdict()}
        if size := pixels.header_size(data):
            row |= {"width": min(size[0], 2**31 - 1), "height": min(size[1], 2**31 - 1)}
        gray = pixels.decode(data)
        bare = tags.without_tags(data)
    except OSError as error:
        return row | {"problem": f"cannot be read: {error.strerror or error}"}
    except SourceError as error:
        return row | {"problem": str(error)}
    if bare is not data:
        row |= {"bare_bytes": len(bare), **_bare(sums.of(bare))}
    small = similarity.thumbnail(gray)
    statistics = pixels.statistics(gray)
    return (
        row
        | statistics._asdict()
        | {
            "spread": pixels.spread(gray) if statistics.std < _LOW_STD else None,
            "pixels_md5": pixels.fingerprint(gray),
            "phash": similarity.phash(small),
            "thumbnail": small.tobytes(),
        }
    )


def _bare(taken: sums.Sums) -> dict[str, str]:
    return {f"bare_{name}": digits for name, digits in taken._asdict().items()}


def _inspect_shards(folder: Path, paths: list[str], engine: Engine) -> Iterator[pl.DataFrame]:
    if len(paths) <= _FEW:
        engine = HERE
    shards = [paths[start : start + _SHARD] for start in range(0, len(paths), _SHARD)]
    if engine.many_machines:
        engine.require(engines.same_files([folder / path for path in (paths[0], paths[-1])]))
    for table in engine.map(partial(inspect_shard, folder.absolute()), shards):
        yield _look_again(folder, table) if engine.many_machines else table


def _look_again(folder: Path, table: pl.DataFrame) -> pl.DataFrame:
    """What another machine could not read may be readable here: it may have lost the shared folder."""
    unread = pl.col("md5").is_null()
    again = table.filter(unread)["path"].to_list()
    return pl.concat([table.filter(~unread), inspect_shard(folder, again)]) if again else table


def _times(status: os.stat_result) -> dict[str, int]:
    return {"mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns, "inode": status.st_ino}


def _unchanged(folder: Path, paths: pl.Series, cache: Path | None) -> tuple[pl.DataFrame, bool]:
    """What the cache knows of those files that are as they were; and whether one was touched since.

    A link to a file, as in a dataset, changes its inode's time, and so does new content under the old size and time of
    writing: such a file is read once more, and known by its MD5. So is one whose SHA-256 the cache lacks.
    """
    known = picture_cache.measured(cache) if cache else MEASURED.to_frame()
    if known.is_empty():
        return known, False
    now = _statuses(folder, paths).with_columns(pl.lit(PASS, MEASURED["pass"]).alias("pass"))
    same = known.join(now, on=picture_cache.FILE, suffix="_now").unique("path")
    is_touched = (pl.col("ctime_ns") != pl.col("ctime_ns_now")) | pl.col("sha256").is_null()
    touched = same.filter(is_touched)
    with ThreadPoolExecutor() as pool:
        there = [folder / path for path in touched["path"]]
        found = list(pool.map(_sums_of, there, touched["bare_md5"].is_not_null()))
    read = pl.DataFrame(found, schema=_READ_AGAIN, orient="row")
    again = touched.drop("ctime_ns", "sha256", "bare_sha256").with_columns(read, ctime_ns="ctime_ns_now")
    again = again.filter(pl.col("md5_now") == pl.col("md5"))
    return pl.concat([one.select(MEASURED.names()) for one in (same.filter(~is_touched), again)]), bool(len(touched))


def _statuses(folder: Path, paths: pl.Series) -> pl.DataFrame:
    """Size, inode and times of the files that are there; of one that is gone, looking at it will say so."""
    rows = np.zeros(len(paths), [("bytes", "i8"), ("mtime_ns", "i8"), ("ctime_ns", "i8"), ("inode", "u8")])
    there = np.zeros(len(paths), bool)
    for place, path in enumerate(paths):
        with suppress(OSError):
            status = os.stat(os.path.join(folder, path))
            rows[place] = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
            there[place] = True
    return pl.DataFrame(rows).with_columns(path=paths).filter(there)


def _sums_of(path: Path, is_tagged: bool) -> tuple[str | None, str | None, str | None]:
    """A row of what is read of a file that is known; nulls where it cannot be read."""
    try:
        taken = sums.of_file(path)
        return *taken, sums.of(tags.without_tags(path.read_bytes())).sha256 if is_tagged else None
    except (OSError, SourceError):
        return None, None, None


def _missing(paths: pl.Series, known: pl.Series) -> list[str]:
    return paths.filter(~paths.is_in(known.implode())).to_list()

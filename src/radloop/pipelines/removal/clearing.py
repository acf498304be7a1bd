"""What lies in OUT of the images that are forgotten, outside of the dataset's own units: counted, and taken away.

Everything here can be killed and called again. A folder of the user's own is never changed.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from radloop import files, formats, sealed, sums, tree
from radloop.catalog import chains
from radloop.dataset import pictures
from radloop.dataset.forgetting import rows, rows_left
from radloop.dicom import pseudonyms
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.feedback import chaining, documents, logged, mentions, verifying
from radloop.feedback.mentions import Wanted
from radloop.options import Forget
from radloop.pacs import ledger
from radloop.pacs.ledger import Ledger
from radloop.pipelines.exporting import STAMP
from radloop.pipelines.removal import remainders
from radloop.pipelines.removal.whose import Whose
from radloop.sources import kaggle


@dataclass(frozen=True)
class _Place:
    """One kind of thing: how much of it there is, and how it is taken away."""

    count: int
    take_away: Callable[[], object]


def count(options: Forget, whose: Whose, *, version: str | None) -> dict[str, int]:
    """How many of each kind there are. version: of the dataset in OUT then; exports of others may have them."""
    return {name: place.count for name, place in _places(options, whose, version=version)}


def clear(options: Forget, whose: Whose, *, version: str | None, now: datetime) -> None:
    """Take all of it away; of each review a tombstone stays, which the log of reviews tells of."""
    for _, place in _places(options, whose, version=version, now=now):
        place.take_away()


def known_feedback(out: Path) -> dict[str, str | int | None] | None:
    """The hash of the list of feedback that rounds have known, as the audit log tells it; None where there is none."""
    path = verifying.known_path(out)
    return {"feedback": sums.of_file(path).sha256} if path.is_file() else None


def _places(
    options: Forget, whose: Whose, *, version: str | None, now: datetime | None = None
) -> Iterator[tuple[str, _Place]]:
    out, wanted = options.out, whose.wanted
    feedback = _documents(options.feedback_folder, whose)
    yield "feedback", _Place(feedback.count, lambda: _take_feedback(options, feedback, whose))
    yield "reviews", _reviews(options.reviews_folder, whose, now)
    logs = sorted({options.log_file, *(out / "logs").glob("*.log")})
    told = {path: mentions.count_lines(path, wanted) for path in logs}
    yield "lines of logs", _Place(sum(told.values()), lambda: _take_lines(told, wanted))
    raw_tables, raw_rows = _raw_tables(out / "raw", whose)
    yield "raw pictures", _raw_pictures(out, whose, raw_tables)
    refused, refused_rows = _tables(
        [out / tree.REJECTED, out / tree.REFUSED, *sorted((out / pseudonyms.FOLDER).rglob("*.csv"))], whose
    )
    yield "rows of tables", _Place(raw_rows + refused_rows, lambda: _rewrite(refused))
    exports = sorted(path for path in (out / "export").glob("*") if _version_of(path) != version)
    yield "exports", _Place(len(exports), lambda: _remove_folders(exports))
    caches = {out / "cache", options.feedback_folder.parent / "cache"}
    known = {path for folder in caches for path in folder.rglob("*") if path.is_file()}
    yield "cached rows", _caches(known, whose)
    yield "cut-off work", _cut_off(out)
    yield "private rows and pictures", _private(out, whose)


def _version_of(export: Path) -> str | None:
    """What an export says that it is of."""
    told = documents.plain((export / STAMP).read_bytes()) if (export / STAMP).is_file() else None
    return str(told.get("version")) if told else ""


def _take_lines(told: Mapping[Path, int], wanted: Wanted) -> None:
    for path, lines in told.items():
        if lines:
            mentions.take_lines(path, wanted)


def _remove_folders(folders: Iterable[Path]) -> None:
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)


def _documents(folder: Path, whose: Whose) -> _Place:
    found = mentions.find(folder, whose.wanted)
    return _Place(found.count, lambda: mentions.remove(folder, found, whose.wanted))


def _take_feedback(options: Forget, feedback: _Place, whose: Whose) -> None:
    """Take feedback away, and what is on the images out of the list of feedback that rounds have known.

    What else is not there any more stays in that list: it was not forgotten.
    """
    feedback.take_away()
    known = verifying.known(options.out)
    ids, wanted = list(whose.gone.feedback_ids), whose.wanted
    by_name = [name for name in known["file"].unique() if wanted.is_told_by(b"", name)]
    left = known.filter(~pl.col("feedback_id").is_in(ids), ~pl.col("file").is_in(by_name))
    if left.height < known.height:
        path = verifying.known_path(options.out)
        files.write_atomic(path, verifying.encode_known(left), mode=files.OWN_FILE)


def _reviews(folder: Path, whose: Whose, now: datetime | None) -> _Place:
    found = mentions.find(folder, whose.wanted)

    def take_away() -> None:
        if now is None or not found.count:
            return
        gone = chaining.links(folder, found.whole).select("review_id", "previous", forgotten_at=pl.lit(now))
        log = logged.log(folder, "radloop forget", durable=True)
        with log.deed("forget", "", new={"reviews": found.count}) as deed:
            chaining.bury(folder, gone.cast(chains.FORGOTTEN_REVIEWS))
            mentions.remove(folder, found, whose.wanted)
            deed.new = {"reviews": found.count, "tombstones": chaining.tombstones_sha256(folder)}

    return _Place(found.count, take_away)


def _raw_pictures(out: Path, whose: Whose, tables: Mapping[Path, bytes | None]) -> _Place:
    """Those that radloop made or downloaded, and with them the tables beside them."""
    folder, ids = out / "raw", list(whose.gone.image_ids)
    places = [path for path in folder.glob("*") if path.is_dir() and not path.is_symlink()]
    found = {place: pictures.find(place).filter(pl.col("image_id").is_in(ids))["path"] for place in places}
    paths = [place / path for place, there in found.items() for path in there]

    def take_away() -> None:
        meta = folder / "train_meta.csv"
        written = tables.get(meta)
        bytes_left = len(written) if written is not None else meta.stat().st_size if meta.is_file() else 0
        kaggle.settle(folder, without=paths, sizes_bytes=bytes_left)
        for path in paths:
            path.unlink(missing_ok=True)
        _rewrite(tables)

    return _Place(len(paths), take_away)


def _raw_tables(folder: Path, whose: Whose) -> tuple[dict[Path, bytes | None], int]:
    """The same of all tables and records of OUT/raw."""
    left: dict[Path, bytes | None] = {}
    of_csv, number = _tables(sorted(folder.rglob("*.csv")), whose)
    left |= of_csv
    for path in sorted((*folder.rglob("*.parquet"), *folder.rglob("*.jsonl"))):
        if path.suffix == ".jsonl":
            ours = mentions.count_lines(path, whose.wanted)
            if ours:
                left[path] = mentions.lines_left(path, whose.wanted)
        else:
            table = sealed.decode(path.read_bytes(), name=str(path), up_to=formats.PICTURE_CACHE.number)
            stays = None if table is None or "image_id" not in table.columns else table.filter(~_is_ours(table, whose))
            ours = 0 if table is None or stays is None else table.height - stays.height
            if ours and stays is not None:
                left[path] = sealed.encode(stays)
        number += ours
    return left, number


def _tables(places: Iterable[Path], whose: Whose) -> tuple[dict[Path, bytes], int]:
    """The CSV files that have rows of the images, without these; and how many these are."""
    left: dict[Path, bytes] = {}
    number = 0
    for path in places:
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            ours = sum(map(whose.gone.is_row, rows(data)))
            number += ours
            left |= {path: rows_left(data, whose.gone.is_row)} if ours else {}
    return left, number


def _caches(paths: set[Path], whose: Whose) -> _Place:
    """Rows of what was read and measured before, and pictures; a table that is not radloop's goes as a whole."""
    left: dict[Path, bytes | None] = {}
    number = 0
    named = whose.gone.image_ids | whose.gone.md5s
    for path in sorted(paths):
        if path.suffix != ".parquet":
            if path.stem in named:
                left[path], number = None, number + 1
            continue
        table = sealed.decode(path.read_bytes(), name=str(path), up_to=formats.PICTURE_CACHE.number)
        if table is None or "image_id" not in table.columns:
            left[path], number = None, number + 1
            continue
        stays = table.filter(~_is_ours(table, whose))
        if stays.height < table.height:
            known = formats.PICTURE_CACHE.number if "sha256" in table.columns else 1
            left[path] = sealed.encode(stays, number=known) if stays.height else None
            number += table.height - stays.height
    return _Place(number, lambda: _rewrite(left))


def _is_ours(table: pl.DataFrame, whose: Whose) -> pl.Expr:
    ours = {
        "image_id": whose.gone.image_ids | whose.gone.md5s,  # what was shown otherwise has that as a name
        "feedback_id": whose.gone.feedback_ids,
        "md5": whose.gone.md5s,
        "image_md5": whose.gone.md5s,
    }
    columns = [pl.col(name).is_in(list(values)) for name, values in ours.items() if name in table.columns]
    return pl.any_horizontal(columns).fill_null(value=False)


def _rewrite(left: Mapping[Path, bytes] | Mapping[Path, bytes | None]) -> None:
    for path, data in left.items():
        if data is None:
            path.unlink(missing_ok=True)
        else:
            files.write_atomic(path, data, mode=path.stat().st_mode & 0o777)


def _cut_off(out: Path) -> _Place:
    """What a killed pull, transform or forget left: it holds pictures, and is begun anew by the next."""
    left = [path for name in (".organized.pull", ".organized.new") if (path := out / name).exists()]
    left += remainders.staged(out)
    return _Place(len(left), lambda: _remove_folders(left))


def _private(out: Path, whose: Whose) -> _Place:
    """The rows that lead back, and pictures that wait for a person's look."""
    folder, ids = out / pseudonyms.FOLDER, whose.gone.image_ids
    if not (folder / pseudonyms.KEY).is_file():
        return _Place(0, lambda: None)
    keyed = Pseudonyms.open(out)
    held = sorted(path for path in folder.rglob("*") if path.is_file() and path.stem in ids)
    ours = [one for one in keyed.origins() if one.image_id in ids]
    ledgers = sorted((folder / "watch").glob("*.db"))

    def take_away() -> None:
        for path in ledgers:
            with Ledger(path) as opened:
                opened.forget(ids)
        keyed.forget(ids)
        for path in held:
            path.unlink(missing_ok=True)

    return _Place(len(ours) + len(held) + sum(ledger.count_of(path, ids) for path in ledgers), take_away)

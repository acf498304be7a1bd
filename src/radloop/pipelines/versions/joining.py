"""Incoming pictures on their way into the dataset: which belong together, which never train, and where they lie."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import comparison, files, manifest, storage, values
from radloop.catalog import incoming, version
from radloop.dataset import patients
from radloop.dataset.recognition import Thumbnails
from radloop.dicom.pseudonyms import FOLDER, KEY, Pseudonyms
from radloop.options import Transform
from radloop.pipelines.versions.continuing import Continued
from radloop.storage import Store, layout, pull
from radloop.tables import ASSIGNMENT, GROUPS, HELDOUT, INCOMING

_SUFFIXES: Final = (".png", ".jpg")
_FOUND: Final = pl.Schema({"image_id": pl.String, "path": pl.String, "problem": pl.String})


@dataclass(frozen=True)
class Joining:
    """The incoming unit of this machine and of the store, as one."""

    table: pl.DataFrame  # INCOMING
    house: Path  # OUT, whose key names patients
    cache: Path  # for pictures that this machine lacks
    store: str

    def assignment(self, continued: Continued) -> pl.DataFrame | None:
        """ASSIGNMENT that no version changes: of the dataset so far, of what is remembered, and of incoming images.

        None where there is nothing yet. The groups of incoming images are named as the dataset has them.
        """
        earlier = continued.earlier
        known = version.images(earlier.annotations, self.table) if earlier else incoming.images(self.table)
        parts = [part for part in (continued.settled, known.select(ASSIGNMENT.names())) if part is not None]
        whole = pl.concat(parts).unique().sort(ASSIGNMENT.names())
        return None if whole.is_empty() else whole

    def before(self, continued: Continued) -> pl.DataFrame | None:
        """ASSIGNMENT of the version before and of incoming images that it had not; None where there is no version."""
        if continued.earlier is None:
            return None
        own = continued.earlier.assignment.select(ASSIGNMENT.names())
        new = incoming.images(self.table).join(own, on="image_id", how="anti")
        return pl.concat([own, new.select(ASSIGNMENT.names())])

    @property
    def patients(self) -> pl.DataFrame:
        """Whose pictures they are (image_id, patient), hashed as the dataset's."""
        named = self.table.select("image_id", patient_id="patient").drop_nulls()
        return patients.hashed(named, named)

    def same_people(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Whose pictures a source's `rows` are of (image_id, patient), hashed as those who came in under pseudonyms."""
        came = set(self.table["patient"].drop_nulls())
        if not came or "patient_id" not in rows.columns or not (self.house / FOLDER / KEY).is_file():
            return patients.hashed(rows.clear(), rows)
        keyed = Pseudonyms.open(self.house, writing=False)
        issuers = {one.issuer for one in keyed.origins()} | {""}
        ids = rows.select(values.text("patient_id")).to_series().unique()
        names = [(told, name) for told in ids for one in issuers if (name := keyed.patient(told, one)) in came]
        same = pl.DataFrame(names, schema={"patient_id": pl.String, "name": pl.String}, orient="row")
        named = rows.select("image_id", values.text("patient_id")).join(same, on="patient_id")
        return patients.hashed(named.select("image_id", patient_id="name"), rows)

    @property
    def groups(self) -> pl.DataFrame:
        """GROUPS as they were when the pictures came; a group of the dataset's is named by one of its images."""
        own = self.table.select("image_id", "group")
        return pl.concat([own, own.select(image_id="group", group="group")]).unique().match_to_schema(GROUPS)

    @property
    def remembered(self) -> pl.DataFrame:
        """HELDOUT of all that came in: what of a source is like one of them belongs together with it."""
        images = incoming.images(self.table).select("image_id", "split")
        return (
            self.table.join(images, on="image_id", maintain_order="left")
            .with_columns(patients=pl.lit(None, pl.String))
            .select(HELDOUT.names())
        )

    def pictured(self, image_ids: Collection[str]) -> pl.Series:
        """Those of the images that are incoming, and so have a picture."""
        return self.table.filter(pl.col("image_id").is_in(sorted(image_ids)))["image_id"]

    def pictures(self, image_ids: Collection[str]) -> pl.DataFrame:
        """Where the pictures of these images lie (image_id, path, problem), those fetched that this machine lacks.

        An image that is not incoming, and one whose picture is nowhere, has no row.
        """
        wanted, images = self.pictured(image_ids), self.house / manifest.INCOMING_UNIT / "images"
        files_of = {one: [images / f"{one}{suffix}" for suffix in _SUFFIXES] for one in wanted}
        places = {one: path for one, paths in files_of.items() for path in paths if path.is_file()}
        places |= self._fetched([one for one in wanted if one not in places])
        rows = [(image_id, str(path.absolute()), None) for image_id, path in sorted(places.items())]
        return pl.DataFrame(rows, schema=_FOUND, orient="row")

    def checked(self, inspected: pl.DataFrame, thumbnails: Thumbnails) -> pl.DataFrame:
        """The same PICTURES; one that is another than came in under its id has a problem: what was said is of that."""
        ours = self.table.select("image_id", came="md5", came_pixels="pixels_md5", small="thumbnail", told="recipe")
        known = inspected.join(ours, on="image_id", how="left", maintain_order="left")
        brought = pl.col("path").str.starts_with("/")  # those of the source lie in its folder
        changed = brought & (pl.col("md5") != pl.col("came")).fill_null(value=False)
        # of a DICOM file the id alone says that it is the same image
        maybe = known.filter(
            ~brought,
            pl.col("problem").is_null(),
            pl.col("told").is_null(),
            pl.col("pixels_md5") != pl.col("came_pixels"),
        )
        smaller = thumbnails(maybe["image_id"]) if maybe.height else ()
        pairs = zip(maybe["image_id"], maybe["small"], smaller, strict=True)
        others = [image_id for image_id, small, now in pairs if not _is_same(small, now)]
        problem = (
            pl.when(changed)
            .then(pl.lit("it is not the picture that came in (MD5)"))
            .when(pl.col("image_id").is_in(others))
            .then(pl.lit("another picture came in under this id (`radloop ingest`): give one of them another id"))
        )
        return known.with_columns(problem=pl.coalesce("problem", problem)).select(inspected.columns)

    def of_other_recipes(self, image_ids: Collection[str], recipe: str | None) -> tuple[str, ...]:
        """A sentence where pictures that join were made by another recipe than the dataset's."""
        own = self.table.filter(pl.col("image_id").is_in(sorted(image_ids)))
        other = own.filter(pl.col("recipe").ne_missing(recipe))["recipe"].fill_null("none (they came as pictures)")
        if other.is_empty():
            return ()
        told = ", ".join(sorted(set(other)))
        return (
            f"{len(other):,} of the pictures that came in were made by another recipe than the dataset's: {told}, not "
            f"{recipe or 'none (its pictures came as pictures)'}. Their gray values may differ",
        )

    def _fetched(self, image_ids: list[str]) -> dict[str, Path]:
        """The pictures from the store, each under its image's name."""
        if not image_ids:
            return {}
        with closing(storage.open_store(self.store)) as opened:
            listed = layout.read_manifest(opened, prefix=manifest.INCOMING_UNIT)
            if listed is None:
                return {}
            there = listed.filter(kind="image").filter(pl.col("image_id").is_in(image_ids))
            paths = pull.fetch(opened, layout.rows_of(there), self.cache / "pictures", prefix=manifest.INCOMING_UNIT)
        named = {}
        for row in there.iter_rows(named=True):
            place = self.cache / manifest.INCOMING / f"{row['image_id']}{Path(row['key']).suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            files.link_or_copy(paths[row["key"]], place)
            named[row["image_id"]] = place
        return named


def _is_same(small: bytes, now: npt.NDArray[np.uint8]) -> bool:
    """Whether two thumbnails are of one picture as it lies, whatever its gray scale and compression."""
    before = np.frombuffer(small, np.uint8)
    return bool(np.corrcoef(before, now.ravel())[0, 1] ** 2 >= comparison.LIKENESS)


@contextmanager
def opened(options: Transform) -> Iterator[Joining]:
    """The unit beside the dataset in OUT, and what the store alone has of it. With --dry-run nothing is kept.

    Raises DatasetError where it is damaged, StoreError where the store does not answer.
    """
    local = incoming.read(options.out / manifest.UNIT)
    with closing(storage.open_store(options.store_address)) as store:
        published = _published(store)
    table = pl.concat([local, published.join(local, on="image_id", how="anti")]).sort("image_id")
    if not options.dry_run:
        yield Joining(table, options.out, options.out / "cache", options.store_address)
        return
    with TemporaryDirectory(prefix="radloop-") as cache:
        yield Joining(table, options.out, Path(cache), options.store_address)


def _published(store: Store) -> pl.DataFrame:
    """INCOMING as the store has it; empty where there is none."""
    unit = manifest.INCOMING_UNIT
    listed = layout.read_manifest(store, prefix=unit)
    if listed is None:
        return INCOMING.to_frame()
    return incoming.published(lambda key: store.get(f"{unit}/{key}"), listed, name=f"{store.address}/{unit}")

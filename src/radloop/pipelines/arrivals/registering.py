"""What a new picture is held against: the dataset, what was ever held out, what trained, and what came in before."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, manifest, tree
from radloop.catalog import heldout, tombstones, version
from radloop.catalog import incoming as unlabelled
from radloop.dataset import album, ids, incoming, incoming_files, patients, pictures
from radloop.dataset.album import Album
from radloop.dataset.incoming import Arrival
from radloop.dicom.pseudonyms import FOLDER, KEY
from radloop.engines import Local
from radloop.errors import DatasetError, SourceError
from radloop.progress import Progress, silent
from radloop.sources import formats, raw
from radloop.storage import Store, layout, publish, pull
from radloop.words import HELD_OUT

# in OUT/cache: what was measured of the dataset's pictures, here and by `transform`
_KNOWN: Final = "known.parquet"
_TRANSFORMED: Final = "pictures.parquet"
_NAMED: Final = pl.Schema({"image_id": pl.String, "patient": pl.String})
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)  # of a picture whose row tells when it came


class Register:
    """All that `take_in` asks, kept between two calls; looked at again where the disk has moved on.

    Who takes pictures in holds OUT (`files.locked`).
    """

    def __init__(
        self, out: Path, *, jobs: int = 1, caching: bool = True, progress: Progress = silent, durable: bool = False
    ) -> None:
        """Look at nothing yet. Without `caching` nothing is written; `durable` is what the unit is written with."""
        self.durable = durable
        self.root = out / manifest.UNIT
        self.unit = self.root / manifest.INCOMING
        self._caches = out / "cache"
        self._engine, self._caching, self._progress = Local(jobs), caching, progress
        self._seen: tuple[object, ...] = ()

    def refresh(self) -> None:
        """Read what is there. Raises DatasetError where there is no dataset: it knows what is held out."""
        seen = (_stamp(self.root / manifest.NAME), _stamp(self.unit / manifest.NAME), _stamp(self.unit / tree.INCOMING))
        if seen == self._seen:
            return
        if self._caching:
            incoming_files.recover(self.unit)
        try:
            self.known = version.read(self.root)
        except DatasetError as missing:
            if (self.root / manifest.NAME).exists():
                raise
            raise DatasetError(
                f"{self.root} holds no dataset, and without one nobody knows what is held out. Run `radloop pull` or "
                "`radloop etl` first."
            ) from missing
        summary = version.summary_of(self.known.content(tree.SUMMARY), name=str(self.root))
        self.lineage = str(summary.get("lineage") or self.known.id)
        self.own = version.images(self.known.annotations)
        self.patients = self._patients()
        self.stones = tombstones.read(self.root.parent)
        self.table = unlabelled.read(self.root)
        self.album = Album()
        self.album.add(self.known.memory)
        self.album.add(self._measured())
        self.album.add(self.table)
        self._seen = (seen[0], _stamp(self.unit / manifest.NAME), _stamp(self.unit / tree.INCOMING))

    @property
    def places(self) -> pl.DataFrame:
        """PLACES: the images of the dataset, of its memory, and those that the re-training data have as labels."""
        known, memory = self.own, self.known.memory
        columns = incoming.PLACES.names()
        retrained = manifest.read(self.root / manifest.RETRAIN)
        ids = [] if retrained is None else retrained.filter(kind="image")["image_id"].unique().to_list()
        trained = self.table.filter(pl.col("image_id").is_in(ids)).join(known, on="image_id", how="anti")
        trained = trained.select("image_id", "group", split=pl.lit("training"))
        return pl.concat([known.select(columns), memory.select(columns), trained]).unique()

    def links(self, new: pl.DataFrame, arrivals: Sequence[Arrival]) -> list[pl.DataFrame]:
        """LINKS of new rows (INCOMING) with each other and with all that is known."""
        own = Album()
        own.add(new)
        alike = album.links(pl.concat([self.album.like(new), own.like(new)]))
        told = pl.DataFrame([(one.image_id, one.patient) for one in arrivals], schema=_NAMED, orient="row")
        every = pl.concat([self.table.select(_NAMED.names()), new.select(_NAMED.names()), told]).drop_nulls().unique()
        hashed = [(image_id, one) for image_id, patient in every.iter_rows() for one in patients.hashes(patient)]
        hashed += [(arrival.image_id, one) for arrival in arrivals for one in arrival.known_as]
        named = pl.DataFrame(hashed, schema=_NAMED, orient="row")
        remembered = heldout.of_patients(self.known.memory)
        same = pl.concat([heldout.patients_of(pl.concat([named, self.patients]), self.lineage), remembered])
        return [alike, every.rename({"patient": "value"}), same.rename({"patient": "value"})]

    def decided(self, new: pl.DataFrame, arrivals: Sequence[Arrival], *, audit_share: float) -> pl.DataFrame:
        """INCOMING with the new rows; each has its group (`dataset.incoming.decide`).

        Arrivals that are there already tell whose they are: of nobody so far, or of another's beside.
        """
        links, every = self.links(new, arrivals), pl.concat([self.table, new])
        told = {one.image_id: one.patient for one in arrivals if one.patient}
        named = pl.col("image_id").replace_strict(told, default=None, return_dtype=pl.String)
        every = every.with_columns(patient=pl.coalesce("patient", named))
        return incoming.decide(every, self.places, links, audit_share=audit_share, lineage=self.lineage)

    def sums(self, image_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """{image_id: the MD5s of its file and its pixels} of those that the dataset has."""
        ids = pl.Series(image_ids, dtype=pl.String)
        own = self.own.filter(pl.col("image_id").is_in(ids.implode()))
        seen = self.album.sums_of(own["image_id"])
        return {image_id: (md5, *seen.get(image_id, ())) for image_id, md5 in own.select("image_id", "md5").iter_rows()}

    def require_key(self, store: Store) -> None:
        """Raise SourceError where what came in, here or in the store, has the pseudonyms of a key that is not here.

        With another key a patient would be two, one of whom may train while the other measures.
        """
        path = self.root.parent / FOLDER / KEY
        if path.exists():
            return
        unit = manifest.INCOMING_UNIT
        data = store.get(f"{unit}/{tree.INCOMING}")
        theirs = [] if data is None else [unlabelled.decode(data, name=f"{store.address}/{unit}")]
        keyed = pl.col("patient").is_not_null() | pl.col("recipe").is_not_null()
        if any(not table.filter(keyed).is_empty() for table in (self.table, *theirs)):
            raise SourceError(
                f"{path} is missing, and what came in before has its pseudonyms: with a new key its patients would not "
                "be recognized. Bring the folder from your backup, or from the machine that took those pictures in."
            )

    def is_forgotten(self, image_id: str, pixels_md5: str) -> bool:
        """Whether `radloop forget` has taken the image, or its picture under another name, away."""
        forgotten = tombstones.forgotten
        return bool(forgotten(self.stones, [image_id]) or forgotten(self.stones, [pixels_md5], kind="pixels"))

    def images(self, image_ids: Sequence[str]) -> pl.DataFrame:
        """image_id, split, group, md5, phash of those that are known; what the dataset has is the dataset's."""
        known = self.own
        every = pl.concat([known, unlabelled.images(self.table).join(known, on="image_id", how="anti")])
        return every.filter(pl.col("image_id").is_in(list(image_ids))).sort("image_id")

    def bring(self, store: Store) -> str:
        """Take over from the store what came in elsewhere (`ingest` there), so that a publish takes none of it away.

        Returns which manifest it has gone by, for `publish(after=…)`. Raises DatasetError where an image has another
        picture there, or was forgotten there and still lies here; StoreError where a publish from elsewhere is in
        progress there, or was cut off, and what it lists is not available yet.
        """
        prefix = manifest.INCOMING_UNIT
        self._forget_as(store)
        data = store.get(f"{prefix}/{manifest.NAME}")
        if data is None:
            return publish.digest(data)
        listed = manifest.decode(data, name=f"{store.address}/{prefix}/{manifest.NAME}")
        away = listed.filter(kind="image")
        missing = away.join(self.table, on="image_id", how="anti")
        known = away.join(self.table, on="image_id", how="semi")
        other = known.join(self.table, on=["image_id", "md5"], how="anti")
        if other.height:
            raise DatasetError(
                f"image {other['image_id'][0]} came in here and in {store.address} with two pictures. Give the files "
                f"of one side other names, and move {self.unit} away before you ingest again."
            )
        if not missing.is_empty():
            self._take_over(store, listed, missing)
        return publish.digest(data)

    def _take_over(self, store: Store, listed: pl.DataFrame, missing: pl.DataFrame) -> None:
        """Bring pictures that a manifest of the store lists (`missing`), and their rows."""
        prefix, cache = manifest.INCOMING_UNIT, self._caches / "incoming"
        cut_off = store.get(f"{prefix}/{layout.MARKER}") is not None
        told = store.get(f"{prefix}/{tree.INCOMING}") if cut_off else None  # it may be ahead of the manifest
        wanted = missing if cut_off else pl.concat([missing, listed.filter(key=tree.INCOMING)])
        paths = pull.fetch(store, layout.rows_of(wanted), cache, prefix=prefix, progress=self._progress)
        data = (told or b"") if cut_off else paths[tree.INCOMING].read_bytes()
        theirs = unlabelled.decode(data, name=f"{store.address}/{prefix}")
        theirs = theirs.filter(pl.col("image_id").is_in(missing["image_id"].implode()))
        if theirs.height < missing["image_id"].n_unique():
            layout.require_quiet(store, prefix)
        arrivals = [
            Arrival(image_id, paths[key].read_bytes(), NEVER)
            for image_id, key in missing.select("image_id", "key").iter_rows()
        ]
        table = self.decided(theirs, (), audit_share=0)
        incoming_files.add(self.unit, arrivals, table, durable=self.durable)
        self.committed(table, theirs)
        shutil.rmtree(cache, ignore_errors=True)

    def _forget_as(self, store: Store) -> None:
        """Learn what was forgotten elsewhere. Raises DatasetError where that still lies here, and would come back."""
        data = store.get(f"{manifest.UNIT}/{tree.TOMBSTONES}")
        stones = tombstones.union(self.stones, tombstones.decode(data, name=store.address))
        if stones.height > self.stones.height:
            files.write_atomic(self.root.parent / tree.TOMBSTONES, tombstones.encode(stones))
            self.stones = stones
        left = tombstones.remain(self.table, stones)
        here = self.table.join(left, on="image_id", how="anti")["image_id"].sort()
        if len(here):
            raise DatasetError(
                f"{len(here)} of the pictures that came in here were forgotten elsewhere, such as {here[0]}: nothing "
                f"is published. Run `radloop forget {here[0]}` here, too."
            )

    def committed(self, table: pl.DataFrame, new: pl.DataFrame) -> None:
        """Go on from what was written."""
        self.table = table
        self.album.add(new)
        self._seen = (*self._seen[:1], _stamp(self.unit / manifest.NAME), _stamp(self.unit / tree.INCOMING))

    def _patients(self) -> pl.DataFrame:
        """Whose the dataset's images are, as far as this machine knows: by the table that the dataset was made from.

        A version tells it of what was held out alone.
        """
        try:
            rows = formats.read(raw.read(self.root.parent)).rows
            named = self.own.select("image_id", path=pl.format("{}.png", "image_id"))
            rows = ids.match(rows["image_id"], named, name=raw.FOLDER).apply(rows)
        except SourceError:  # it was pulled, or made elsewhere
            return _NAMED.to_frame()
        return patients.hashed(rows, self.own)

    def _measured(self) -> pl.DataFrame:
        """SEEN of the pictures that are not held out: of what the memory has, no picture is opened."""
        images = self.own.filter(~pl.col("split").is_in(HELD_OUT)).select("image_id", "md5", "phash")
        files = self.known.files.filter(kind="image").select("image_id", "md5", path="key")
        files = files.unique("image_id", keep="first").join(images, on=["image_id", "md5"], how="semi").sort("path")
        measured = pictures.measured(
            self.root,
            files,
            caches=[self._caches / name for name in (_KNOWN, _TRANSFORMED)],
            engine=self._engine,
            caching=self._caching,
            progress=self._progress,
        )
        return images.join(measured.drop("phash"), on=["image_id", "md5"], how="left").sort("image_id")


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns

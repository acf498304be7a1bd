"""The models unit of a store: brought here, changed as a whole, published again; of two who do so at once one wins."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, manifest, sums
from radloop.catalog import models
from radloop.catalog.models import Models
from radloop.errors import StoreError
from radloop.storage import Store, layout, publish, pull
from radloop.storage.folder import replace_unit
from radloop.tables import MANIFEST

_UNPUBLISHED: Final = ".unpublished"  # in OUT/models while it is ahead of the store: the MD5 of the manifest it follows


class Shared:
    """OUT/UNIT and STORE/UNIT, held against other runs here."""

    def __init__(self, out: Path, store: Store, unit: str) -> None:
        """Hold nothing yet: `held` does."""
        self.folder = out / unit
        self._store = store
        self._unit = unit

    def bring(self) -> None:
        """Take over what the store holds, after what a killed run here has left to be published.

        Raises StoreError while another publish is in progress there.
        """
        if (self.folder / _UNPUBLISHED).exists():
            self._publish()
        held = layout.require_quiet(self._store, self._unit)
        if held is not None and held != self._manifest():
            pull.pull(self._store, self.folder, prefix=self._unit)

    def write(
        self, documents: Mapping[str, bytes], copies: Mapping[str, Path] | None = None, *, publishing: bool = True
    ) -> None:
        """Add or replace files by key, here by one rename, then in the store, if that is asked for.

        Killed before the rename nothing has changed; after it the next `bring` publishes it. Raises StoreError where
        somebody else has published since `bring`: then nothing is changed, here neither.
        """
        coming = self.folder.with_name(f".{self._unit}.coming")
        shutil.rmtree(coming, ignore_errors=True)
        follows = self._store.get(layout.key_in(self._unit, manifest.NAME)) and self._manifest()
        pending = {_UNPUBLISHED: _md5(follows).encode()} if publishing else {}
        placed = {}
        for key, data in {**documents, **pending}.items():
            placed[key] = coming / key
            files.write_atomic(placed[key], data, durable=True)
        placed |= copies or {}
        listed = self._listed({key: path for key, path in placed.items() if key != _UNPUBLISHED})
        new = self.folder.with_name(f".{self._unit}.new")
        replace_unit(self.folder, new, placed, manifest_file=manifest.encode(listed), gone=(), durable=True)
        shutil.rmtree(coming)
        if publishing:
            self._publish()

    def _publish(self) -> None:
        pending = self.folder / _UNPUBLISHED
        try:
            publish.publish(self.folder, self._store, prefix=self._unit, after=pending.read_text())
        except StoreError:
            held = None
            with suppress(StoreError):
                held = layout.require_quiet(self._store, self._unit)
            if held is not None and _md5(held) != pending.read_text():  # another one's, whole: it has won
                pull.pull(self._store, self.folder, prefix=self._unit)
                pending.unlink()
            raise
        pending.unlink()

    def _manifest(self) -> bytes | None:
        path = self.folder / manifest.NAME
        return path.read_bytes() if path.is_file() else None

    def _listed(self, placed: Mapping[str, Path]) -> pl.DataFrame:
        """MANIFEST of the unit with these files."""
        rows = [
            (key, "document", None, None, None, path.stat().st_size, *sums.of_file(path))
            for key, path in placed.items()
        ]
        known = manifest.read(self.folder)
        before = MANIFEST.to_frame() if known is None else known.filter(~pl.col("key").is_in(list(placed)))
        before = manifest.filled(before, self.folder)
        return pl.concat([before, pl.DataFrame(rows, schema=MANIFEST, orient="row")])


class Registry(Shared):
    """The models."""

    def __init__(self, out: Path, store: Store) -> None:
        """Hold nothing yet: `opened` does."""
        super().__init__(out, store, manifest.MODELS)
        self.models = models.NONE

    def bring(self) -> None:
        """Take over what the store holds, and read it."""
        super().bring()
        self.models = models.read(self.folder)

    def change(self, documents: Mapping[str, bytes], copies: Mapping[str, Path] | None = None) -> Models:
        """Add or replace files as `write` does, and read what stands then."""
        self.write(documents, copies)
        self.models = models.read(self.folder)
        return self.models


@contextmanager
def opened(out: Path, store: Store, *, writing: bool = True) -> Iterator[Registry]:
    """The registry as the store holds it. Raises BusyError where another run here holds it.

    Who only looks (not `writing`) holds nothing and leaves nothing in OUT.
    """
    if not writing:
        with tempfile.TemporaryDirectory() as scratch:
            registry = Registry(Path(scratch), store)
            registry.bring()
            yield registry
        return
    registry = Registry(out, store)
    with files.locked(out / manifest.MODELS):
        registry.bring()
        yield registry


def _md5(data: bytes | None) -> str:
    return hashlib.md5(data).hexdigest() if data else ""

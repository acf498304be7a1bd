"""A folder as a store: links instead of copies, and one rename from the old dataset to the new."""

import errno
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from radloop import files, manifest
from radloop.catalog.history import NAME as HISTORY
from radloop.errors import StoreError
from radloop.progress import Progress, silent
from radloop.storage.change import Change, Stored, Transfers
from radloop.storage.digests import Digests
from radloop.storage.layout import JOURNAL, MARKER, key_in

_REASONS: Final = {
    errno.EACCES: "no permission to write there. Give this user the right, or choose another folder.",
    errno.EPERM: "no permission to write there. Give this user the right, or choose another folder.",
    errno.EROFS: "it is read-only. Mount it writable, or choose another folder.",
    errno.ENOSPC: "the disk is full. Free some space and run the same command again.",
    errno.EDQUOT: "the quota is used up. Free some space and run the same command again.",
    errno.ENAMETOOLONG: "a name is too long for its file system.",
    errno.ENOTDIR: "it is not a folder.",
    errno.ENOENT: "a file vanished while it was read. Is a publish in progress? Run the same command again.",
}


class FolderStore:
    """Datasets below the folder `root`, which is made when something is first published there."""

    def __init__(self, root: Path, *, durable: bool = False) -> None:
        """Look at nothing yet. With `durable` what `commit` has done survives a loss of power."""
        self.root, self._durable = root, durable
        self.address = str(root)
        self._digests = Digests()

    def preflight(self) -> None:
        """Raise StoreError where `root` cannot be written."""
        folder = self.root.absolute()
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise StoreError(f"{self.address}: {folder} is not a folder.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(f"{self.address}: no permission to write in {folder}, or it is read-only.")

    def rehearse(self) -> None:
        """Nothing more: the rights of a folder tell."""
        self.preflight()

    def list(self, prefix: str = "", *, progress: Progress = silent) -> dict[str, Stored]:
        """Every file under `prefix`; each distinct file is read once for its MD5."""
        with explained(self.address):
            unit = self.root / prefix
            sizes = {key: entry.st_size for key, entry in walk(unit)}
            md5s = self._digests.of((unit / key for key in sizes), progress=progress)
        return {key: Stored(size, md5s[unit / key]) for key, size in sizes.items()}

    def top(self) -> set[str]:
        """The names in the folder itself."""
        with explained(self.address):
            return set(os.listdir(self.root)) if self.root.exists() else set()

    def get(self, key: str) -> bytes | None:
        """The bytes of one small file; None where it is missing."""
        with explained(self.address):
            try:
                return (self.root / key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def fetch(self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        """Where the files lie; nothing is copied."""
        paths = {key: self.root / prefix / key for key in keys}
        return {key: path for key, path in paths.items() if path.is_file()}

    def admit(self, root: Path, prefix: str) -> None:
        """Raise StoreError where the folder `root` is the unit itself."""
        if (self.root / prefix).resolve() == root.resolve():
            raise StoreError(f"{root}: a dataset cannot be published onto itself. Choose another --store.")

    def recover(self, prefix: str) -> None:
        """Remove what a killed `commit` built, and put back the unit where it had been moved aside."""
        unit, staging = self.root / prefix, self._staging(prefix)
        if self.root.exists() and (staging.exists() or not unit.exists()):
            with explained(self.address), files.locked(self.root):
                if staging.exists():
                    shutil.rmtree(staging)
                files.recover_tree(unit)

    def foresee(self, change: Change) -> Transfers:
        """How `commit` would bring the files: by links, as far as the file systems agree."""
        return Transfers(copied=len(change.new) + len(change.changed) + len(change.keeping.pictures))

    def commit(self, change: Change, *, progress: Progress = silent) -> Transfers:
        """Build the unit anew beside the old one and switch by one rename.

        Everything else in the unit stays, but for what is gone. Holds the store against other publishers.
        """
        if not change.is_needed:
            return Transfers()
        sent = {*change.new, *change.changed}
        change.require_sound(sent, digests=self._digests, progress=progress)

        unit = self.root / change.prefix
        needed = sum(change.row(key).bytes for key in sent)
        with explained(self.address, unit, needed), files.locked(self.root, durable=self._durable):
            for current in (unit, *(unit / inner for inner in manifest.INNER)):
                files.recover_tree(current)
            if self.get(key_in(change.prefix, manifest.NAME)) != change.standing:
                raise StoreError(
                    f"{self.address}: another load was at work there at the same time. Run the same command again."
                )
            placed = {key: (change.root if key in sent else unit) / key for key in change.rows}
            keeping = change.keeping
            copied_bytes = replace_unit(
                unit,
                self._staging(change.prefix),
                placed | {key: unit / source for key, source in keeping.sources.items()},
                manifest_file=change.manifest_file,
                written=dict(keeping.objects) | ({HISTORY: keeping.history} if keeping.history is not None else {}),
                gone=(*change.gone, *keeping.gone, JOURNAL, MARKER),
                progress=progress,
                durable=self._durable,
            )
        return Transfers(sent_bytes=copied_bytes, copied=len(sent) + len(keeping.pictures))

    def close(self) -> None:
        """Nothing was started."""

    def _staging(self, prefix: str) -> Path:
        # beside all units, never inside one: another unit's publish must not take it for files to keep
        return self.root / f".publishing-{prefix.replace('/', '-')}"


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """(key, lstat) of everything in `folder` that is not a folder; links are not followed."""
    pending = [("", folder)]
    while pending:
        prefix, current = pending.pop()
        try:
            entries = os.scandir(current)
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append((f"{prefix}{entry.name}/", Path(entry.path)))
                else:
                    yield prefix + entry.name, entry.stat(follow_symlinks=False)


def replace_unit(
    unit: Path,
    staging: Path,
    placed: Mapping[str, Path],
    *,
    manifest_file: bytes | None,
    gone: Collection[str],
    written: Mapping[str, bytes] | None = None,
    progress: Progress = silent,
    durable: bool = False,
) -> int:
    """Build the folder `unit` anew in `staging` (on the same file system) and switch by one rename.

    It holds `placed` ({key: where its bytes lie}), linked where the file systems agree, the `written` bytes, and of
    what `unit` held everything but `gone`. Names of one file stay names of one file. With `durable` the switch survives
    a loss of power, and what it switches to is whole. Returns the bytes that had to be copied.
    """
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir(parents=True)
    try:
        copied = _fill(staging, placed, progress)
        for key, data in (written or {}).items():
            _parent(staging / key)
            (staging / key).write_bytes(data)
        dropped = {*gone, *placed, *(written or {}), manifest.NAME}
        for key, _ in walk(unit):
            if key not in dropped:
                _parent(staging / key)
                os.link(unit / key, staging / key, follow_symlinks=False)
        if manifest_file is not None:
            (staging / manifest.NAME).write_bytes(manifest_file)
        files.make_folder(unit.parent, durable=durable)
        files.replace_tree(staging, unit, durable=durable)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return copied


def _fill(folder: Path, placed: Mapping[str, Path], progress: Progress) -> int:
    copied_bytes = 0
    copies: dict[tuple[int, int], Path] = {}  # source inode -> its one copy, where links do not reach
    for done, (key, source) in enumerate(placed.items(), 1):
        target = folder / key
        _parent(target)
        entry = os.stat(source) if copies else None
        known = copies.get((entry.st_dev, entry.st_ino)) if entry else None
        if not files.link_or_copy(known or source, target) and known is None:
            entry = os.stat(source)
            copies[entry.st_dev, entry.st_ino] = target
            copied_bytes += entry.st_size
        if done % 256 == 0 or done == len(placed):
            progress("place", done, len(placed))
    return copied_bytes


def _parent(path: Path) -> None:
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def explained(what: str, path: Path | None = None, needed: int = 0) -> Iterator[None]:
    """Turn an OSError into a StoreError whose one line begins with `what`.

    Of a full disk it tells how much it has, and that so many bytes are to come to `path`.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}.")
        name = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and path is not None:
            name = f" ({files.room(path, needed)})"
        raise StoreError(f"{what}: {reason}{name}") from error

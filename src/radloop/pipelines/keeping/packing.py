"""Files into parts: what a vault has already is not sent again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from radloop import files
from radloop.errors import UNDECODABLE
from radloop.pipelines.keeping.scanning import Found
from radloop.progress import Progress
from radloop.storage import backups, encryption, vault
from radloop.storage.backups import Entry, Known, Place
from radloop.storage.vault import Vault

_BATCH_BYTES: Final = 256 * 2**20  # that are sent together
_UNSENT: Final = Place("", "")  # with --dry-run


@dataclass(frozen=True)
class Sealing:
    """Where parts go, and for whom; `work` is a folder of this machine that nobody else reads."""

    vault: Vault
    keys: list[Any]
    work: Path
    known_path: Path
    dry_run: bool
    progress: Progress


@dataclass
class _Heap:
    """Files that wait to become a part."""

    packed: bool
    waiting: list[tuple[Found, str]] = field(default_factory=list)  # with their SHA-256
    size: int = 0

    def has_room(self, one: Found) -> bool:
        fits = self.size + one.size <= backups.PART_BYTES and len(self.waiting) < backups.PART_FILES
        return fits or not self.waiting

    def take(self, one: Found, digest: str) -> None:
        self.waiting.append((one, digest))
        self.size += one.size


class Packer:
    """Packs what is new, and sends it in batches; what was sent is remembered after each of them."""

    def __init__(self, sealing: Sealing, known: Known) -> None:
        """Send nothing yet."""
        self.sent_files = self.sent_bytes = self.parts = 0
        self._to = sealing
        self._known = known
        self._heaps = {packed: _Heap(packed) for packed in (True, False)}
        self._ready: dict[str, dict[str, Place]] = {}  # key of a part -> what is in it

    def entries(self, found: list[Found]) -> list[Entry]:
        """All files, each somewhere in the vault when this returns."""
        hashed = dict[tuple[int, int], str]()  # by inode: names of one file are read once
        firsts = dict[tuple[int, int], str]()
        new = set[str]()
        for done, one in enumerate(found, 1):
            digest = hashed.get(one.inode) or _digest(one)
            hashed[one.inode] = digest
            if digest not in self._known.places and digest not in new:
                new.add(digest)
                self._take(one, digest)
            if done % 256 == 0 or done == len(found):
                self._to.progress("read", done, len(found))
        for heap in self._heaps:
            self._pack(heap)
        self._send()
        made = []
        for one in found:
            first = firsts.setdefault(one.inode, one.path)
            digest = hashed[one.inode]
            place = self._known.places.get(digest, _UNSENT)
            about = (one.path, one.size, one.mode, one.mtime_ns, digest, place)
            made.append(Entry(*about, link=None if first == one.path else first))
        return made

    def _take(self, one: Found, digest: str) -> None:
        self.sent_files += 1
        self.sent_bytes += one.size
        if self._to.dry_run:
            return
        packed = backups.is_packed(one.path)
        if not self._heaps[packed].has_room(one):
            self._pack(packed)
        self._heaps[packed].take(one, digest)

    def _pack(self, packed: bool) -> None:
        """Make one part of what waits, and send what is ready where that is much."""
        heap, self._heaps[packed] = self._heaps[packed], _Heap(packed)
        if not heap.waiting:
            return
        work = self._to.work
        path, suffix = work / "plain", ".tar.gz" if packed else ".tar"
        backups.pack(path, _opened(heap.waiting), packed=packed)
        if self._to.keys:
            encryption.encrypt(path, work / "sealed", self._to.keys)
            path.unlink()
            path, suffix = work / "sealed", f"{suffix}{encryption.SUFFIX}"
        key = f"{backups.PARTS}{vault.sha256(path)}{suffix}"
        (work / backups.PARTS).mkdir(exist_ok=True)
        path.rename(work / key)
        self.parts += 1
        self._ready[key] = {digest: Place(key, one.path) for one, digest in heap.waiting}
        if sum((work / one).stat().st_size for one in self._ready) >= _BATCH_BYTES:
            self._send()

    def _send(self) -> None:
        if not self._ready:
            return
        self._to.vault.put(self._to.work, list(self._ready), progress=self._to.progress)
        for key, places in self._ready.items():
            self._known.sizes[key] = (self._to.work / key).stat().st_size
            self._known.places.update(places)
            (self._to.work / key).unlink()
        self._ready = {}
        remember(self._to.known_path, self._known)


def _opened(waiting: list[tuple[Found, str]]) -> Iterator[tuple[str, BinaryIO, int, str]]:
    for one, digest in waiting:
        with one.place.open("rb") as file:
            yield one.path, file, one.size, digest


def _digest(one: Found) -> str:
    with one.place.open("rb") as file:
        return backups.digest(file, one.size)


def remember(path: Path, known: Known) -> None:
    """Keep what is known of a vault; it tells what files there are, so that it is its owner's alone."""
    files.write_atomic(path, backups.encode_known(known), mode=0o600)


def recall(path: Path, address: str, listing: dict[str, int], *, encrypted: bool) -> Known:
    """What is known of a vault, as far as it still holds it, and in the same way; nothing where that is damaged."""
    try:
        known = backups.decode_known(path.read_bytes())
    except (OSError, EOFError, *UNDECODABLE):
        known = Known(address, {}, {})
    sizes = {
        key: size
        for key, size in known.sizes.items()
        if listing.get(key) == size and key.endswith(encryption.SUFFIX) == encrypted
    }
    return Known(address, {digest: place for digest, place in known.places.items() if place.part in sizes}, sizes)

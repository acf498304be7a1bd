"""Does `check --attestation` name whatever was done to attested files?

    python -m benchmarks.tampering [FLIPS [EACH [SEED [FOLDER]]]]     10,000 flips, 100 of each other kind, seed 0

A loop of synthetic patients is made, attested, changed a little and attested again. A trial does one thing to the files
of OUT or of the store, asks, and undoes it: one byte flipped (a file drawn evenly, then a byte), two files swapped, one
deleted, an older state put back, the end of a reviewer's chain or of an audit log cut off, or the whole of it written
anew with every hash right. Each must be named. A trial looks at the parts that it touches (`--parts`) and hashes only
files that it touched; all else is the code of the command.
"""

import hashlib
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from radloop import manifest
from radloop.catalog import attestations, audit_lines, signatures
from radloop.catalog.attested import Seen
from radloop.errors import AttestationError
from radloop.feedback import logged, reviews
from radloop.feedback.reviews import Review
from radloop.options import Attest, Demo, Pull
from radloop.pipelines import attesting, demo, offline, verifying
from radloop.pipelines.trust import kept
from radloop.pipelines.trust.places import FolderPlace
from radloop.progress import Progress, silent

FLIPS, EACH = 10_000, 100
IMAGES = 60
LOGS = tuple(logged.NAMES.values())
LINES = audit_lines.file_name(1)  # all of them, of a loop as small as this
Named = set[tuple[str, str]]  # rule, file


class Remembered(FolderPlace):
    """A folder whose files are hashed once, and again when a trial touches them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.touched: set[str] = set()
        self._before = FolderPlace.look(self, self.names())

    def look(self, names: Iterable[str], *, progress: Progress = silent) -> dict[str, Seen]:
        """As it is now."""
        asked = set(names)
        unknown = (asked & self.touched) | (asked - self._before.keys())
        return {name: self._before[name] for name in asked - unknown} | super().look(unknown, progress=progress)


@dataclass
class Trials:
    """An attested place, and what was found of what was done to it."""

    root: Path
    key: Path
    is_store: bool
    random: random.Random
    place: Remembered = field(init=False)
    tried: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    beside: Counter[str] = field(default_factory=Counter)  # what was named beside it, by rule

    def __post_init__(self) -> None:
        self.place = Remembered(self.root)
        self.public = signatures.public_key(self.key)
        self.signed = kept.read(self.root, self.public)
        own = f"{manifest.ATTESTATIONS}/{manifest.NAME}"
        self.names = sorted(name for name, size in self.place.names().items() if size or name == own)
        logs = [f"{log}/{name}" for log in LOGS for name in (LINES, audit_lines.HEAD)]
        there = [name for name in logs if (self.root / name).is_file()]
        self.bytes = {name: (self.root / name).read_bytes() for name in (*self.names, *there)}

    def ask(self, touched: Iterable[str]) -> Named:
        """What is named, where these files were touched; `refused` where the attestation itself does not hold."""
        self.place.touched = set(touched)
        parts = tuple(sorted({attestations.part_of(name) for name in touched}))
        signed = self.signed
        if "attestations" in parts:
            try:
                signed = kept.read(self.root / manifest.ATTESTATIONS / self.signed.id, self.public)
            except AttestationError as refused:
                return {("refused", name) for name in touched if Path(name).name in str(refused)}
        report = verifying.judge(signed, self.place, str(self.root), is_store=self.is_store, parts=parts)
        return set(report.violations.select("rule", "key").iter_rows())

    def judge(self, kind: str, touched: list[str], wanted: Iterable[str], *, rule: str = "") -> None:
        """Count one trial: all of `wanted` has to be named."""
        named = self.ask(touched)
        self.tried[kind] += 1
        names = {name for _, name in named}
        if not set(wanted) <= names or (rule and rule not in {one for one, _ in named}):
            self.missed.append(f"{kind} {touched}: named {sorted(named)}")
        self.beside.update(one for one, name in named if name not in touched)

    @contextmanager
    def undone(self, *names: str) -> Iterator[None]:
        """Files as they were, afterwards."""
        yield
        for name in names:
            path = self.root / name
            if name in self.bytes:
                path.write_bytes(self.bytes[name])
            else:
                path.unlink(missing_ok=True)

    def flip(self) -> None:
        name = self.random.choice(self.names)
        data = bytearray(self.bytes[name])
        data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        with self.undone(name):
            (self.root / name).write_bytes(data)
            self.judge("flipped", [name], [name])

    def swap(self) -> None:
        one, other = self.random.sample(self.own, 2)
        if self.bytes[one] == self.bytes[other]:
            return self.swap()
        with self.undone(one, other):
            (self.root / one).write_bytes(self.bytes[other])
            (self.root / other).write_bytes(self.bytes[one])
            return self.judge("swapped", [one, other], [one, other], rule="file-swapped")

    def delete(self) -> None:
        name = self.random.choice(self.own)
        with self.undone(name):
            (self.root / name).unlink()
            self.judge("deleted", [name], [name], rule="file-missing")

    @property
    def own(self) -> list[str]:
        """Files that the attestation lists: its own two, and the manifest of them all, it does not."""
        return [name for name in self.names if not name.startswith(f"{manifest.ATTESTATIONS}/")]

    def replay(self, older: dict[str, bytes]) -> None:
        """Put one file back as it was, or where it was."""
        name = self.random.choice(sorted(older))
        path = self.root / name
        with self.undone(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(older[name])
            self.judge("replayed", [name], [name], rule="file-back")

    def cut(self) -> None:
        """Cut the end of a reviewer's chain off, or write the chain anew with one comment changed."""
        chains: dict[str, list[str]] = {}
        said = [name for name in self.names if name.startswith("reviews/")]
        for name in sorted(said, key=lambda name: json.loads(self.bytes[name])["timestamp"]):
            chains.setdefault(name.split(".")[1], []).append(name)
        chain = chains[self.random.choice(sorted(chains))]
        gone = chain[-self.random.randint(1, len(chain)) :]
        anew = self.random.random() < 0.5
        made = dict(_written_anew(gone, self.bytes)) if anew else {}
        with self.undone(*gone, *made):
            for name in gone:
                (self.root / name).unlink()
            for name, data in made.items():
                (self.root / name).write_bytes(data)
            kind = "chain written anew" if anew else "chain cut"
            self.judge(kind, [*gone, *made], [name for name in gone if name not in made], rule="chain-broken")

    def rewrite_log(self) -> None:
        """Cut the end of an audit log off, or write it anew from a line on in which another did it."""
        log = self.random.choice(LOGS)
        lines = self.bytes[f"{log}/{LINES}"].splitlines()
        at = self.random.randrange(len(lines))
        anew = self.random.random() < 0.5
        made = [*lines[:at], *(_logged_anew(lines[at:]) if anew else ())]
        with self.undone(f"{log}/{LINES}", f"{log}/{audit_lines.HEAD}"):
            head = audit_lines.Head(len(made), hashlib.sha256(made[-1]).hexdigest()) if made else None
            (self.root / log / LINES).write_bytes(b"".join(line + b"\n" for line in made))
            (self.root / log / audit_lines.HEAD).write_bytes(audit_lines.encode_head(head) if head else b"")
            touched = f"{attestations.AUDIT}/{LINES}"  # names the part; that of reviews has no listing
            self.judge("log written anew" if anew else "log cut", [touched], [log], rule="audit-broken")


def _logged_anew(lines: list[bytes]) -> Iterator[bytes]:
    """Lines that go on from the same one, the first by somebody else."""
    previous = audit_lines.decode(lines[0]).previous
    for number, data in enumerate(lines):
        changes = {"previous": previous} | ({} if number else {"who": "nobody"})
        line = msgspec.json.encode(msgspec.structs.replace(audit_lines.decode(data), **changes))
        previous = hashlib.sha256(line).hexdigest()
        yield line


def _written_anew(chain: list[str], data: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Reviews that go on from the same one, each with its own right id and another comment."""
    previous = None
    for number, name in enumerate(chain):
        told = json.loads(data[name])
        changes = {"comment": "as it should have been"} | ({"previous": previous} if number else {})
        review = msgspec.convert(told | changes, Review)
        previous = reviews.file_name(review).split(".")[2]
        yield f"reviews/{reviews.file_name(review)}", reviews.encode(review)


def make(place: Path) -> None:
    """OUT, attested twice, in `place/copy`, and what is older than the second attestation in `place/earlier`."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    out, key, earlier = place / "out", place / "key.pem", place / "earlier"
    demo.run(Demo(out=out, images=IMAGES))
    private = Ed25519PrivateKey.generate()
    key.write_bytes(private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public = private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    key.with_suffix(".pub").write_bytes(public)
    attesting.attest(Attest(out=out, key=key))
    told = json.loads((out / manifest.UNIT / manifest.VERSIONS / "history.json").read_bytes())
    offline.pull(Pull(out=earlier, store=str(out / "store"), version=told["entries"][0]["version"]))
    (earlier / "feedback").mkdir()
    for path in sorted((out / "feedback").glob("*.json"))[::8]:  # what goes between two attestations
        path.rename(earlier / "feedback" / path.name)
    attesting.attest(Attest(out=out, key=key))
    shutil.copytree(out, place / "copy", copy_function=shutil.copyfile)  # no file is another's link


def older(place: Path, part: str) -> dict[str, bytes]:
    """The older states in `earlier` that OUT has no more, by name."""
    found = {}
    for path in sorted((place / "earlier" / part).rglob("*")):
        name = path.relative_to(place / "earlier").as_posix()
        if path.is_file() and not path.name.startswith("."):
            now = place / "copy" / name
            data = path.read_bytes()
            if data and (not now.is_file() or now.read_bytes() != data):
                found[name] = data
    return found


def run(place: Path, flips: int, each: int, seed: int, tell: Callable[[str], object] = print) -> list[str]:
    """Make it, try it, and say what was missed."""
    if not (place / "copy").exists():
        make(place)
    out, key = place / "copy", place / "key.pub"
    here = Trials(out, key, is_store=False, random=random.Random(seed))
    store = Trials(out / "store", key, is_store=True, random=random.Random(seed + 1))
    drawn = random.Random(seed + 2)
    sides = [(here, older(place, "feedback")), (store, older(place, manifest.UNIT))]
    for trials, _ in sides:
        assert not trials.ask(trials.names), "it is not sound to begin with"
    for number in range(flips):
        drawn.choice(sides)[0].flip()
        if not (number + 1) % 1_000:
            tell(f"{number + 1:,} flips, {sum(len(side.missed) for side, _ in sides)} missed")
    for _ in range(each):
        trials, states = drawn.choice(sides)
        trials.swap()
        trials.delete()
        trials.replay(states)
        here.cut()
        here.rewrite_log()
    for trials, _ in sides:
        assert not trials.ask(trials.names), "it is not sound any more at the end"
    tried = sum((trials.tried for trials, _ in sides), Counter[str]())
    missed = [one for trials, _ in sides for one in trials.missed]
    for kind, count in tried.items():
        tell(f"{kind:20} {count:>7,} tried {sum(one.startswith(kind) for one in missed):>5,} missed")
    tell(f"named beside what was touched: {dict(sum((side.beside for side, _ in sides), Counter[str]()))}")
    return missed


def main() -> int:
    flips, each, seed = (*map(int, sys.argv[1:4]), *(FLIPS, EACH, 0)[len(sys.argv[1:4]) :])
    with tempfile.TemporaryDirectory() as folder:
        missed = run(Path(sys.argv[4] if len(sys.argv) > 4 else folder), flips, each, seed)
    print(*missed[:20], sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

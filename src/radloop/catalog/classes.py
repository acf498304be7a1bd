"""Which classes a table of annotations speaks of, and what each way of writing one means: declared, never guessed.

The list is the one that was declared; else the previous version's, new names appended; else the source's own, where it
brings one; else VinBigData's, where the table has ids and each goes with the name that VinBigData gives it; else the
table's own ids, where they are 0..n-1 and one to one with names; else its names, sorted. Then names are renamed, and
classes left out, as was asked.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

import polars as pl

from radloop import taxonomy, values
from radloop.errors import AnnotationError, TaxonomyError, UsageError
from radloop.tables import CLASS_ID
from radloop.taxonomy import NOTHING, Taxonomy, is_nothing, normal
from radloop.values import NO_VALUE
from radloop.vindr import classes as vindr

_MOST_NAMED: Final = 20  # in an error
_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")
_COMMA_ZEROS: Final = re.compile(r",0+$")  # 3,0: a whole number where commas stand before fractions
Kind = Literal["finding", "nothing", "dropped", "refused"]

# What each pair of texts (class_id, class_name) means. class: null but for a finding. code, reason: of a refused one.
MEANINGS: Final = pl.Schema(
    {
        "class_id": pl.String,
        "class_name": pl.String,
        "class": CLASS_ID,
        "kind": pl.String,
        "code": pl.String,
        "reason": pl.String,
    }
)


@dataclass(frozen=True)
class Wishes:
    """What the user asks of the classes."""

    declared: Taxonomy | None = None  # --classes
    renamed: Mapping[str, str] = field(default_factory=dict)  # --map: old name (`taxonomy.normal`) -> new
    kept: tuple[str, ...] = ()  # --keep-classes
    dropped: tuple[str, ...] = ()  # --drop-classes


@dataclass(frozen=True)
class Resolved:
    """The classes of a table, and what its rows mean by them."""

    taxonomy: Taxonomy
    meanings: pl.DataFrame  # MEANINGS
    notes: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()  # the names (`taxonomy.normal`) that are not to be in the dataset


class _Pair(NamedTuple):
    """One way in which rows name a class: as it came, and read."""

    id_text: str
    name_text: str
    number: int | None  # None: no id, or none that is a whole number
    written: str  # the name without odd spaces; "": none
    name: str  # the same after --map
    rows: int


def resolve(
    rows: pl.DataFrame,
    wishes: Wishes | None = None,
    *,
    previous: Taxonomy | None = None,
    own: Taxonomy | None = None,
) -> Resolved:
    """The classes that `rows` (class_id and class_name, as text) speak of.

    Raises AnnotationError where a name was declared by nobody (it names each, with its rows) or where ids have no
    names; UsageError where a wish names a class that is not there; TaxonomyError for names that cannot be used.
    """
    wishes = wishes or Wishes()
    pairs = list(_pairs(rows, wishes.renamed, wishes.declared or previous or own))
    known = _Known(pairs)
    names, listed, notes = _base(known, wishes, previous, own)
    if listed is None:
        _require_boxes(rows, known)
    notes += _renamed_in_vain(wishes.renamed, [*(listed or ()), *(pair.written for pair in pairs)])
    by_number = _by_number(known, listed, wishes.renamed)
    dropped = _left_out(names, known, wishes)
    named = {*map(normal, names)} | dropped
    unknown = {name: times for name, times in _spoken(known, by_number).items() if normal(name) not in named}
    if unknown:
        raise AnnotationError(_undeclared(unknown, names))
    kept = [name for name in names if normal(name) not in dropped]
    if not kept:
        raise UsageError("--keep-classes and --drop-classes leave no class. Keep at least one.")
    classes = Taxonomy(tuple(kept))
    meanings = [_meaning(pair, classes, dropped, known, by_number) for pair in pairs]
    return Resolved(classes, pl.DataFrame(meanings, schema=MEANINGS, orient="row"), tuple(notes), frozenset(dropped))


def of_taxonomy(
    rows: pl.DataFrame,
    classes: Taxonomy,
    *,
    renamed: Mapping[str, str] | None = None,
    left_out: frozenset[str] = frozenset(),
) -> Resolved:
    """The same for a table that radloop wrote itself, to be added to a dataset of these classes.

    `renamed` and `left_out` are what was asked for the dataset, so that a table of an earlier version fits the next.
    """
    written = {normal(pair.written) for pair in _pairs(rows, {}, classes)}
    renamed = {old: new for old, new in (renamed or {}).items() if old in written}
    there = {normal(pair.name) for pair in _pairs(rows, renamed, classes)}
    return resolve(rows, Wishes(declared=classes, renamed=renamed, dropped=tuple(sorted(left_out & there))))


def parse_map(entries: Iterable[str]) -> dict[str, str]:
    """`A=B` each: A, by its `taxonomy.normal`, is read as B.

    Raises UsageError for what has no `=`, or renames one name twice.
    """
    renamed: dict[str, str] = {}
    for entry in entries:
        old, sign, new = (part.strip() for part in entry.partition("="))
        if not sign or not old or not new:
            raise UsageError(f"--map {entry[:80]!r}: OLD=NEW is meant, two names of classes.")
        if renamed.setdefault(normal(old), new) != new:
            raise UsageError(f"--map: {old!r} is renamed twice, to {renamed[normal(old)]!r} and {new!r}.")
    return renamed


def _pairs(rows: pl.DataFrame, renamed: Mapping[str, str], listed: Taxonomy | None) -> Iterable[_Pair]:
    """Cells such as NaN and None name nothing, unless the list or --map has a class of that name."""
    known = {*renamed, *(map(normal, listed.names) if listed else ())}
    counted = rows.group_by("class_id", "class_name").agg(rows=pl.len()).sort("class_id", "class_name")
    for id_text, name_text, times in counted.iter_rows():
        written = " ".join((name_text or "").split())
        if normal(written) in NO_VALUE and normal(written) not in known:
            written = ""
        name = renamed.get(normal(written), written)
        yield _Pair(id_text, name_text, _whole(_id_of(id_text)), written, name, times)


def _id_of(text: str | None) -> str:
    """The cell of an id; "" where it says that there is none."""
    stripped = (text or "").strip()
    return "" if stripped.lower() in NO_VALUE else stripped


def _whole(text: str) -> int | None:
    try:
        number = float(_COMMA_ZEROS.sub("", text))
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**31 else None


class _Known:
    """What the rows say by themselves, of findings alone."""

    def __init__(self, pairs: Sequence[_Pair]) -> None:
        self.pairs = [pair for pair in pairs if not is_nothing(pair.name)]
        self.nothing = {pair.number for pair in pairs if is_nothing(pair.name) and pair.number is not None}
        self.named = [pair for pair in self.pairs if pair.name]
        spelled: dict[str, Counter[str]] = defaultdict(Counter)
        votes: dict[str, Counter[int]] = defaultdict(Counter)
        for pair in self.named:
            spelled[normal(pair.name)][pair.name] += pair.rows
            if pair.number is not None:
                votes[normal(pair.written)][pair.number] += pair.rows
        self.spelled = {key: sorted(found) for key, found in spelled.items()}
        self.names = {sorted(found)[0]: found.total() for found in spelled.values()}
        self.renamed = {normal(pair.written): pair.name for pair in self.named}
        # the id that most rows of a name have, by the name as it is written
        self.numbers = {key: min(found, key=lambda number: (-found[number], number)) for key, found in votes.items()}
        self.has_ids = any(pair.number is not None for pair in self.pairs)

    @property
    def one_to_one(self) -> bool:
        return len(set(self.numbers.values())) == len(self.numbers)


def _base(
    known: _Known, wishes: Wishes, previous: Taxonomy | None, own: Taxonomy | None
) -> tuple[list[str], Sequence[str] | None, list[str]]:
    """The names before any is left out, the list that ids are numbers of, and what is to be said of both.

    No list: the names are those of the rows.
    """
    if wishes.declared is not None:
        return list(wishes.declared.names), wishes.declared.names, []
    renamed = wishes.renamed
    if previous is not None:
        names = _renamed(previous.names, renamed)
        there = {*map(normal, names)}
        new = sorted(name for name in known.names if normal(name) not in there)
        _refuse_spellings(known, new)
        note = [f"classes that the previous version has not, numbered after its own: {', '.join(new)}"] if new else []
        return names + new, previous.names, note
    if own is not None:
        return _renamed(own.names, renamed), own.names, []
    if known.has_ids and not known.named:
        raise AnnotationError(
            "The table has ids of classes and no names: what they mean is not guessed. Pass --classes FILE (a name a "
            "line), or --classes vinbigdata."
        )
    if _is_vinbigdata(known):
        return _renamed(vindr.TAXONOMY.names, renamed), vindr.TAXONOMY.names, []
    _refuse_spellings(known, known.names)
    numbered = sorted((number, key) for key, number in known.numbers.items())
    if numbered and known.one_to_one and [number for number, _ in numbered] == list(range(len(numbered))):
        return _renamed((known.renamed[key] for _, key in numbered), {}), None, []
    names = sorted(known.names)
    if not names:
        names = _renamed(vindr.TAXONOMY.names, renamed)
        return names, vindr.TAXONOMY.names, ["no row names a class: VinBigData's are taken"]
    ignored = [f"class_id is not used, its values are not 0..{len(names) - 1} and one to one with the names"]
    return names, None, ignored if known.has_ids else []


def _renamed_in_vain(renamed: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """A note of what --map renames and neither the list nor a row has: a typo, or a name that only a model uses."""
    gone = sorted(renamed.keys() - set(map(normal, names)))
    return [f"--map renames what no row and no list has: {_list(gone)}"] if gone else []


def _require_boxes(rows: pl.DataFrame, known: _Known) -> None:
    """Raises AnnotationError where no row of a name has a box: that is no class but a way to say "No finding"."""
    if not {*_SIDES} <= {*rows.columns}:
        return
    placeholder = values.stands_for_no_box(*(values.number(side, "point") for side in _SIDES)).fill_null(value=False)
    boxed = rows.filter(pl.any_horizontal(values.text(side) != "" for side in _SIDES) & ~placeholder)
    with_box = {normal(name or "") for name in boxed["class_name"].unique()}
    for pair in known.named:
        if not with_box & {normal(one.written) for one in known.named if normal(one.name) == normal(pair.name)}:
            raise AnnotationError(
                f"No row of {pair.name!r} has a box. Where it says that nothing was found, pass --map "
                f"{pair.written!r}={NOTHING!r}; else leave it out with --drop-classes, or declare it with --classes."
            )


def _refuse_spellings(known: _Known, names: Iterable[str]) -> None:
    for name in names:
        found = known.spelled[normal(name)]
        if len(found) > 1:
            raise AnnotationError(
                f"The classes {found[0]!r} and {found[1]!r} differ in case, spaces or the form of letters only. Say "
                f"that they are one: --map {found[1]!r}={found[0]!r}, or name the classes with --classes."
            )


def _renamed(names: Iterable[str], renamed: Mapping[str, str]) -> list[str]:
    """The names after --map, each once, in the order of their first."""
    return list({normal(new): new for new in (renamed.get(normal(name), name) for name in names)}.values())


def _is_vinbigdata(known: _Known) -> bool:
    """Whether every name that comes with an id is one of VinBigData's, and its id mostly the one it has there."""
    own = {normal(name): number for number, name in enumerate(vindr.TAXONOMY.names)}
    return bool(known.numbers) and known.numbers.items() <= own.items()


def _left_out(names: Sequence[str], known: _Known, wishes: Wishes) -> set[str]:
    """The classes (`taxonomy.normal`) that are not to be in the dataset."""
    there = {*map(normal, names), *known.spelled}
    for flag, wanted in (("--keep-classes", wishes.kept), ("--drop-classes", wishes.dropped)):
        for name in wanted:
            if normal(name) not in there:
                raise UsageError(f"{flag}: there is no class {name!r}. There are {_list(names)}.")
    dropped = set(map(normal, wishes.dropped))
    if wishes.kept:
        dropped |= there - set(map(normal, wishes.kept))
    return dropped


def _undeclared(unknown: Mapping[str, int], names: Sequence[str]) -> str:
    most = sorted(unknown.items(), key=lambda found: (-found[1], found[0]))[:_MOST_NAMED]
    shown = ", ".join(f"{name!r} ({rows:,} rows)" for name, rows in most)
    more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
    return (
        f"Names that are not among the classes ({_list(names)}): {shown}{more}. Rename each with --map OLD=NEW, "
        "leave it out with --drop-classes NAME, or declare it with --classes FILE."
    )


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _by_number(known: _Known, listed: Sequence[str] | None, renamed: Mapping[str, str]) -> dict[int, str]:
    """What an id means where the row has no name: what the table's own rows say, else the list's number.

    Not the list's where the table's rows number any class in another way than it.
    """
    by_number: dict[int, str] = {}
    if listed is not None and not _contradicts(known, listed):
        by_number = {number: renamed.get(normal(name), name) for number, name in enumerate([*listed, NOTHING])}
    if known.one_to_one:
        by_number |= {number: known.renamed[key] for key, number in known.numbers.items()}
        by_number |= dict.fromkeys(known.nothing - set(known.numbers.values()), NOTHING)
    return by_number


def _contradicts(known: _Known, listed: Sequence[str]) -> bool:
    """Whether rows with both an id and a name give the name, or the id, another partner than the list does."""
    places = {normal(name): number for number, name in enumerate(listed)}
    return any(number < len(listed) for number in known.nothing) or any(
        number != places.get(key, places.get(normal(known.renamed[key]), max(number, len(listed))))
        for key, number in known.numbers.items()
    )


def _spoken(known: _Known, by_number: Mapping[int, str]) -> dict[str, int]:
    """The classes that the rows speak of, by name or by an id alone, each with its rows."""
    spoken = Counter(known.names)
    for pair in known.pairs:
        name = by_number.get(pair.number) if pair.number is not None and not pair.name else None
        if name and not is_nothing(name):
            spoken[name] += pair.rows
    return spoken


def _meaning(
    pair: _Pair, classes: Taxonomy, dropped: set[str], known: _Known, by_number: Mapping[int, str]
) -> tuple[str, str, int | None, Kind, str | None, str | None]:
    def verdict(
        kind: Kind, class_id: int | None = None, code: str | None = None, reason: str | None = None
    ) -> tuple[str, str, int | None, Kind, str | None, str | None]:
        return pair.id_text, pair.name_text, class_id, kind, code, reason

    name, id_text = pair.name, _id_of(pair.id_text)
    if not name and not id_text:
        said = (pair.name_text or "").strip()
        sentence = f"the row names no class{f': class_name {said!r}' if said else ''}"
        return verdict("refused", code="class-missing", reason=sentence)
    if id_text and pair.number is None:
        return verdict("refused", code="class-unknown", reason=f"the class is unknown: class_id {id_text[:60]!r}")
    if not name:
        if pair.number is None or pair.number not in by_number:
            return verdict("refused", code="class-unknown", reason=f"the class is unknown: class_id {id_text[:60]!r}")
        name = by_number[pair.number]
    elif pair.number is not None and known.one_to_one and _disagrees(pair, known):
        sentence = f"class_id and class_name disagree: class_id {id_text[:60]!r}, class_name {name[:60]!r}"
        return verdict("refused", code="class-contradiction", reason=sentence)
    if is_nothing(name):
        return verdict("nothing")
    if normal(name) in dropped:
        return verdict("dropped")
    return verdict("finding", classes.number(name))


def _disagrees(pair: _Pair, known: _Known) -> bool:
    """Whether the id is not the one that the table's other rows give this name."""
    if is_nothing(pair.name):
        return pair.number in known.numbers.values()
    return pair.number != known.numbers[normal(pair.written)]


def wishes(
    declared_as: str | None, renamed: Iterable[str], *, keep: Iterable[str] = (), drop: Iterable[str] = ()
) -> Wishes:
    """What the flags --classes, --map (OLD=NEW each, or a file with one a line), --keep-classes, --drop-classes ask."""
    entries = [line for entry in renamed for line in ([entry] if "=" in entry else _lines_of(Path(entry)))]
    return Wishes(
        declared=declared(declared_as) if declared_as is not None else None,
        renamed=parse_map(entries),
        kept=tuple(keep),
        dropped=tuple(drop),
    )


def _lines_of(path: Path) -> list[str]:
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as unreadable:
        raise UsageError(
            f"--map {str(path)[:80]!r}: neither OLD=NEW nor a UTF-8 file with one a line ({unreadable})."
        ) from unreadable
    return [line.strip() for line in lines if line.strip()]


def declared(text: str) -> Taxonomy:
    """What --classes names: `vinbigdata`, or a file (`taxonomy.read`). Raises TaxonomyError."""
    if normal(text) == "vinbigdata":
        return vindr.TAXONOMY
    if not text.strip():
        raise TaxonomyError("--classes: name a file, or vinbigdata.")
    return taxonomy.read(Path(text))

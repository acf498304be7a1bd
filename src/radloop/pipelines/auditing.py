"""The audit logs, the chains of reviews and the ids of feedback -> what was changed, or the log as tables."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from radloop import files, manifest, sealed, spreadsheets, tree
from radloop.catalog import audit_lines, chains, rounds, tombstones
from radloop.catalog.audit_lines import Head, Line, Told
from radloop.errors import FeedbackError
from radloop.feedback import chaining, identity, logged, verifying
from radloop.feedback.verifying import FAULTS, Fault, faults
from radloop.options import Audit
from radloop.progress import Progress, silent

EXPORT: Final = "export/audit"  # in OUT
AUDIT: Final = pl.Schema(
    {
        **{name: pl.String() for name in ("log", "file")},
        **dict.fromkeys(("line", "seq"), pl.Int64()),
        **dict.fromkeys(("time", "who", "what", "state"), pl.String()),
        "of": pl.Int64(),
        "later": pl.Boolean(),
        **dict.fromkeys(("subject", "host", "command", "client", "old", "new", "previous"), pl.String()),
    }
)


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is wrong with it."""

    lines: int  # of the logs
    ends: Mapping[str, Head]  # the last line of each log, to be kept elsewhere
    open: tuple[str, ...]  # deeds that were begun, and nobody has said how they ended
    reviews: int
    heads: pl.DataFrame  # HEADS
    forks: pl.DataFrame  # LINKS: legal
    pinned: int  # heads that rounds have pinned
    feedback: Mapping[str, int]  # signed, and others
    faults: pl.DataFrame  # FAULTS


@dataclass(frozen=True)
class Exported:
    """The log as tables."""

    folder: Path
    lines: int
    done: bool = True  # False with --dry-run


def audit(options: Audit, *, progress: Progress = silent) -> Verified | Exported:
    """Verify the logs, reviews and feedback, or write the log as CSV and JSON."""
    return _export(options) if options.action == "export" else verify(options)


def verify(options: Audit) -> Verified:
    """Everything that was changed, removed, inserted, swapped, cut or brought back, as far as anything tells of it."""
    logs = _logs(options)
    links, changed = verifying.of_reviews(options.reviews_folder)
    wrong = [*_of_logs(logs), changed]
    stones, damaged = _tombstones(options.reviews_folder)
    told = chains.of(links, stones)
    wrong += [damaged, _of_chains(told), _of_tombstones(options.reviews_folder, logs["reviews"], links, stones)]
    unit = options.dataset_folder / manifest.RETRAIN
    pinned = rounds.binding(unit, logs["deeds"].lines)
    wrong.append(_of_rounds(unit, logs["deeds"]))
    unlike = chains.unlike(pinned.select(chains.HEADS.names()), links, stones)
    wrong.append(faults((_name(row), None, row["code"], row["reason"]) for row in unlike.iter_rows(named=True)))
    wrong.append(_of_written(logs["reviews"], links, stones))
    known, lost = _known(options, logs["deeds"])
    images = tombstones.read(options.out)
    more, counted = verifying.of_feedback(options.feedback_folder, images, known)
    return Verified(
        lines=sum(len(log.lines) for log in logs.values()),
        ends={logged.NAMES[name]: Head(*list(log.hashes.items())[-1]) for name, log in logs.items() if log.hashes},
        open=tuple(_open(logs)),
        reviews=links.height,
        heads=told.heads,
        forks=told.forks,
        pinned=pinned.height,
        feedback=counted,
        faults=pl.concat([*wrong, lost, more]).unique(maintain_order=True),
    )


def _name(row: Mapping[str, Any]) -> str:
    return f"review {row['review_id']} of {row['reviewer']}"


def _logs(options: Audit) -> dict[str, Told]:
    folders = logged.folders(options.out, options.reviews_folder)
    return {name: audit_lines.verify(folder) for name, folder in folders.items()}


def _of_logs(logs: Mapping[str, Told]) -> Iterator[pl.DataFrame]:
    for name, log in logs.items():
        yield faults((f"{logged.NAMES[name]}/{one.file}", one.line, one.code, one.reason) for one in log.faults)


def _open(logs: Mapping[str, Told]) -> Iterator[str]:
    for log in logs.values():
        for line in audit_lines.unended(log.lines):
            yield f"{line.what} {line.subject} of {line.time[:19]} (line number {line.seq})"


def _tombstones(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """FORGOTTEN_REVIEWS, and FAULTS where they cannot be read."""
    try:
        return chaining.forgotten(folder), FAULTS.to_frame()
    except FeedbackError as wrong:
        return chains.NOTHING_FORGOTTEN, faults([(chaining.FORGOTTEN, None, wrong.code, str(wrong))])


def _of_chains(told: chains.Chains) -> pl.DataFrame:
    gone = "names review {previous} before it, which is not there, nor was it forgotten"
    return faults(
        [
            *((row["file"], None, "chain-gap", gone.format(**row)) for row in told.gaps.iter_rows(named=True)),
            *((row["file"], None, "chain-endless", "its chain has no beginning") for row in told.cycles.to_dicts()),
        ]
    )


def _of_tombstones(folder: Path, log: Told, links: pl.DataFrame, stones: pl.DataFrame) -> pl.DataFrame:
    """FAULTS of what says that reviews were forgotten: only what the log tells of, and none of it back again."""
    there = chaining.tombstones_sha256(folder)
    in_between = any(line.what == "forget" for line in audit_lines.unended(log.lines))  # it was cut off, or is at work
    told = [line.new for line in log.lines if line.what == "forget" and line.state == "done"]
    last = told[-1].get("tombstones") if told and isinstance(told[-1], Mapping) else None
    found: list[Fault] = []
    if there != last and not in_between:
        found.append((chaining.FORGOTTEN, None, "tombstones-changed", "it is not as the log's last `forget` left it"))
    back = links.join(stones, on="review_id", how="semi")
    found += [(file, None, "review-returned", "it was forgotten, and is there again") for file in back["file"]]
    return faults(found)


def _of_written(log: Told, links: pl.DataFrame, stones: pl.DataFrame) -> pl.DataFrame:
    """FAULTS of the reviews against the log that tells of each."""
    if not log.lines:
        reason = "there are reviews that a log had told of, such as {}, and no log"
        since = _since_logs(links)
        return faults([(logged.FOLDER, None, "log-missing", reason.format(since[0]))] if since else [])
    files_of = dict(links.select("review_id", "file").iter_rows())
    bytes_of = dict(links.select("review_id", "sha256").iter_rows())
    forgotten = set(stones["review_id"])
    written = dict(_written(log.lines))
    found: list[Fault] = []
    for review_id, (sha256, seq) in written.items():
        if review_id in forgotten:
            continue
        if review_id not in files_of:
            found.append((f"review {review_id}", None, "review-deleted", f"the log's line {seq} tells of it"))
        elif bytes_of[review_id] != sha256:
            found.append((files_of[review_id], None, "review-changed", f"it is not what the log's line {seq} tells of"))
    begun = {line.subject for line in log.lines if line.what == "review"}
    unknown = links.filter(~pl.col("review_id").is_in(list(begun)))
    before = log.lines[0].new.get("reviews") if isinstance(log.lines[0].new, Mapping) else 0
    older = len(forgotten - begun)
    if isinstance(before, int) and unknown.height + older != before:
        more = unknown.height + older > before
        code, names = ("review-unlogged", unknown["file"].to_list()) if more else ("review-deleted", ["reviews"])
        reason = f"{before:,} reviews are older than the log, and {unknown.height + older:,} are not told of in it"
        found += [(name, None, code, reason) for name in names[-10:]]
    elif since := _since_logs(unknown):
        reason = f"reviews such as {since[0]} are not older than logs are, and this one began after them"
        found.append((logged.FOLDER, None, "log-missing", reason))
    return faults(found)


def _since_logs(links: pl.DataFrame) -> list[str]:
    """The files of radloop's reviews that cannot be older than audit logs: their feedback has the id of its content."""
    ours = links.filter(pl.col("review_id").str.contains(chains.OWN_ID))
    told = ours.select("file", "feedback_id").iter_rows()
    return [file for file, feedback_id in told if identity.is_own(feedback_id, None)]


def _of_rounds(unit: Path, log: Told) -> pl.DataFrame:
    """FAULTS of the rounds of re-training against the log that tells of each."""
    there = rounds.pinned(unit)
    if not log.lines:
        reason = f"there are rounds of re-training, such as {min(there, default='')}, and no log"
        return faults([(audit_lines.FOLDER, None, "log-missing", reason)] if there else [])
    found: list[Fault] = []
    before = log.lines[0].new
    if isinstance(before, Mapping) and rounds.BEFORE_LOG in before:
        reason = f"it began after {before[rounds.BEFORE_LOG]} rounds of re-training, of which another had told"
        found.append((audit_lines.FOLDER, None, "log-missing", reason))
    done = {line.of for line in log.lines if line.state == "done"}
    told = {rounds.heads_of(line): line.seq for line in log.lines if line.seq in done}
    reason = "the round of line number {} is not there, or pins other chains than it did"
    lost = [seq for sha256, seq in told.items() if sha256 and sha256 not in there.values()]
    return faults([*found, *((tree.ROUNDS, None, "round-changed", reason.format(seq)) for seq in lost)])


def _written(lines: tuple[Line, ...]) -> Iterator[tuple[str, tuple[str, int]]]:
    """The reviews that were written: id, SHA-256 and the line that tells."""
    begun = {line.seq: line for line in lines if line.what == "review" and line.state == "begun"}
    for line in lines:
        first = begun.get(line.of or 0)
        if line.state == "done" and first is not None and isinstance(first.new, Mapping):
            yield first.subject, (str(first.new.get("sha256")), first.seq)


def _known(options: Audit, log: Told) -> tuple[pl.DataFrame, pl.DataFrame]:
    """verifying.KNOWN, and FAULTS where it is not what the log tells of."""
    begun = audit_lines.unended(log.lines)  # was cut off, or is at work
    told = [line for line in log.lines if _seen(line)]
    whole = [place for place, line in enumerate(told) if line.state == "done" and not line.later]
    expected = {_seen(line) for line in told[whole[-1] if whole else 0 :]}  # what was cut off may have come so far
    expected |= {None} if not whole else set()
    path = verifying.known_path(options.out)
    data = path.read_bytes() if path.is_file() else b""
    there = hashlib.sha256(data).hexdigest() if data else None
    if there in expected or any(line.what == "forget" for line in begun):
        table = sealed.decode(data) if data else None
        return (verifying.KNOWN.to_frame() if table is None else table), FAULTS.to_frame()
    return verifying.KNOWN.to_frame(), faults(
        [(verifying.KNOWN_FILE, None, "feedback-list-changed", "it is not the list that the last round left")]
    )


def _seen(line: Line) -> str | int | None:
    """The hash of the list of feedback that a line tells of; None of one that tells of none."""
    return line.new.get("feedback") if isinstance(line.new, Mapping) else None


def _export(options: Audit) -> Exported:
    folder = options.out / EXPORT
    table = pl.DataFrame(list(_rows(options)), schema=AUDIT, orient="row")
    if not options.dry_run:
        files.write_atomic(folder / "audit.csv", spreadsheets.csv(table), mode=files.OWN_FILE)
        rows = msgspec.json.encode(table.to_dicts())
        files.write_atomic(folder / "audit.json", msgspec.json.format(rows, indent=2) + b"\n", mode=files.OWN_FILE)
    return Exported(folder, table.height, done=not options.dry_run)


def _rows(options: Audit) -> Iterator[tuple[Any, ...]]:
    for name, log in _logs(options).items():
        for line, (file, number) in zip(log.lines, log.places, strict=True):
            came = (line.came.host, line.came.command, line.came.client)
            changed = (_text(line.old), _text(line.new), line.previous)
            what = (line.seq, line.time, line.who, line.what, line.state, line.of, line.later, line.subject)
            yield (name, file, number, *what, *came, *changed)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()

"""Review files: what a radiologist said of a feedback, one JSON object each, only ever added to.

Which of them counts, and whether they agree, says `radloop.feedback.weighing`. Feedback that has a review which cannot
be used waits: it may be a radiologist's no.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import polars as pl

from radloop import boxes, files
from radloop.catalog import chains
from radloop.errors import FeedbackError
from radloop.feedback import chaining, documents, listing, records
from radloop.feedback.conventions import OWN, Convention
from radloop.feedback.records import Box, ClassId, FeedbackId, Fraction, ImageId
from radloop.tables import (
    EDGES,
    REFUSED_FILES,
    REVIEW_FINDINGS,
    REVIEW_SHOWN,
    REVIEWS,
    SCALED_SIDE_PX,
    WAITING,
    Verdict,
)
from radloop.taxonomy import Taxonomy

SMALLEST_SIDE: Final = 0.1 / SCALED_SIDE_PX  # of a label's box: below, its six decimals make it a line

_NAMED: Final = re.compile(rb'"feedback_id"\s*:\s*"([A-Za-z0-9][A-Za-z0-9_-]{0,63})"')
_MOST_NAMED: Final = 10_000  # feedback files that one file of refused reviews holds up
_LONGEST_COMMENT: Final = 10_000
MOST_FINDINGS: Final = 1_000  # two reviews are compared box by box: 8,000 each would take 4 GB
_LONGEST_SECONDS: Final = 1e9
MOST_SHOWN: Final = 300  # boxes of a model that a reader is shown, the most confident first
_Row = tuple[Any, ...]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One box that the radiologist stands for."""

    class_id: ClassId
    bbox: Box


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One of the model's boxes, as the radiologist saw it."""

    class_id: ClassId
    bbox: Box
    confidence: Fraction


Findings = Annotated[list[Finding], msgspec.Meta(max_length=MOST_FINDINGS)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=_LONGEST_SECONDS)]  # while the desk was in sight


class Review(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One review. accept and correct: `findings` is the complete list; normal: it is empty; reject: there is none."""

    feedback_id: FeedbackId
    image_id: ImageId
    reviewer: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,50}\Z")]  # a pseudonym
    verdict: Verdict
    findings: Findings | None = None
    timestamp: str  # ISO 8601, UTC
    comment: Annotated[str, msgspec.Meta(max_length=_LONGEST_COMMENT)] | None = None
    adjudicates: bool = False
    simulated: bool = False
    blind_findings: Findings | None = None  # what was drawn before the model's boxes were shown; []: nothing
    revealed: bool = False  # whether they were shown at all
    seconds_blind: Seconds | None = None
    seconds_total: Seconds | None = None
    shown: Annotated[list[Shown], msgspec.Meta(max_length=MOST_FINDINGS)] | None = None
    previous: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")] | None = None  # this reviewer's review before
    schema_version: Literal[1] | None = None  # what has none is of format 1


@dataclass(frozen=True)
class Reviews:
    """What a folder of reviews holds, independent of the order of files."""

    reviews: pl.DataFrame  # REVIEWS, sorted by timestamp and review_id
    findings: pl.DataFrame  # REVIEW_FINDINGS
    refused: pl.DataFrame  # REFUSED_FILES
    waiting: pl.DataFrame = field(default_factory=WAITING.to_frame)
    blind: pl.DataFrame = field(default_factory=REVIEW_FINDINGS.to_frame)  # what was drawn before the reveal
    shown: pl.DataFrame = field(default_factory=REVIEW_SHOWN.to_frame)  # the model's boxes, as they were shown
    zoneless: int = 0  # times without a zone, in those that were read
    unread: pl.DataFrame = field(default_factory=chaining.LINK.to_frame)  # links of chains, of what was refused
    forgotten: pl.DataFrame = field(default_factory=chains.FORGOTTEN_REVIEWS.to_frame)

    @property
    def links(self) -> pl.DataFrame:
        """What `catalog.chains` looks at: chaining.LINK of every review, also of those that were refused."""
        return pl.concat([self.reviews.select(chaining.LINK.names()), self.unread])

    @property
    def heads(self) -> pl.DataFrame:
        """HEADS of all chains."""
        return chains.heads(self.links, self.forgotten)


NONE: Final = Reviews(REVIEWS.to_frame(), REVIEW_FINDINGS.to_frame(), REFUSED_FILES.to_frame())

_REVIEW: Final = msgspec.json.Decoder(Review)


def encode(review: Review) -> bytes:
    """The bytes of a review file: JSON with an indent of two, no key without a value."""
    return msgspec.json.format(msgspec.json.encode(review), indent=2) + b"\n"


def write(folder: Path, review: Review, classes: Taxonomy, *, durable: bool = False) -> Path:
    """Write `<feedback_id>.<reviewer>.<review_id>.json`; the id follows from the bytes, so twice the same is one file.

    Never overwrites and never shows a part of a file, with any number of writers and a kill at any moment. With
    `durable` it has reached the disk before this returns. Raises FeedbackError for a review that `read` would refuse.
    """
    data = encode(review)
    path = folder / file_name(review)
    decode(data, classes, name=path.name)
    if not path.exists():
        files.make_folder(folder, durable=durable, mode=files.OWN_FOLDER)
        files.write_atomic(path, data, durable=durable, mode=files.OWN_FILE)
    return path


def following(reviews: Iterable[Review], heads: Mapping[str, str]) -> Iterator[Review]:
    """The reviews in this order, each naming the one that its reviewer wrote before.

    heads: {reviewer: id of the review that the first goes on from}, as `catalog.chains.newest` has them.
    """
    last = dict(heads)
    for review in reviews:
        chained = msgspec.structs.replace(review, previous=last.get(review.reviewer))
        last[review.reviewer] = chaining.review_id(encode(chained))
        yield chained


def says_again(review: Review, before: Review) -> bool:
    """Whether two reviews are one but for their places in the chain."""
    return msgspec.structs.replace(review, previous=before.previous) == before


def write_unusable(
    folder: Path, *, feedback_id: str, image_id: str, reviewer: str, why: str, durable: bool = False
) -> Path:
    """Write that a reviewer said of a feedback what no review can hold, as the file of a review without a verdict.

    `read` refuses it, and so the feedback waits for the reviewer's next one; nothing that a person said is lost.
    """
    data = encode_unusable(feedback_id=feedback_id, image_id=image_id, reviewer=reviewer, why=why)
    path = folder / chaining.file_name(feedback_id, reviewer, data)
    if not path.exists():
        files.make_folder(folder, durable=durable, mode=files.OWN_FOLDER)
        files.write_atomic(path, data, durable=durable, mode=files.OWN_FILE)
    return path


def encode_unusable(*, feedback_id: str, image_id: str, reviewer: str, why: str) -> bytes:
    """The bytes of `write_unusable`."""
    told = {"feedback_id": feedback_id, "image_id": image_id, "reviewer": reviewer, "comment": why}
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


def file_name(review: Review) -> str:
    """`<feedback_id>.<reviewer>.<review_id>.json`: the same for the same review."""
    return chaining.file_name(review.feedback_id, review.reviewer, encode(review))


def decode(
    data: bytes, classes: Taxonomy, *, name: str, convention: Convention = OWN, now: datetime | None = None
) -> Review:
    """The review in the bytes of the file `name`, its time in UTC.

    Raises FeedbackError that names the file and what is wrong with it.
    """
    try:
        return _decode(data, name, len(classes), convention, now)[0]
    except FeedbackError as wrong:
        raise FeedbackError(f"{name}: {wrong}", code=wrong.code) from wrong


def _decode(data: bytes, name: str, classes: int, convention: Convention, now: datetime | None) -> tuple[Review, bool]:
    """The review, and whether its time told its zone."""
    review = _of_any_case(data)
    if encode(review) != data:
        documents.refuse_repeated_keys(data)
    _refuse_other_name(review, name)
    _refuse_changed(data, name)
    _refuse_contradiction(review)
    for finding in (*(review.findings or ()), *(review.blind_findings or ())):
        _refuse_unusable(finding, classes)
    for box in review.shown or ():
        _refuse_unknown(box.class_id, classes)
        records.refuse_outside(box.bbox)
    time, zoned = convention.utc(review.timestamp, now)
    return msgspec.structs.replace(review, timestamp=time.isoformat()), zoned


def _of_any_case(data: bytes) -> Review:
    """A verdict in another case, or with blanks around it, means one thing only."""
    try:
        return documents.decode(data, _REVIEW)
    except FeedbackError as wrong:
        plain = documents.plain(data) if wrong.code == "bad-verdict" else None
        if plain is None or not isinstance(plain["verdict"], str):
            raise
        return documents.convert(plain | {"verdict": plain["verdict"].strip().lower()}, Review)


def _refuse_changed(data: bytes, name: str) -> None:
    own = name.split(".")[-2]
    if chaining.OWN_ID.fullmatch(own) and own != chaining.review_id(data):
        raise FeedbackError(
            f"it was changed after it was written: its name has the id {own}, its bytes have "
            f"{chaining.review_id(data)}",
            code="review-changed",
        )


def _refuse_other_name(review: Review, name: str) -> None:
    parts = name.split(".")
    if (
        len(parts) != 4
        or parts[:2] != [review.feedback_id, review.reviewer]
        or not parts[2]
        or parts[3].lower() != "json"
    ):
        raise FeedbackError(
            f"its name is not that of a review by {review.reviewer} (<feedback_id>.<reviewer>.<review_id>.json)",
            code="bad-file-name",
        )


def _refuse_contradiction(review: Review) -> None:
    found = review.findings or []
    if review.verdict in ("accept", "correct") and review.findings is None:
        raise FeedbackError(
            f"verdict {review.verdict} without findings: they are the complete list", code="findings-missing"
        )
    if review.verdict == "correct" and not found:
        raise FeedbackError("corrected to nothing: a picture without a finding is `normal`", code="findings-missing")
    if review.verdict in ("normal", "reject") and found:
        raise FeedbackError(f"verdict {review.verdict} with {len(found)} findings", code="findings-contradict-verdict")
    if review.shown is not None and not review.revealed:
        raise FeedbackError("it tells what was shown, and that nothing was (revealed)", code="shown-unrevealed")
    blind, total = review.seconds_blind, review.seconds_total
    if blind is not None and total is not None and blind > total:
        raise FeedbackError(f"seconds_blind {blind:g} are more than seconds_total {total:g}", code="seconds-contradict")


def _refuse_unknown(class_id: int, classes: int) -> None:
    if not 0 <= class_id < classes:
        raise FeedbackError(
            f"class_id {class_id} is unknown: a finding has one of the classes 0..{classes - 1}", code="class-unknown"
        )


def _refuse_unusable(finding: Finding, classes: int) -> None:
    _refuse_unknown(finding.class_id, classes)
    records.refuse_outside(finding.bbox)
    left, top, right, bottom = boxes.cxcywh_to_xyxy(finding.bbox).clip(0, 1).tolist()
    if min(right - left, bottom - top) < SMALLEST_SIDE:
        raise FeedbackError(f"bbox {list(finding.bbox)} has no area inside the picture", code="box-without-area")


def read(
    folder: Path,
    classes: Taxonomy,
    *,
    names: Iterable[str] | None = None,
    before: Reviews = NONE,
    convention: Convention = OWN,
    now: datetime | None = None,
) -> Reviews:
    """Every review in `folder` and its folders, or those in the files `names`; none where there is no folder.

    What cannot be used is in `refused` with the reason, and the feedback that it speaks of is `waiting`: its name
    says which, else its content. A later review of the same reviewer that can be read takes its place. Of `convention`
    the zone of times counts. The reviews of `before`, which were read of the folder earlier, are joined; what was
    refused then is not.
    """
    rows: list[_Row] = []
    found: list[_Row] = []
    blind: list[_Row] = []
    shown: list[_Row] = []
    refused: list[_Row] = []
    unread: list[_Row | None] = []
    waiting: list[tuple[str, str]] = []
    zoneless, names = before.zoneless, sorted(listing.names(folder) if names is None else names)
    if not names:
        return replace(before, refused=NONE.refused, waiting=NONE.waiting, unread=NONE.unread)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            data = b""
            try:
                data = documents.read_bytes(directory, name)
                if not listing.is_document(name):
                    raise FeedbackError("a review is a .json file of its own", code="unknown-kind")
                review, zoned = _decode(data, os.path.basename(name), len(classes), convention, now)
            except FeedbackError as wrong:
                refused.append((documents.shown(name), wrong.code, str(wrong)))
                unread.append(chaining.link(documents.shown(name), data))
                waiting += [(one, documents.shown(name)) for one in _spoken_of(name, data)]
                continue
            zoneless += not zoned
            rows.append(_row(review, name, data))
            found += [(name, finding.class_id, *finding.bbox) for finding in review.findings or ()]
            blind += [(name, finding.class_id, *finding.bbox) for finding in review.blind_findings or ()]
            shown += [(name, box.class_id, *box.bbox, box.confidence) for box in review.shown or ()]
        every = pl.concat([before.reviews, pl.DataFrame(rows, schema=REVIEWS, orient="row")])
        waiting = list(_still_waiting(waiting, every, directory))
    finally:
        os.close(directory)
    return Reviews(
        every.sort("timestamp", "review_id", "file"),
        pl.concat([before.findings, _boxes(found, REVIEW_FINDINGS)]),
        pl.DataFrame(refused, schema=REFUSED_FILES, orient="row").sort("file"),
        pl.DataFrame(waiting, schema=WAITING, orient="row").sort("feedback_id", "file"),
        pl.concat([before.blind, _boxes(blind, REVIEW_FINDINGS)]),
        pl.concat([before.shown, _boxes(shown, REVIEW_SHOWN)]),
        zoneless,
        pl.DataFrame([row for row in unread if row is not None], schema=chaining.LINK, orient="row"),
        chaining.forgotten(folder),
    )


def _spoken_of(name: str, data: bytes) -> list[str]:
    """The feedback files that a review which cannot be used may speak of."""
    told = [match.decode() for match in _NAMED.findall(data)[:_MOST_NAMED]]
    return sorted({os.path.basename(name).split(".")[0], *told})


def _still_waiting(waiting: list[tuple[str, str]], reviews: pl.DataFrame, directory: int) -> Iterator[tuple[str, str]]:
    """Those without a readable review that the same reviewer wrote later."""
    named = reviews.filter(pl.col("feedback_id").is_in([feedback_id for feedback_id, _ in waiting]))
    readable: dict[tuple[str, str], list[str]] = {}
    for feedback_id, reviewer, file in named.select("feedback_id", "reviewer", "file").iter_rows():
        readable.setdefault((feedback_id, reviewer), []).append(file)
    for feedback_id, file in waiting:
        parts = os.path.basename(file).split(".")
        theirs = readable.get((feedback_id, parts[1]), []) if len(parts) == 4 else []
        written = _written_ns(directory, file)
        if not any(_written_ns(directory, one) > written for one in theirs):
            yield feedback_id, file


def _written_ns(directory: int, name: str) -> int:
    """When a file was written; of one that is gone, never."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _row(review: Review, name: str, data: bytes) -> _Row:
    return (
        os.path.basename(name).split(".")[2],
        review.feedback_id,
        review.image_id,
        review.reviewer,
        review.verdict,
        datetime.fromisoformat(review.timestamp),
        review.comment,
        review.adjudicates,
        review.simulated,
        None if review.blind_findings is None else len(review.blind_findings),
        review.revealed,
        review.seconds_blind,
        review.seconds_total,
        None if review.shown is None else len(review.shown),
        review.previous,
        name,
        hashlib.sha256(data).hexdigest(),
    )


def _boxes(rows: Sequence[_Row], columns: pl.Schema) -> pl.DataFrame:
    """The table of boxes from (file, class_id, xc, yc, w, h) and what comes behind."""
    corners = boxes.cxcywh_to_xyxy(np.array([row[2:6] for row in rows]).reshape(-1, 4))
    told = {"file": [row[0] for row in rows], "class_id": [row[1] for row in rows]}
    behind = {name: [row[-1] for row in rows] for name in columns if name == "confidence"}
    return pl.DataFrame(told | dict(zip(EDGES, corners.T, strict=True)) | behind, schema=columns)

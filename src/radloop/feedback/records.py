"""Feedback files: one JSON object for what a model said of one image at one time, written once and never changed.

`write` puts one file there, `decode` says what a file may be; `radloop.feedback.reading` reads a folder of them.
"""

import fcntl
import hashlib
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple
from uuid import uuid4

import msgspec

from radloop.errors import UNDECODABLE, FeedbackError
from radloop.feedback import documents, identity
from radloop.feedback.conventions import OWN, Convention
from radloop.files import OWN_FILE, flush_folder, write_all
from radloop.predictions import MIN_CONFIDENCE
from radloop.taxonomy import Taxonomy, is_nothing
from radloop.words import Seen

SCHEMA_VERSION: Final = identity.SINCE
TOLERANCE: Final = 0.01  # how far a box may reach over the picture's edge, as the trainer allows
LONGEST_ID: Final = 200

_NAMELESS: Final = getattr(os, "O_TMPFILE", 0)  # of Linux; without it a folder cannot be opened to write
_TEMPORARY: Final = ".tmp"
_WHOLE: Final = 2**31 - 1

_IMAGE_ID = r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,199}\Z"
ImageId = Annotated[str, msgspec.Meta(pattern=_IMAGE_ID)]
FeedbackId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
ClassId = Annotated[int, msgspec.Meta(ge=-_WHOLE, le=_WHOLE)]  # `parse` compares it with the classes of the dataset
Box = tuple[float, float, float, float]  # xc, yc, w, h as fractions of the picture


class Detection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One detected box."""

    class_id: ClassId
    class_name: str | None = None
    confidence: Fraction
    bbox: Box


class PictureMeasures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the gray values (0..255), for drift; sharpness is the variance of the Laplacian."""

    mean: float
    std: float
    sharpness: float


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which detector answered."""

    name: str
    version: str = ""

    @property
    def full_name(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}".strip()


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """Made-up hospital metadata; that it stands there marks the feedback as simulated."""

    site: str
    view: str
    device: str


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One feedback. The first five keys speak of the top detection; they are all that the bare form has.

    Nothing found: class_id n, bbox None, and confidence says how sure of that. The boxes of `low_detections` are no
    detections: they are at most as sure as MIN_CONFIDENCE, and only measures that ask for every box look at them.
    """

    image_id: ImageId
    class_id: ClassId
    confidence: Fraction
    bbox: Box | None
    timestamp: str  # ISO 8601, UTC
    class_name: str | None = None
    detections: list[Detection] | None = None
    low_detections: list[Detection] | None = None
    kept_from: Fraction | None = None  # every box above it is in one of the two lists
    split: Seen | None = None
    image_md5: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")] | None = None
    image_phash: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")] | None = None
    recipe: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,100}\Z")] | None = None  # of a picture made of DICOM
    picture: PictureMeasures | None = None
    model: Model | None = None
    latency_ms: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    stage: Annotated[int, msgspec.Meta(ge=0, le=_WHOLE)] | None = None
    arrived_at: str | None = None
    feedback_id: FeedbackId | None = None
    run_id: str | None = None
    simulated: Simulated | None = None
    schema_version: Literal[1, 2] | None = None

    def found(self, nothing: int) -> list[Detection]:
        """The detections of a class: `detections` where there are some, else the top one of the bare form.

        `nothing` is the class_id that says that nothing was found (`Taxonomy.nothing`).
        """
        if self.detections:
            return [detection for detection in self.detections if detection.class_id != nothing]
        if self.class_id == nothing or self.bbox is None:
            return []
        return [Detection(class_id=self.class_id, confidence=self.confidence, bbox=self.bbox)]

    def low(self, nothing: int) -> list[Detection]:
        """The boxes of a class that are kept below the detections."""
        return [one for one in self.low_detections or () if one.class_id != nothing]

    def listed(self) -> list[Detection]:
        """All that stands in the two lists."""
        return [*(self.detections or ()), *(self.low_detections or ())]

    @property
    def whole_above(self) -> float | None:
        """The confidence above which no box is missing; None where nobody says: another program's feedback."""
        own = self.schema_version is not None
        return MIN_CONFIDENCE if self.kept_from is None and own else self.kept_from


_FEEDBACK: Final = msgspec.json.Decoder(Feedback)


def encode(feedback: Feedback) -> bytes:
    """The bytes of a feedback file: JSON with an indent of two, the five known keys first, no key without a value.

    `bbox` is the exception: null says "nothing found" and is never left out.
    """
    return msgspec.json.format(msgspec.json.encode(feedback), indent=2) + b"\n"


def signed(feedback: Feedback) -> Feedback:
    """The feedback with the id of its own content (`feedback.identity`), whatever id it had."""
    own = identity.of(encode(msgspec.structs.replace(feedback, feedback_id="")))
    return msgspec.structs.replace(feedback, feedback_id=own)


def id_of(data: bytes) -> str:
    """The id of feedback that has none: of its bytes."""
    return hashlib.md5(data).hexdigest()


def write(folder: Path, feedback: Feedback, *, durable: bool = False) -> Path:
    """Write one feedback, as `Writer.write`; returns the path."""
    return folder / Writer(folder, durable=durable).write(feedback)


class Writer:
    """Writes to one folder, from any number of threads."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        """With `durable` the bytes of a file and its name have reached the disk before `write` returns."""
        self._folder, self._durable = os.path.abspath(folder), durable
        self._nameless = True  # files without a name, until the file system refuses them
        self._taken: set[str] = set()  # images whose `<image_id>.json` is there

    def write(self, feedback: Feedback) -> str:
        """Write `<image_id>.json`, or `<image_id>.<feedback_id>.json` where that name is taken; returns the name.

        Never overwrites and never shows a part of a file, with any number of writers and a kill at any moment: the
        bytes are complete before they get their name, by a link that fails where the name exists. Until then they have
        none (O_TMPFILE), or a temporary one where the file system knows no such files. Raises FeedbackError where the
        feedback has no id, and where it has been written already.
        """
        if not feedback.feedback_id:
            raise FeedbackError(f"feedback on image {feedback.image_id} has no feedback_id: give it one before.")
        data = encode(feedback)
        name = self._without_name(feedback, data) if self._nameless else None
        while name is None:
            name = self._with_temporary_name(feedback, data)  # None: somebody took the temporary file away
        if self._durable:
            flush_folder(Path(self._folder))
        return name

    def _without_name(self, feedback: Feedback, data: bytes) -> str | None:
        """By a file that has no name until it is whole, so that nothing is left of it; None where there is no such."""
        try:
            descriptor = os.open(self._folder, os.O_WRONLY | _NAMELESS | os.O_CLOEXEC, OWN_FILE)
        except OSError:
            self._nameless = False
            return None
        try:
            self._fill(descriptor, data)
            with suppress(OSError):  # no /proc, or no folder: the other way tells which
                return self._link(feedback, f"/proc/self/fd/{descriptor}", descriptor)
            self._nameless = False
            return None
        finally:
            os.close(descriptor)

    def _with_temporary_name(self, feedback: Feedback, data: bytes) -> str | None:
        temporary = f"{self._folder}/.{feedback.feedback_id}.{uuid4().hex}{_TEMPORARY}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWN_FILE)
        try:
            with suppress(OSError):  # not every file system has locks; then nobody can reclaim either
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._fill(descriptor, data)
            try:
                return self._link(feedback, temporary, descriptor)
            except FileNotFoundError:
                if os.path.isdir(self._folder):
                    return None
                raise
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            os.close(descriptor)

    def _fill(self, descriptor: int, data: bytes) -> None:
        write_all(descriptor, data)
        if self._durable:
            os.fsync(descriptor)

    def _link(self, feedback: Feedback, source: str, descriptor: int) -> str:
        """Give the file its name. A descriptor makes of `os.link` one that follows /proc; both paths are absolute."""
        names = [f"{feedback.image_id}.json", f"{feedback.image_id}.{feedback.feedback_id}.json"]
        for name in names[feedback.image_id in self._taken :]:
            try:
                os.link(source, f"{self._folder}/{name}", dst_dir_fd=descriptor)
            except FileExistsError:
                self._taken.add(feedback.image_id)
                continue
            self._taken.add(feedback.image_id)
            return name
        raise FeedbackError(f"feedback {feedback.feedback_id} on image {feedback.image_id} has been written already.")


def reclaim(folder: Path) -> int:
    """Remove the temporary files of writers that were killed; returns how many. Those of living ones are locked."""
    removed = 0
    for entry in list(os.scandir(folder)):
        if entry.name.startswith(".") and entry.name.endswith(_TEMPORARY) and entry.is_file(follow_symlinks=False):
            with suppress(OSError):  # gone, or its writer lives
                descriptor = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)
                    removed += 1
                finally:
                    os.close(descriptor)
    return removed


class Parsed(NamedTuple):
    """A feedback, complete, and whether its time told its zone."""

    feedback: Feedback
    zoned: bool


def decode(
    data: bytes, classes: Taxonomy, *, name: str, convention: Convention = OWN, now: datetime | None = None
) -> Feedback:
    """The feedback in a file's bytes, in the rich or the bare form, complete: with an id and a time in UTC.

    Raises FeedbackError that names the file and what is wrong with it.
    """
    try:
        return parse(data, classes, convention, now).feedback
    except FeedbackError as wrong:
        raise FeedbackError(f"{name}: {wrong}", code=wrong.code) from wrong


def parse(data: bytes, classes: Taxonomy, convention: Convention = OWN, now: datetime | None = None) -> Parsed:
    """`decode` for one of many files: no error names the file."""
    nothing = classes.nothing
    feedback = _of_any_program(data, nothing, convention)
    canonical = encode(feedback)
    if canonical != data:  # what `encode` made has no key twice
        documents.refuse_repeated_keys(data)
    if identity.is_own(feedback.feedback_id, feedback.schema_version):
        identity.require(data, canonical, feedback.feedback_id)
    _refuse_other_classes(feedback, classes)
    for class_id in (feedback.class_id, *(detection.class_id for detection in feedback.listed())):
        if not 0 <= class_id <= nothing:
            raise FeedbackError(
                f"class_id {class_id} is unknown: the classes are 0..{nothing - 1}, and {nothing} says that "
                "nothing was found",
                code="class-unknown",
            )
    _refuse_contradicting_top(feedback, classes)
    if feedback.class_id != nothing and feedback.bbox is None and not feedback.detections:
        raise FeedbackError(f"class {feedback.class_id} without a bbox", code="box-missing")
    for detection in (*feedback.found(nothing), *feedback.low(nothing)):
        refuse_outside(detection.bbox)
    _refuse_sure_among_low(feedback)
    time, zoned = convention.utc(feedback.timestamp, now)
    complete = msgspec.structs.replace(
        feedback,
        bbox=None if feedback.class_id == nothing else feedback.bbox,
        timestamp=time.isoformat(),
        feedback_id=feedback.feedback_id or id_of(data),
    )
    return Parsed(complete, zoned)


def _of_any_program(data: bytes, nothing: int, convention: Convention) -> Feedback:
    """What the document says in radloop's own convention."""
    if not convention.is_own and (plain := documents.plain(data)) is not None and "schema_version" not in plain:
        own = convention.as_own(plain, nothing)
        if own.get("class_id") == nothing:
            own["bbox"] = None
        return documents.convert(own, Feedback, SCHEMA_VERSION)
    try:
        return documents.decode(data, _FEEDBACK, SCHEMA_VERSION)
    except FeedbackError as broken:
        return _parse_nothing_with_any_box(data, nothing, broken)


def _refuse_other_classes(feedback: Feedback, classes: Taxonomy) -> None:
    """A name beside a number that the dataset gives to another, as feedback on a dataset of other classes has it.

    Another program may call the classes what it likes: only its use of the dataset's names is a contradiction.
    """
    named = [(feedback.class_id, feedback.class_name)]
    named += [(one.class_id, one.class_name) for one in feedback.listed()]
    own = feedback.schema_version is not None
    for class_id, name in named:
        if name is None:
            continue
        number = classes.nothing if is_nothing(name) else classes.number(name)
        if number == class_id or (number is None and not own):
            continue
        meant = repr(classes.name(class_id)) if 0 <= class_id <= classes.nothing else "no class of the dataset"
        raise FeedbackError(
            f"class_id {class_id} is {meant}, and class_name says {name[:60]!r}: was it written for other classes?",
            code="class-contradicts-name",
        )


def _refuse_contradicting_top(feedback: Feedback, classes: Taxonomy) -> None:
    """A top detection that is not among the detections."""
    found = {one.class_id for one in feedback.detections or ()} - {classes.nothing}
    if found and feedback.class_id not in found:
        raise FeedbackError(
            f"class_id {feedback.class_id} ({classes.name(feedback.class_id)}) speaks of the top detection, and none "
            "of the detections has it",
            code="top-contradicts-detections",
        )


def _refuse_sure_among_low(feedback: Feedback) -> None:
    """A detection where nobody who goes by detections would see it."""
    surest = max((one.confidence for one in feedback.low_detections or ()), default=0.0)
    if surest > MIN_CONFIDENCE:
        raise FeedbackError(
            f"low_detections holds a box of confidence {surest:g}: what is above {MIN_CONFIDENCE:g} stands in "
            "detections",
            code="low-contradicts-confidence",
        )


def _parse_nothing_with_any_box(data: bytes, nothing: int, broken: FeedbackError) -> Feedback:
    """What older pipelines write as the box of "No finding" is anything; it means nothing and is not looked at."""
    if broken.code != "bad-bbox":
        raise broken
    try:
        plain = msgspec.json.decode(data)
        if plain.get("class_id") != nothing:
            raise broken
        return msgspec.convert(plain | {"bbox": None}, Feedback)
    except UNDECODABLE as also_broken:
        raise documents.refusal(data, also_broken, SCHEMA_VERSION) from also_broken


def refuse_outside(box: Box) -> None:
    """Raise FeedbackError for a box that does not lie in the picture."""
    if not is_inside(*box):
        raise FeedbackError(
            f"bbox {list(box)} is not inside the picture (xc, yc, w, h as fractions of it)", code="box-outside"
        )


def is_inside(xc: float, yc: float, width: float, height: float) -> bool:
    """Whether a box lies in the picture, give or take TOLERANCE, and has an area."""
    low, high = -TOLERANCE, 1 + TOLERANCE
    return (
        width > 0
        and height > 0
        and low <= xc - width / 2
        and xc + width / 2 <= high
        and low <= yc - height / 2
        and yc + height / 2 <= high
    )

"""The parts that the options of commands are made of (`radloop.options`): what more than one command is told.

None means that nobody said; a property says what follows from that.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from radloop.catalog.rule import Rule
from radloop.durations import Duration
from radloop.option import ABOUT, About, option, switch
from radloop.recipe import Recipe
from radloop.words import ConfidenceUnit, Policy, TimeUnit

if TYPE_CHECKING:
    from radloop.feedback.conventions import Convention


@dataclass(frozen=True, kw_only=True)
class Step:
    """What every command is told: nothing."""


@dataclass(frozen=True, kw_only=True)
class Json(Step):
    """A command with a result."""

    json: bool = switch("Print one JSON object instead of the tables.")


@dataclass(frozen=True, kw_only=True)
class Strict(Step):
    """A command that may refuse rows."""

    strict: bool = switch("Exit 3, with nothing written, where rows were refused.")


@dataclass(frozen=True, kw_only=True)
class DryRun(Step):
    """A command that writes."""

    dry_run: bool = switch("Look and say what would be done; write nothing.")


@dataclass(frozen=True, kw_only=True)
class Jobs(Step):
    """A command that starts processes on this machine."""

    jobs: int = field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        metadata={ABOUT: About("Processes for pictures.", shown="the cores there are", ge=1)},
    )


@dataclass(frozen=True, kw_only=True)
class Parallel(Jobs):
    """A command whose work can be dealt out."""

    engine: Literal["local", "ray"] = option(
        "local", "Where the work runs: in processes of this machine, or on the nodes of a Ray cluster."
    )
    ray_address: str = option(
        "auto", "The Ray cluster: HOST:PORT of its head, or auto, the one that this machine is a node of."
    )


@dataclass(frozen=True, kw_only=True)
class DicomPictures(Step):
    """A command that makes pictures of DICOM files."""

    recipe: Recipe | None = option(
        None,
        About(
            "How pictures are made of DICOM files: vinbigdata, minmax or window:CENTER/WIDTH; then perhaps "
            ",size=PIXELS or ,size=original and ,ratio=kept.",
            shown="vinbigdata,size=1024; of ingest and watch the dataset's",
            parse=Recipe.parse,
        ),
    )
    frontal_only: bool = option(False, "Refuse DICOM files whose view is not frontal (PA or AP).")


@dataclass(frozen=True, kw_only=True)
class Audited(Step):
    """A command that takes pictures in."""

    audit_share: float = option(
        0.1,
        About(
            "Share of the new groups that never train and measure instead; drawn once, for ever.",
            ours=False,
            ge=0,
            le=1,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Detecting(Step):
    """A command that asks a detector."""

    model_classes: Path | None = option(
        None,
        "The classes of an onnx or triton detector in its own order, a file as for --classes: for a model that tells "
        "none. --map renames them (OLD is the model's name).",
    )
    model_recipe: Recipe | None = option(
        None,
        About(
            "The recipe of the pictures that an onnx or triton detector was trained on, as for --recipe: for a model "
            "that tells none.",
            shown="what the model tells",
            parse=Recipe.parse,
        ),
    )
    triton_url: str | None = option(
        None,
        About("The server of `--detector triton` without an address.", flag=False, ours=False, also=("TRITON_URL",)),
    )
    request_timeout: float = option(
        5.0, About("Seconds after which a request has failed.", also=("REQUEST_TIMEOUT",), gt=0, le=3600)
    )
    detector_memory: float = option(
        4.0,
        About("GB of memory that an onnx detector may take; what it wants beyond fails.", ge=0.25, le=10_000),
    )


@dataclass(frozen=True, kw_only=True)
class PacsAuth(Step):
    """A command that may ask a PACS."""

    pacs_auth: Path | None = option(
        None,
        About("A file with what the PACS asks for: a user and password, a token, or a client certificate.", ours=False),
    )


@dataclass(frozen=True, kw_only=True)
class InPacs(PacsAuth):
    """A command that works at a PACS."""

    pacs: Annotated[str, About("The PACS, such as dicomweb:http://127.0.0.1:8042/dicom-web.", ours=False)]


@dataclass(frozen=True, kw_only=True)
class ToPacs(PacsAuth):
    """A command that may send to a PACS."""

    pacs: str | None = option(
        None,
        About(
            "Play the modality: send each picture once, as DICOM, to a PACS such as "
            "dicomweb:http://127.0.0.1:8042/dicom-web; no detector, no feedback.",
            ours=False,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Capacity(Step):
    """A command that may look for how much a detector takes."""

    find_capacity: bool = switch(
        "Find the largest rate of Poisson arrivals that keeps --p99-ms, instead of stages; writes no feedback."
    )
    p99_ms: float | None = option(
        None,
        About(
            "With --find-capacity: milliseconds that 99 % of requests must keep.",
            shown="none",
            ours=False,
            gt=0,
            le=3_600_000,
        ),
    )
    max_minutes: float = option(
        60.0, About("With --find-capacity: minutes that it may take at most.", ours=False, gt=0, le=10_080)
    )


@dataclass(frozen=True, kw_only=True)
class Seeded(Step):
    """A command that chooses at random."""

    seed: int = option(0, About("Seed of every random choice.", ge=0))


@dataclass(frozen=True, kw_only=True)
class Durable(Step):
    """A command whose work must survive a loss of power."""

    durable: bool = option(
        False, "Flush what is written to the disk before it counts: safe against loss of power, too."
    )


@dataclass(frozen=True, kw_only=True)
class Out(Step):
    """A command with a folder of its own."""

    out: Path = option(
        Path("./data"), About("Folder that every other default hangs on; made when absent.", shown="./data")
    )

    @property
    def watch_log(self) -> Path:
        """Where the log of `radloop watch` lies."""
        return self.out / "logs" / "watch.log"


@dataclass(frozen=True, kw_only=True)
class Stored(Out):
    """A command with a store."""

    store: str | None = option(
        None,
        About("Where datasets are published: a folder or an rclone remote (name:container).", shown="OUT/store"),
    )
    rclone_container: str | None = option(
        None,
        About("The store as RCLONE_REMOTE:RCLONE_CONTAINER.", flag=False, ours=False, also=("RCLONE_CONTAINER",)),
    )
    rclone_remote: str = option(
        "chi_tacc", About("The remote of RCLONE_CONTAINER.", flag=False, ours=False, also=("RCLONE_REMOTE",))
    )

    @property
    def store_address(self) -> str:
        """The store: what was said of it, then RCLONE_CONTAINER, then the folder OUT/store."""
        if self.store:
            return self.store
        if self.rclone_container:
            return f"{self.rclone_remote}:{self.rclone_container}"
        return str(self.out / "store")


@dataclass(frozen=True, kw_only=True)
class DatasetFolder(Out):
    """A command that reads a dataset on disk."""

    dataset: Path | None = option(
        None, About("The dataset, a folder; for the dashboard also an annotations CSV.", shown="OUT/organized")
    )

    @property
    def dataset_folder(self) -> Path:
        """Where the dataset lies."""
        return self.dataset or self.out / "organized"


@dataclass(frozen=True, kw_only=True)
class FeedbackFolder(Out):
    """A command that reads or writes feedback."""

    feedback: Path | None = option(
        None, About("Folder of feedback files.", shown="OUT/feedback", also=("FEEDBACK_DIR",))
    )

    @property
    def feedback_folder(self) -> Path:
        """Where the feedback lies."""
        return self.feedback or self.out / "feedback"


@dataclass(frozen=True, kw_only=True)
class ReadFeedback(FeedbackFolder):
    """A command that reads the feedback of any program."""

    bbox_format: str = option(
        "cxcywh",
        "What the four numbers of another program's boxes are: cxcywh, xyxy or xywh (top-left); where they are not "
        "fractions with :percent, :pixel (of 1024x1024) or :WIDTHxHEIGHT behind it.",
    )
    confidence_unit: ConfidenceUnit = option("fraction", "What another program's confidences are.")
    class_base: int = option(0, About("The number of another program's first class.", ge=0, le=1))
    time_unit: TimeUnit = option("iso", "What another program's times are; seconds and milliseconds since 1970.")
    time_zone: str = option("UTC", "The zone of times that tell none, such as Europe/Berlin.")

    @property
    def convention(self) -> "Convention":
        """What the numbers of other programs mean. Raises UsageError."""
        from radloop.feedback import conventions  # and with it numpy, which the command line must not wait for

        return conventions.of_flags(
            bbox_format=self.bbox_format,
            confidence_unit=self.confidence_unit,
            class_base=self.class_base,
            time_unit=self.time_unit,
            time_zone=self.time_zone,
        )


@dataclass(frozen=True, kw_only=True)
class ReviewsFolder(Out):
    """A command that reads or writes reviews."""

    reviews: Path | None = option(None, About("Folder of review files.", shown="OUT/reviews"))

    @property
    def reviews_folder(self) -> Path:
        """Where the reviews lie."""
        return self.reviews or self.out / "reviews"


@dataclass(frozen=True, kw_only=True)
class LogFile(Out):
    """A command that reads or writes the simulator's log."""

    log: Path | None = option(None, About("The simulator's log.", shown="OUT/logs/online_data.log", also=("LOG_FILE",)))

    @property
    def log_file(self) -> Path:
        """Where the log lies."""
        return self.log or self.out / "logs" / "online_data.log"


@dataclass(frozen=True, kw_only=True)
class Waiting(LogFile):
    """A command that needs all of a run of the simulator."""

    wait: Duration = option(
        Duration(1800),
        About(
            "How long to wait for a run of the simulator that still plays, such as 30m, 90s or 2h; 0: not at all.",
            shown="30m",
            parse=Duration.parse,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class ClassNames(Step):
    """A command that makes a dataset's classes."""

    classes: str | None = option(
        None,
        About(
            "The classes: a file with a name a line (or a YAML file with names), or vinbigdata.",
            shown="those of the previous version, else the table's own",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Renamed(Step):
    """A command that reads names of classes which may be called otherwise in the dataset."""

    map: tuple[str, ...] = option((), "OLD=NEW: read the class OLD as NEW; or a file with one a line.")


@dataclass(frozen=True, kw_only=True)
class Ruled(Step):
    """A command that decides what trains, or tells it."""

    min_confidence: float = option(
        Rule.min_confidence,
        About(f"Predictions above it train; one between {Rule.doubtful:g} and it keeps its image out.", ge=0, lt=1),
    )
    require_review: bool = option(Rule.require_review, "Only what a radiologist has reviewed trains.")
    include_held_out: bool = option(
        Rule.include_held_out, "Let held-out images train, too; every output says that it was used."
    )

    allow_simulated: bool = option(
        Rule.allow_simulated,
        "Let what was simulated (hospital, detector, review) train on real data, too; every output says so.",
    )

    policy: Policy = option(
        Rule.policy,
        "Which predictions are labels: above --min-confidence; or calibrated, above the lowest confidence, class by "
        "class, at which validation images prove --precision.",
    )
    precision: float = option(
        Rule.precision,
        About("With --policy calibrated: so much of a class's labels must be right, at least.", gt=0, lt=1),
    )

    @property
    def rule(self) -> Rule:
        """When feedback that nobody has reviewed trains."""
        return Rule(
            policy=self.policy,
            precision=self.precision,
            min_confidence=self.min_confidence,
            require_review=self.require_review,
            include_held_out=self.include_held_out,
            allow_simulated=self.allow_simulated,
        )

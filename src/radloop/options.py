"""What each step can be told: one frozen dataclass a command, made of the parts that commands share.

A field is an option. Its flag, its environment variable, its help, its default and what it may be stand here and
nowhere else: the command line, the environment (`radloop.settings`), docs/settings.md and the arguments of the
pipelines derive from it; a command's docstring is its help. A new option is a field, and the code that reads it; a new
command is a dataclass here and a function in `radloop.cli`.

Nothing here reads the environment.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from radloop.dashboard_options import TOKEN as TOKEN
from radloop.dashboard_options import Dashboard as Dashboard
from radloop.exchange_options import Export as Export
from radloop.exchange_options import Import as Import
from radloop.history_options import Prune as Prune
from radloop.history_options import Rollback as Rollback
from radloop.history_options import Versions as Versions
from radloop.keeping_options import Backup as Backup
from radloop.keeping_options import Restore as Restore
from radloop.model_options import Asking as Asking
from radloop.model_options import Compare as Compare
from radloop.model_options import Promote as Promote
from radloop.monitor_options import Monitor as Monitor
from radloop.option import About, option, switch
from radloop.parts import (
    Audited,
    Capacity,
    ClassNames,
    DatasetFolder,
    DicomPictures,
    DryRun,
    Durable,
    FeedbackFolder,
    InPacs,
    Jobs,
    Json,
    LogFile,
    PacsAuth,
    Parallel,
    ReadFeedback,
    Renamed,
    ReviewsFolder,
    Ruled,
    Seeded,
    Step,
    Stored,
    Strict,
    ToPacs,
    Waiting,
)
from radloop.reading_parts import READER_ID as READER_ID
from radloop.reading_parts import Ordered, Reading, reader_id
from radloop.split_sizes import SplitSizes
from radloop.trust_options import Attest as Attest
from radloop.trust_options import Audit as Audit
from radloop.trust_options import Check as Check
from radloop.words import Boxes, Format, LabelKind, Part, PictureNames, Worklist


@dataclass(frozen=True, kw_only=True)
class Extract(Json, DryRun, Jobs, Seeded, ClassNames, DicomPictures, Stored):
    """Bring annotations and pictures to OUT/raw. A folder is read where it lies; the store is asked first."""

    source: Annotated[str, About("kaggle, a folder, dicom:FOLDER, or synthetic:N (N synthetic images).")]
    annotations: Path | None = option(
        None, "The file, folder or zip of labels, instead of what lies in the source's folder."
    )
    format: Format = option(
        "auto",
        "Format of a folder's labels: csv (train.csv's columns), coco, yolo, voc, label-studio, cvat, rsna or nih; "
        "auto: as the files are.",
    )
    boxes: Boxes = option(
        "auto",
        "Frame of the boxes, for where the proof cannot tell: pixels of the original, of the picture or of "
        "1024x1024 (scaled), fractions or percent.",
    )
    annotations_only: bool = switch("Only the tables of a synthetic source.")


@dataclass(frozen=True, kw_only=True)
class Transform(Json, Strict, DryRun, Parallel, Durable, Seeded, Renamed, ClassNames, Stored):
    """Turn OUT/raw into the YOLO dataset OUT/organized. Rows are validated, pictures inspected, images split."""

    keep_classes: tuple[str, ...] = option((), "A class to keep; all others are left out.")
    drop_classes: tuple[str, ...] = option((), "A class to leave out.")
    labels: LabelKind = option(
        "per-reader", "One label file per reader and image, or one per image with the readers' boxes fused."
    )
    judge: LabelKind | None = option(
        None,
        About(
            "What every split but training is judged by: with labels per reader and consensus here, a trainer "
            "validates on each picture once.",
            shown="as --labels",
        ),
    )
    min_readers: int = option(1, About("Readers who must agree on a consensus box.", ge=1, le=17))
    keep_splits: bool = option(False, "Keep the splits of the source: of a column `split`, or a file or folder each.")
    max_refused: float = option(
        0.01,
        About(
            "Share of the rows, or of the readings, that may be refused; above it nothing is written but "
            "OUT/rejected.csv.",
            ge=0,
            le=1,
        ),
    )
    no_finding: Literal["background", "class"] = option(
        "background", '"No finding" as an empty label file, or as one more class.'
    )
    sizes: SplitSizes = option(
        SplitSizes(),
        About(
            "Images per split, for example training=300,validation=60,…; scaled to the images there are.",
            shown="11500/750/750/1000/500/500",
            parse=SplitSizes.parse,
        ),
    )
    previous: str | None = option(
        None,
        About(
            "The version to continue, a folder or a store: its images keep their splits, and what was ever held out "
            "stays so.",
            shown="the one in the store, else the one in OUT/organized",
        ),
    )
    fresh: bool = switch("Continue no version: begin anew, with nothing held out before.")
    add: Path | None = option(
        None, "A retrain.csv to add: its production images move to training, its reviews are readings."
    )
    blind_production: bool = switch(
        "Set the readers of production images that move aside, as if nobody had read them: for studies."
    )


@dataclass(frozen=True, kw_only=True)
class Load(Json, DryRun, Parallel, Durable, Stored):
    """Publish OUT/organized to STORE/organized and verify it there."""

    keep_old: bool = option(False, "Do not remove from the store what the new version no longer lists.")
    keep_versions: int = option(
        10, About("How many versions the store keeps, this one included; 0 keeps none.", ge=0, le=1000)
    )
    allow_shrink: bool = switch("Publish a version that has over a tenth less images, labels or boxes than the store.")


@dataclass(frozen=True, kw_only=True)
class Etl(Load, Transform, Extract):
    """Extract, transform and load in one."""

    annotations_only: bool = field(default=False, init=False)  # without pictures there is nothing to transform


@dataclass(frozen=True, kw_only=True)
class Pull(Json, DryRun, Stored):
    """Bring STORE/organized back to OUT/organized, verified. Distinct bytes travel once, the rest are links."""

    splits: tuple[Part, ...] | None = option(
        None,
        About(
            "Splits to take, comma-separated; incoming: the pictures that came in without labels, too.",
            shown="all of the dataset",
            commas=True,
        ),
    )
    version: str | None = option(
        None, About("An earlier version, by the beginning of its id.", shown="the current one", ours=False)
    )


@dataclass(frozen=True, kw_only=True)
class Simulate(Json, DryRun, Parallel, Durable, Seeded, Asking, LogFile, FeedbackFolder, ToPacs, Capacity, Stored):
    """Play a hospital: show a detector pictures, keep its feedback. The store's pictures come under a staged load."""

    splits: tuple[Part, ...] = option(
        ("test", "production"),
        About("Splits to take, comma-separated; incoming: the pictures that came in without labels.", commas=True),
    )
    detector: str = option(
        "random",
        "random, oracle:NOISE, onnx:MODEL.onnx, triton[:http://HOST:8000/MODEL], or champion or another alias of "
        "STORE/models.",
    )
    load_pattern: str = option(
        "1,2,3,5,3,2,1",
        About("Load of each stage, workers or multiples of the arrival rate.", also=("LOAD_PATTERN",)),
    )
    stage_seconds: float = option(
        60.0, About("Seconds that a stage lasts.", also=("DELAY_BETWEEN_STEPS",), gt=0, le=86_400)
    )
    inference_ms: float = option(100.0, About("What the random detector takes for a picture.", ge=0, le=3_600_000))
    arrival: str = option(
        "workers", "workers: each takes the next picture; poisson:RATE: RATE arrivals a second, times load."
    )
    drift: str = option(
        "",
        "What changes from a stage on, such as brightness:0.2@4; also contrast, rotation (degrees) and mix "
        "(share of pictures with a finding); several with commas.",
    )


@dataclass(frozen=True, kw_only=True)
class Watch(
    Json,
    DryRun,
    Durable,
    Jobs,
    Seeded,
    Audited,
    Asking,
    DicomPictures,
    ReviewsFolder,
    FeedbackFolder,
    InPacs,
    Stored,
):
    """Watch a PACS: predict what is new, report it there. Reports of people there become reviews. Until stopped."""

    detector: Annotated[
        str,
        About(
            "onnx:MODEL.onnx, triton[:http://HOST:8000/MODEL], or champion or another alias of STORE/models; random "
            "makes boxes up, to try the chain."
        ),
    ]
    send_results: Literal["sr", "none"] = option(
        "sr",
        About(
            "sr: store a structured report in each study, its boxes as regions of the image; none: keep the results.",
            ours=False,
        ),
    )
    remark: str = option(
        "not for clinical use", About("What every report says beside its findings; empty: nothing.", ours=False)
    )
    modalities: tuple[str, ...] = option(
        ("CR", "DX"), About("Modalities whose images are taken, comma-separated.", ours=False, commas=True)
    )
    since_days: int | None = option(
        None, About("Only studies of so many days before today, by their date.", shown="all studies", ours=False, ge=0)
    )
    once: bool = switch("End when there is nothing new, instead of asking again.")
    poll_seconds: float = option(
        10.0, About("Seconds between two questions for new studies.", ours=False, gt=0, le=86_400)
    )
    settle_seconds: float = option(
        10.0,
        About(
            "Seconds that a study must not have grown for before it is taken; with --once none.",
            ours=False,
            ge=0,
            le=86_400,
        ),
    )
    time_zone: str = option("UTC", "The zone of times that tell none, such as Europe/Berlin.")


@dataclass(frozen=True, kw_only=True)
class Review(Json, DryRun, Jobs, Durable, Seeded, Reading, DatasetFolder, Waiting, ReviewsFolder, ReadFeedback):
    """Order feedback by what deserves a look, or simulate its review. The look is a radiologist's, in the dashboard."""

    simulated: bool = switch("Let simulated radiologists write reviews.")
    queue: bool = switch("Print what is most worth a look; write nothing.")
    worklist: Worklist = option(
        "all",
        About(
            "What of the queue: all, or suspects (whose labels may be wrong), or what is for the reader: what to read "
            "next, mine, unread, to be read twice, disputed.",
            ours=False,
        ),
    )
    reader: str | None = option(
        None, About("Reader ID that a worklist is for.", shown="nobody", ours=False, parse=reader_id)
    )
    held_out: bool = switch("Queue held-out images, too; a review of them trains nothing.")


@dataclass(frozen=True, kw_only=True)
class Retrain(Json, Strict, DryRun, Jobs, Durable, Ruled, Stored, DatasetFolder, Waiting, ReviewsFolder, ReadFeedback):
    """Turn feedback and reviews into re-training data, and publish it. It lies at STORE/organized/retrain."""


@dataclass(frozen=True, kw_only=True)
class Ingest(Json, Strict, DryRun, Jobs, Durable, Audited, DicomPictures, PacsAuth, Stored):
    """Take in pictures that nobody has labelled. They lie at STORE/organized/incoming, kept from what is held out."""

    from_: Annotated[
        str, About("A folder of PNG, JPEG or DICOM files, or dicomweb:URL: all radiographs of a PACS.", ours=False)
    ]
    patients: Path | None = option(
        None,
        About(
            "A CSV with image_id and patient_id, for pictures that tell no patient; ids become keyed pseudonyms.",
            ours=False,
        ),
    )
    names: PictureNames | None = option(
        None,
        About(
            "Names of PNG and JPEG files as image ids: as they are, or keyed pseudonyms in their place.",
            shown="as they are; it stops where they look like a person's",
            ours=False,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Evaluate(Json, Jobs, Seeded, DatasetFolder, ReviewsFolder, ReadFeedback):
    """Judge detectors on images whose truth is known. Also their predictions as labels, and who follows blindly."""

    min_confidence: float | None = option(
        None,
        About("Predictions above it are taken as labels.", shown="as in the last round of re-training", ge=0, lt=1),
    )


@dataclass(frozen=True, kw_only=True)
class Explain(Json, Jobs, Seeded, Ordered, Ruled, Stored, DatasetFolder, ReviewsFolder, ReadFeedback):
    """Tell where every box of an image comes from and where it went. A tree, from source row to re-training row."""

    asked: Annotated[str, About("An image, or a feedback on it.", argument="IMAGE_ID|FEEDBACK_ID")]


@dataclass(frozen=True, kw_only=True)
class Forget(Json, DryRun, LogFile, ReviewsFolder, FeedbackFolder, Stored):
    """Take an image, or all of a person, away from disk and store. What stays is a hash, the time and the reason."""

    asked: Annotated[
        str,
        About(
            "An image_id, or a patient: the PatientID in clear, its pseudonym, or the source's patient_id.",
            argument="IMAGE|PATIENT",
        ),
    ]
    reason: str = option("", About("Why, in a few words; it is published.", ours=False))
    kind: Literal["auto", "image", "patient"] = option(
        "auto", About("Whether an image or a patient is meant, where it may be either.", ours=False)
    )
    issuer: str | None = option(None, About("Who issued the PatientID, where several have.", shown="any", ours=False))


@dataclass(frozen=True, kw_only=True)
class Demo(Json, DryRun, Jobs, Seeded):
    """Run the whole job on synthetic data. No account, no server, no network."""

    # no variable of a real dataset turns it elsewhere
    out: Path = option(
        Path("./radloop-demo"), About("Folder of the demonstration.", shown="./radloop-demo", ours=False)
    )
    images: int = option(600, About("Synthetic patients.", ours=False, ge=6))
    sizes: SplitSizes = option(
        SplitSizes(training=300, validation=60, test=60, staging=30, canary=30, production=120),
        About("Images per split.", ours=False, parse=SplitSizes.parse),
    )


STEPS: Final[tuple[type[Step], ...]] = (
    Extract,
    Transform,
    Load,
    Etl,
    Pull,
    Versions,
    Rollback,
    Prune,
    Ingest,
    Simulate,
    Watch,
    Review,
    Retrain,
    Evaluate,
    Monitor,
    Explain,
    Compare,
    Promote,
    Export,
    Import,
    Forget,
    Backup,
    Restore,
    Check,
    Audit,
    Attest,
    Dashboard,
    Demo,
)

"""The columns of every table that passes between the steps, and the field's fixed words."""

from typing import Final, Literal

import polars as pl

from radloop.words import HELD_OUT as HELD_OUT
from radloop.words import SPLITS as SPLITS
from radloop.words import Boxes as Boxes
from radloop.words import Split as Split

# The number of a class in the taxonomy of its dataset (`radloop.taxonomy`); null: "No finding", n in files.
CLASS_ID: Final[pl.DataType | type[pl.DataType]] = pl.Int16()
EDGES: Final = ("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm")  # a box: fractions of the picture

SINGLE_READER: Final = "R0"  # the reader of annotations that name none

TIME: Final[pl.DataType | type[pl.DataType]] = pl.Datetime("us", "UTC")
SMALLEST_SIDE_PX: Final = 10  # the trainer refuses pictures below
LARGEST_SIDE_PX: Final = 50_000  # no radiograph is as large: a number above is damage

SCALED_SIDE_PX: Final = 1024  # Kaggle's pictures were stretched to this square, ratio lost

# train.csv's own columns, in its order. Boxes in pixels; the file says of which frame.
ANNOTATION_COLUMNS: Final = ("image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max")

# One validated row of one reader. x as a fraction of the picture's width, y of its height, in [0, 1] give or
# take one pixel; class and box null where the reader found nothing. width and height: the frame of the annotations.
FINDINGS: Final = pl.Schema(
    {
        "image_id": pl.String,
        "rad_id": pl.String,
        "class_id": CLASS_ID,
        "x_min_norm": pl.Float64,
        "y_min_norm": pl.Float64,
        "x_max_norm": pl.Float64,
        "y_max_norm": pl.Float64,
        "width": pl.Int32,
        "height": pl.Int32,
    }
)

# One refused row: its line in the source's file (1 = the first), or place where that file has no lines or is one of
# several; why, and the row as it came. code: the kind of reason, to be counted; reason: its sentence with the value.
REJECTED: Final = pl.Schema(
    {
        "source": pl.String,
        "line": pl.Int64,
        "place": pl.String,
        "code": pl.String,
        "reason": pl.String,
        **dict.fromkeys(ANNOTATION_COLUMNS, pl.String),
    }
)

# One picture of the source. path is relative to the folder of pictures. problem is null for a sound picture;
# where it is not, md5 and what comes after may be null. phash: 64 bits as 16 hex digits. mean, std: of the
# 8-bit gray values. sharpness: variance of the Laplacian.
PICTURES: Final = pl.Schema(
    {
        "image_id": pl.String,
        "path": pl.String,
        "bytes": pl.Int64,
        **dict.fromkeys(("md5", "sha256"), pl.String),
        "pixels_md5": pl.String,  # of the decoded gray values: equal for the same picture in another file
        "width": pl.Int32,
        "height": pl.Int32,
        "mean": pl.Float64,
        "std": pl.Float64,
        "sharpness": pl.Float64,
        "phash": pl.String,
        "problem": pl.String,
    }
)

# Which images must share a split. Every image has a group; alone, its own image_id.
GROUPS: Final = pl.Schema({"image_id": pl.String, "group": pl.String})

ASSIGNMENT: Final = pl.Schema({"image_id": pl.String, "group": pl.String, "split": pl.String})

# Who a row of the annotations is from: a reader of the source, a radiologist who reviewed feedback, a model.
READER: Final = "reader"
REVIEW: Final = "review"
SIMULATED_REVIEW: Final = "simulated-review"
PREDICTION: Final = "prediction"
SOURCES: Final = (READER, REVIEW, SIMULATED_REVIEW, PREDICTION)

# organized/annotations.parquet: every finding that came in, and what became of its image.
ANNOTATIONS: Final = pl.Schema(
    [
        *FINDINGS.items(),
        ("class_name", pl.String()),
        ("split", pl.String()),
        ("group", pl.String()),
        ("phash", pl.String()),
        ("md5", pl.String()),
        ("used", pl.Boolean()),
        ("source", pl.String()),  # SOURCES: who it is from
        ("final", pl.Boolean()),  # of a reading that ends a dispute of others
    ]
)

# organized/heldout.parquet: every picture that was ever held out in this lineage, whatever became of it since.
HELDOUT: Final = pl.Schema(
    {
        "image_id": pl.String(),
        "split": pl.String(),
        "group": pl.String(),
        "md5": pl.String(),
        "pixels_md5": pl.String(),  # null, as thumbnail is, where an older version tells only the MD5
        "phash": pl.String(),
        "thumbnail": pl.Binary(),  # 32×32 gray values
        "patients": pl.String(),  # hashed with the lineage, so that no two can be joined by them; several with spaces
    }
)

# organized/radiographs.parquet: what the DICOM file of each picture tells, where it was made of one. width, height: in
# its own pixels, and so is the spacing, in millimetres.
RADIOGRAPHS: Final = pl.Schema(
    {
        "image_id": pl.String(),
        "width": pl.Int32(),
        "height": pl.Int32(),
        "spacing_mm_row": pl.Float64(),
        "spacing_mm_column": pl.Float64(),
        "view": pl.String(),
        "site": pl.String(),  # a pseudonym
    }
)

# organized/incoming/incoming.parquet: every picture from production that nobody has labelled yet. patient: a keyed
# hash. width, height: of the source, whose pixels results are given back in. recipe: null for what came as a picture.
# audit: it never trains and measures instead. held_out: the split of a held-out image that it is grouped with.
INCOMING: Final = pl.Schema(
    {
        "image_id": pl.String(),
        "group": pl.String(),
        "patient": pl.String(),
        "md5": pl.String(),
        "pixels_md5": pl.String(),
        "phash": pl.String(),
        "thumbnail": pl.Binary(),  # 32×32 gray values
        "width": pl.Int32(),
        "height": pl.Int32(),
        "recipe": pl.String(),
        "arrived_at": TIME,
        "site": pl.String(),
        "view": pl.String(),
        "spacing_mm_row": pl.Float64(),
        "spacing_mm_column": pl.Float64(),
        "audit": pl.Boolean(),
        "held_out": pl.String(),
    }
)

# tombstones.parquet: what was taken away for good (`catalog.tombstones`); a hash leads back to nobody who does not hold
# the image's id or its picture already. pixels: null where no picture of it was left.
TOMBSTONES: Final = pl.Schema(
    {
        "image": pl.String(),  # salted hashes: of the image_id,
        "pixels": pl.String(),  # and of the decoded gray values
        "salt": pl.String(),
        "forgotten_at": TIME,
        "reason": pl.String(),
    }
)

# organized/consensus.parquet: every box that the readers of an image fuse into, also those that too few drew.
CONSENSUS: Final = pl.Schema(
    {
        "image_id": pl.String(),
        "class_id": CLASS_ID,
        "x_min_norm": pl.Float64(),
        "y_min_norm": pl.Float64(),
        "x_max_norm": pl.Float64(),
        "y_max_norm": pl.Float64(),
        "support": pl.Int32(),  # readers who drew it,
        "readers": pl.Int32(),  # of so many who looked at the image
        "rad_ids": pl.List(pl.String),
        "spread": pl.Float64(),  # 1 - the lowest IoU of a reader's box with the fused one
        "kept": pl.Boolean(),  # in the label file
    }
)

# One box of the truth of an image (`catalog.truth`); an image without one is normal.
TRUTH: Final = pl.Schema({"image_id": pl.String(), "class_id": CLASS_ID, **dict.fromkeys(EDGES, pl.Float64())})

Kind = Literal["image", "label", "yaml", "table", "document"]

# organized/manifest.parquet: every file of the dataset but itself. key is relative to organized/, "/"-separated.
# image_id, rad_id and split are null where they have no meaning; rad_id is null for a consensus label. sha256 is null
# where the file was listed by a radloop that did not take it, until it is written again.
MANIFEST: Final = pl.Schema(
    {
        **dict.fromkeys(("key", "kind", "image_id", "rad_id", "split"), pl.String()),
        "bytes": pl.Int64(),
        **dict.fromkeys(("md5", "sha256"), pl.String()),
    }
)

# organized/versions/history.json: one row each time that a version was published. action: load, rollback or forget.
# kept: the version can be brought back. was: what it was called before images in it were forgotten. changes: from the
# version before, null where there is none or it could not be read.
CHANGED: Final = ("images_added", "images_removed", "images_moved", "labels_added", "labels_removed", "labels_moved")
HISTORY: Final = pl.Schema(
    {
        "version": pl.String(),
        "previous": pl.String(),
        "published_at": TIME,
        "action": pl.String(),
        "images": pl.Int64(),
        "labels": pl.Int64(),
        "boxes": pl.Int64(),
        "splits": pl.Struct(dict.fromkeys(SPLITS, pl.Int64())),
        "kept": pl.Boolean(),
        "was": pl.List(pl.String()),
        "changes": pl.Struct(dict.fromkeys(CHANGED, pl.Int64())),
    }
)

# A detector in FEEDBACK; null, or "" where it is filled in, where the feedback does not name it.
DETECTOR: Final = ("model", "model_version")

# One feedback: what a model said of one image at one time. class_id and confidence are the top detection's; class_id
# is null where nothing was found. What the bare five-key form does not tell is null. recipe: of the picture that it was
# given on, null for one that came as it was. simulated: it has that block.
# complete: it lists every detection, where the bare form tells one box of perhaps many. kept_from: no box that is more
# confident is missing; null where nobody says, as of another program's. zoned: its time has a zone.
# schema_version: null for what another program wrote.
FEEDBACK: Final = pl.Schema(
    {
        "feedback_id": pl.String,
        "image_id": pl.String,
        "timestamp": TIME,
        "class_id": CLASS_ID,
        "confidence": pl.Float64,
        "split": pl.String,
        "image_md5": pl.String,
        "image_phash": pl.String,
        "recipe": pl.String,
        "mean": pl.Float64,
        "std": pl.Float64,
        "sharpness": pl.Float64,
        "model": pl.String,
        "model_version": pl.String,
        "latency_ms": pl.Float64,
        "stage": pl.Int32,
        "run_id": pl.String,
        "site": pl.String,
        "view": pl.String,
        "device": pl.String,
        "simulated": pl.Boolean,
        "complete": pl.Boolean,
        "kept_from": pl.Float64,
        "zoned": pl.Boolean,
        "schema_version": pl.Int8,
        "file": pl.String,
    }
)

# One detected box of one feedback; the box as in FINDINGS.
DETECTIONS: Final = pl.Schema(
    {
        "feedback_id": pl.String,
        "image_id": pl.String,
        "class_id": CLASS_ID,
        "confidence": pl.Float64,
        "x_min_norm": pl.Float64,
        "y_min_norm": pl.Float64,
        "x_max_norm": pl.Float64,
        "y_max_norm": pl.Float64,
    }
)

# A file that cannot be used; it stays where it is. code: the kind of reason; reason: its sentence with the value.
REFUSED_FILES: Final = pl.Schema({"file": pl.String, "code": pl.String, "reason": pl.String})

Verdict = Literal["accept", "correct", "normal", "reject"]

# A review file that cannot be used, and a feedback that it speaks of: that feedback waits for one that can be read.
WAITING: Final = pl.Schema({"feedback_id": pl.String, "file": pl.String})

# One review: what a radiologist said of one feedback at one time. adjudicates: it ends a dispute of others.
# blind_boxes: how many were drawn before the model's were shown; shown_boxes: how many were shown; null: untold.
# seconds: before the reveal and in all. previous: the id of the review before. sha256: of the file's bytes.
REVIEWS: Final = pl.Schema(
    {
        "review_id": pl.String,
        "feedback_id": pl.String,
        "image_id": pl.String,
        "reviewer": pl.String,
        "verdict": pl.String,
        "timestamp": TIME,
        "comment": pl.String,
        "adjudicates": pl.Boolean,
        "simulated": pl.Boolean,
        "blind_boxes": pl.Int32,
        "revealed": pl.Boolean,
        "seconds_blind": pl.Float64,
        "seconds_total": pl.Float64,
        "shown_boxes": pl.Int32,
        "previous": pl.String,
        "file": pl.String,
        "sha256": pl.String,
    }
)

# One box of the review in `file`; the box as in FINDINGS.
REVIEW_FINDINGS: Final = pl.Schema(
    {
        "file": pl.String,
        "class_id": CLASS_ID,
        "x_min_norm": pl.Float64,
        "y_min_norm": pl.Float64,
        "x_max_norm": pl.Float64,
        "y_max_norm": pl.Float64,
    }
)

# One box of the model's as it was shown to the reviewer of the review in `file`.
REVIEW_SHOWN: Final = pl.Schema([*REVIEW_FINDINGS.items(), ("confidence", pl.Float64())])

Fate = Literal["kept", "withheld", "refused", "disputed", "unused"]

# What became of one feedback. split: the dataset's, or that of the held-out picture it is a copy of. feedback_id and
# image_id are null for a file that could not be read.
FATES: Final = pl.Schema(
    {
        "feedback_id": pl.String,
        "image_id": pl.String,
        "split": pl.String,
        "fate": pl.String,
        "code": pl.String,
        "reason": pl.String,
        "file": pl.String,
    }
)

# One row that the next model learns from; boxes inside the picture. source: prediction, review or simulated-review.
# confidence is the prediction's, null for what a radiologist said; timestamp is when it was said. trains: it becomes a
# label; a row without is there to be looked at. weight: how much it may be believed, 0..1; null: 1. ignore: a doubtful
# box, neither a label nor background.
RETRAINING: Final = pl.Schema(
    {
        "image_id": pl.String,
        "class_id": CLASS_ID,
        "rad_id": pl.String,
        "x_min_norm": pl.Float64,
        "y_min_norm": pl.Float64,
        "x_max_norm": pl.Float64,
        "y_max_norm": pl.Float64,
        "split": pl.String,
        "source": pl.String,
        "confidence": pl.Float64,
        "model": pl.String,
        "feedback_id": pl.String,
        "timestamp": TIME,
        "final": pl.Boolean,  # of a review that ends a dispute of others
        "trains": pl.Boolean,
        "weight": pl.Float64,
        "ignore": pl.Boolean,
    }
)

# Feedback in the order in which a look at it is worth most. kind: disputed, lot (drawn at random), nothing found,
# score, or what is suspected of its labels (`feedback.suspects`). score: by what the order goes (`feedback.orders`).
# disagreement, uncertainty and rarity, each 0..1: of what was found. missed: how likely any class is on an image where
# nothing was found, if scores mean what they say; null where something was found.
QUEUE: Final = pl.Schema(
    {
        "place": pl.Int64,
        "feedback_id": pl.String,
        "image_id": pl.String,
        "kind": pl.String,
        "score": pl.Float64,
        "disagreement": pl.Float64,
        "uncertainty": pl.Float64,
        "rarity": pl.Float64,
        "missed": pl.Float64,
    }
)

# A QUEUE of what waits for a reader. state: unread, second (one reader has read it, another is to) or disputed.
# held_out: the held-out split that it belongs to, null where there is none; its review trains nothing. readers: who has
# read the image. last: who spoke last of it. owed: whose review of it cannot be read. suspicion, suspected: the kind of
# the most probable error in its labels and its score; null where none is suspected, or the lot has drawn the image.
WORKLIST: Final = pl.Schema(
    [
        *QUEUE.items(),
        *dict.fromkeys(("state", "held_out"), pl.String()).items(),
        ("readers", pl.List(pl.String)),
        ("last", pl.String()),
        ("owed", pl.List(pl.String)),
        ("suspicion", pl.String()),
        ("suspected", pl.Float64()),
    ]
)

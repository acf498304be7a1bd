"""The keywords of the API's functions. Made from `radloop.options` by `make docs`; do not edit."""

from collections.abc import Sequence
from os import PathLike
from typing import Literal, TypedDict

from radloop.durations import Duration
from radloop.recipe import Recipe
from radloop.split_sizes import SplitSizes
from radloop.words import (
    Boxes,
    ConfidenceUnit,
    ExportPart,
    Format,
    LabelKind,
    Order,
    Part,
    PictureNames,
    Policy,
    TimeUnit,
    Worklist,
)

Text = str | PathLike[str]  # a path is taken as its text


class ExtractKeywords(TypedDict, total=False):
    """Keywords of `radloop.extract`."""

    out: Text
    store: Text | None
    recipe: Recipe | str | None
    frontal_only: bool
    classes: Text | None
    annotations: Text | None
    format: Format
    boxes: Boxes
    annotations_only: bool
    seed: int
    jobs: int
    dry_run: bool


class TransformKeywords(TypedDict, total=False):
    """Keywords of `radloop.transform`."""

    out: Text
    store: Text | None
    classes: Text | None
    map: Sequence[Text]
    keep_classes: Sequence[Text]
    drop_classes: Sequence[Text]
    labels: LabelKind
    judge: LabelKind | None
    min_readers: int
    keep_splits: bool
    max_refused: float
    no_finding: Literal["background", "class"]
    sizes: SplitSizes | str
    previous: Text | None
    fresh: bool
    add: Text | None
    blind_production: bool
    seed: int
    durable: bool
    jobs: int
    engine: Literal["local", "ray"]
    ray_address: Text
    dry_run: bool
    strict: bool


class LoadKeywords(TypedDict, total=False):
    """Keywords of `radloop.load`."""

    out: Text
    store: Text | None
    keep_old: bool
    keep_versions: int
    allow_shrink: bool
    durable: bool
    jobs: int
    engine: Literal["local", "ray"]
    ray_address: Text
    dry_run: bool


class EtlKeywords(TypedDict, total=False):
    """Keywords of `radloop.etl`."""

    out: Text
    store: Text | None
    recipe: Recipe | str | None
    frontal_only: bool
    classes: Text | None
    map: Sequence[Text]
    annotations: Text | None
    format: Format
    boxes: Boxes
    keep_classes: Sequence[Text]
    drop_classes: Sequence[Text]
    labels: LabelKind
    judge: LabelKind | None
    min_readers: int
    keep_splits: bool
    max_refused: float
    no_finding: Literal["background", "class"]
    sizes: SplitSizes | str
    previous: Text | None
    fresh: bool
    add: Text | None
    blind_production: bool
    keep_old: bool
    keep_versions: int
    allow_shrink: bool
    seed: int
    durable: bool
    jobs: int
    engine: Literal["local", "ray"]
    ray_address: Text
    strict: bool


class PullKeywords(TypedDict, total=False):
    """Keywords of `radloop.pull`."""

    out: Text
    store: Text | None
    splits: Sequence[Part] | None
    version: Text | None
    dry_run: bool


class VersionsKeywords(TypedDict, total=False):
    """Keywords of `radloop.versions`."""

    out: Text
    store: Text | None
    compare: Sequence[Text]


class RollbackKeywords(TypedDict, total=False):
    """Keywords of `radloop.rollback`."""

    out: Text
    store: Text | None
    data: Text | None
    model: Text | None
    alias: Text
    reason: Text
    durable: bool
    dry_run: bool


class PruneKeywords(TypedDict, total=False):
    """Keywords of `radloop.prune`."""

    out: Text
    store: Text | None
    keep: int
    durable: bool
    dry_run: bool


class IngestKeywords(TypedDict, total=False):
    """Keywords of `radloop.ingest`."""

    out: Text
    store: Text | None
    pacs_auth: Text | None
    recipe: Recipe | str | None
    frontal_only: bool
    audit_share: float
    patients: Text | None
    names: PictureNames | None
    durable: bool
    jobs: int
    dry_run: bool
    strict: bool


class SimulateKeywords(TypedDict, total=False):
    """Keywords of `radloop.simulate`."""

    out: Text
    store: Text | None
    find_capacity: bool
    p99_ms: float | None
    max_minutes: float
    pacs_auth: Text | None
    pacs: Text | None
    feedback: Text | None
    log: Text | None
    map: Sequence[Text]
    model_classes: Text | None
    model_recipe: Recipe | str | None
    request_timeout: float
    detector_memory: float
    splits: Sequence[Part]
    detector: Text
    load_pattern: Text
    stage_seconds: float
    inference_ms: float
    arrival: Text
    drift: Text
    seed: int
    durable: bool
    jobs: int
    engine: Literal["local", "ray"]
    ray_address: Text
    dry_run: bool


class WatchKeywords(TypedDict, total=False):
    """Keywords of `radloop.watch`."""

    out: Text
    store: Text | None
    pacs_auth: Text | None
    feedback: Text | None
    reviews: Text | None
    recipe: Recipe | str | None
    frontal_only: bool
    map: Sequence[Text]
    model_classes: Text | None
    model_recipe: Recipe | str | None
    request_timeout: float
    detector_memory: float
    audit_share: float
    send_results: Literal["sr", "none"]
    remark: Text
    modalities: Sequence[Text]
    since_days: int | None
    once: bool
    poll_seconds: float
    settle_seconds: float
    time_zone: Text
    seed: int
    durable: bool
    jobs: int
    dry_run: bool


class ReviewKeywords(TypedDict, total=False):
    """Keywords of `radloop.review`."""

    out: Text
    feedback: Text | None
    bbox_format: Text
    confidence_unit: ConfidenceUnit
    class_base: int
    time_unit: TimeUnit
    time_zone: Text
    reviews: Text | None
    log: Text | None
    wait: Duration | str
    dataset: Text | None
    order: Order
    suspect_share: float
    read_twice: float
    adjudicators: Sequence[str]
    worklist: Worklist
    reader: str | None
    held_out: bool
    seed: int
    durable: bool
    jobs: int
    dry_run: bool


class RetrainKeywords(TypedDict, total=False):
    """Keywords of `radloop.retrain`."""

    out: Text
    feedback: Text | None
    bbox_format: Text
    confidence_unit: ConfidenceUnit
    class_base: int
    time_unit: TimeUnit
    time_zone: Text
    reviews: Text | None
    log: Text | None
    wait: Duration | str
    dataset: Text | None
    store: Text | None
    min_confidence: float
    require_review: bool
    include_held_out: bool
    allow_simulated: bool
    policy: Policy
    precision: float
    durable: bool
    jobs: int
    dry_run: bool
    strict: bool


class EvaluateKeywords(TypedDict, total=False):
    """Keywords of `radloop.evaluate`."""

    out: Text
    feedback: Text | None
    bbox_format: Text
    confidence_unit: ConfidenceUnit
    class_base: int
    time_unit: TimeUnit
    time_zone: Text
    reviews: Text | None
    dataset: Text | None
    min_confidence: float | None
    seed: int
    jobs: int


class ExportKeywords(TypedDict, total=False):
    """Keywords of `radloop.export`."""

    out: Text
    feedback: Text | None
    bbox_format: Text
    confidence_unit: ConfidenceUnit
    class_base: int
    time_unit: TimeUnit
    time_zone: Text
    dataset: Text | None
    labels: LabelKind | None
    splits: Sequence[ExportPart] | None
    license: Text | None
    shard_mb: int
    image_prefix: Text
    jobs: int
    dry_run: bool


class ForgetKeywords(TypedDict, total=False):
    """Keywords of `radloop.forget`."""

    out: Text
    store: Text | None
    feedback: Text | None
    reviews: Text | None
    log: Text | None
    reason: Text
    kind: Literal["auto", "image", "patient"]
    issuer: Text | None
    dry_run: bool


class ImportKeywords(TypedDict, total=False):
    """Keywords of `radloop.import_reviews`."""

    out: Text
    feedback: Text | None
    bbox_format: Text
    confidence_unit: ConfidenceUnit
    class_base: int
    time_unit: TimeUnit
    time_zone: Text
    reviews: Text | None
    dataset: Text | None
    map: Sequence[Text]
    durable: bool
    jobs: int
    dry_run: bool
    strict: bool

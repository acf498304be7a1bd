"""Every setting, with its default: flag > environment > default.

A flag is passed to `Settings` by name and wins; what no flag gives comes from the environment (`RADLOOP_` and the
name in capitals, and the names that users of this system know); the rest are the defaults below. Settings stop at
the command line: pipelines and steps get plain values.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from radloop.errors import UsageError
from radloop.tables import Split

DEMO_SIZES = "training=300,validation=60,test=60,staging=30,canary=30,production=120"


class Settings(BaseSettings):
    """What a run is told. Build it with `load`, which turns a bad value into one sentence."""

    model_config = SettingsConfigDict(env_prefix="RADLOOP_", extra="forbid", populate_by_name=True, frozen=True)

    out: Path = Field(Path("./data"), description="Folder that every other default hangs on; made when absent.")
    jobs: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, description="Processes for pictures.")
    engine: Literal["local", "ray"] = Field(
        "local", description="Where the work runs: in processes of this machine, or on the nodes of a Ray cluster."
    )
    ray_address: str = Field(
        "auto", description="The Ray cluster: HOST:PORT of its head, or auto, the one that this machine is a node of."
    )
    seed: int = Field(0, ge=0, description="Seed of every random choice.")

    source: str | None = Field(None, description="kaggle, a folder, or synthetic:N (N made-up images).")
    annotations: Path | None = Field(None, description="The CSV of boxes, instead of the source's own.")
    boxes: Literal["auto", "original", "scaled"] = Field(
        "auto", description="Frame of the CSV's boxes, for where the proof cannot tell: original or 1024x1024 pixels."
    )

    classes: str | None = Field(
        None,
        description="The classes: a file with a name a line (or a YAML file with names), or vinbigdata. Unset: those "
        "of the previous version, else the table's own.",
    )
    map: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        description="OLD=NEW: read the class OLD as NEW; or a file with one a line. Repeatable; in the environment one "
        "a line.",
    )
    keep_classes: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None, description="A class to keep; all others are left out. Repeatable; in the environment one a line."
    )
    drop_classes: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None, description="A class to leave out. Repeatable; in the environment one a line."
    )
    labels: Literal["per-reader", "consensus"] = Field(
        "per-reader", description="One label file per reader and image, or one per image with the readers' boxes fused."
    )
    min_readers: int = Field(1, ge=1, le=17, description="Readers who must agree on a consensus box.")
    no_finding: Literal["background", "class"] = Field(
        "background", description='"No finding" as an empty label file, or as one more class.'
    )
    sizes: str | None = Field(
        None,
        description="Images per split, for example training=300,validation=60,…; scaled to the images there are. "
        "Unset: 11500/750/750/1000/500/500.",
    )
    previous: str | None = Field(
        None, description="The dataset of the last version, a folder or a store: its images keep their splits."
    )
    add: Path | None = Field(None, description="A retrain.csv to add: its production images move to training.")

    store: str | None = Field(
        None,
        description="Where datasets are published: a folder or an rclone remote (name:container). Unset: OUT/store.",
    )
    keep_old: bool = Field(False, description="Do not remove from the store what the new version no longer lists.")
    splits: Annotated[tuple[Split, ...] | None, NoDecode] = Field(
        None, description="Splits to take, comma-separated. Unset: all."
    )
    dataset: Path | None = Field(
        None, description="The dataset, a folder; for the dashboard also an annotations CSV. Unset: OUT/organized."
    )
    feedback: Path | None = Field(
        None,
        validation_alias=AliasChoices("RADLOOP_FEEDBACK", "FEEDBACK_DIR"),
        description="Folder of feedback files; FEEDBACK_DIR names it, too. Unset: OUT/feedback.",
    )
    reviews: Path | None = Field(None, description="Folder of review files. Unset: OUT/reviews.")
    retrain: Path | None = Field(None, description="A retrain.csv to show. Unset: DATASET/retrain/retrain.csv.")
    images: Path | None = Field(None, description="Folder of pictures to show. Unset: the dataset's own.")
    log: Path | None = Field(
        None,
        validation_alias=AliasChoices("RADLOOP_LOG", "LOG_FILE"),
        description="The simulator's log; LOG_FILE names it, too. Unset: OUT/logs/online_data.log.",
    )
    host: str = Field("127.0.0.1", description="Address that the dashboard listens on.")
    port: int = Field(8501, ge=1, le=65535, description="Port of the dashboard.")

    rclone_container: str | None = Field(
        None, validation_alias="RCLONE_CONTAINER", description="The store as RCLONE_REMOTE:RCLONE_CONTAINER."
    )
    rclone_remote: str = Field(
        "chi_tacc", validation_alias="RCLONE_REMOTE", description="The remote of RCLONE_CONTAINER."
    )

    detector: str = Field(
        "random", description="random, oracle:NOISE, onnx:MODEL.onnx, or triton[:http://HOST:8000/MODEL]."
    )
    model_classes: Path | None = Field(
        None,
        description="The classes of an onnx or triton detector in its own order, a file as for --classes: for a model "
        "that tells none. --map renames them (OLD is the model's name).",
    )
    triton_url: str | None = Field(
        None, validation_alias="TRITON_URL", description="The server of `--detector triton` without an address."
    )
    load_pattern: str = Field(
        "1,2,3,5,3,2,1",
        validation_alias=AliasChoices("RADLOOP_LOAD_PATTERN", "LOAD_PATTERN"),
        description="Load of each stage, workers or multiples of the arrival rate; LOAD_PATTERN names it, too.",
    )
    stage_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        validation_alias=AliasChoices("RADLOOP_STAGE_SECONDS", "DELAY_BETWEEN_STEPS"),
        description="Seconds that a stage lasts; DELAY_BETWEEN_STEPS names it, too.",
    )
    request_timeout: float = Field(
        5.0,
        gt=0,
        le=3600,
        validation_alias=AliasChoices("RADLOOP_REQUEST_TIMEOUT", "REQUEST_TIMEOUT"),
        description="Seconds after which a request has failed; REQUEST_TIMEOUT names it, too.",
    )
    inference_ms: float = Field(100.0, ge=0, le=3_600_000, description="What the random detector takes for a picture.")
    arrival: str = Field(
        "workers", description="workers: each takes the next picture; poisson:RATE: RATE arrivals a second, times load."
    )
    drift: str = Field(
        "",
        description="What changes from a stage on, such as brightness:0.2@4; also contrast, rotation (degrees) and mix "
        "(share of pictures with a finding); several with commas.",
    )
    durable: bool = Field(False, description="Flush every feedback file to the disk: safe against loss of power, too.")

    min_confidence: float = Field(
        0.9, ge=0, lt=1, description="Predictions above it train; one between 0.25 and it keeps its image out."
    )
    require_review: bool = Field(False, description="Only what a radiologist has reviewed trains.")
    include_held_out: bool = Field(
        False, description="Let held-out images train, too; every output says that it was used."
    )

    @field_validator("splits", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("map", "keep_classes", "drop_classes", mode="before")
    @classmethod
    def _lines(cls, value: object) -> object:
        """One a line: a name may hold a comma."""
        if isinstance(value, str):
            return tuple(line.strip() for line in value.splitlines() if line.strip())
        return value

    @property
    def required_source(self) -> str:
        """The source; UsageError where none was named."""
        if not self.source:
            raise UsageError("No source was named: --source kaggle, --source FOLDER or --source synthetic:600.")
        return self.source

    @property
    def loop_parts(self) -> dict[str, Path]:
        """Where dataset, feedback, reviews, retrain.csv and log lie, and `images` where they are not the dataset's."""
        dataset = self.dataset or self.out / "organized"
        parts = {
            "dataset": dataset,
            "feedback": self.feedback or self.out / "feedback",
            "reviews": self.reviews or self.out / "reviews",
            "retrain": self.retrain or dataset / "retrain" / "retrain.csv",
            "log": self.log or self.out / "logs" / "online_data.log",
        }
        return parts | ({"images": self.images} if self.images else {})

    @property
    def store_address(self) -> str:
        """The store: the flag or RADLOOP_STORE, then RCLONE_CONTAINER, then the folder OUT/store."""
        if self.store:
            return self.store
        if self.rclone_container:
            return f"{self.rclone_remote}:{self.rclone_container}"
        return str(self.out / "store")


def load(**flags: Any) -> Settings:
    """The settings of one run; flags that are None were not given.

    Raises UsageError naming the setting, its value and what it may be.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        where = f"--{name.replace('_', '-')}" if name in given else _variable(name)
        raise UsageError(f"{where}: {first['input']!r} cannot be used: {first['msg']}.") from invalid


def _variable(place: str) -> str:
    """The variable that a value came from; `place` is a field, or the first of the names that it is read from."""
    for info in Settings.model_fields.values():
        if isinstance(info.validation_alias, AliasChoices) and place in info.validation_alias.choices:
            return next(str(name) for name in info.validation_alias.choices if name in os.environ)
    return environment_name(place)


def environment_name(field: str) -> str:
    """The environment variable that a field is read from."""
    info = Settings.model_fields.get(field)
    if info is not None and isinstance(info.validation_alias, str):
        return info.validation_alias
    return f"{Settings.model_config.get('env_prefix', '')}{field}".upper()

"""What attesting, and whoever has to trust it, can be told (`radloop.options`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from radloop.option import About, option, switch
from radloop.parts import DatasetFolder, DryRun, FeedbackFolder, Jobs, Json, ReviewsFolder, Stored
from radloop.words import AttestedPart


@dataclass(frozen=True, kw_only=True)
class Attest(Json, DryRun, Jobs, ReviewsFolder, FeedbackFolder, Stored):
    """Sign what the dataset is, and what people said of it. The statement lies in OUT/attestations and the store."""

    key: Annotated[
        Path, About("The private key that signs, a PEM file: Ed25519 or ECDSA P-256, as openssl makes it.", ours=False)
    ]
    passphrase_file: Path | None = option(
        None, About("A file whose first line is the passphrase of --key.", shown="RADLOOP_KEY_PASSPHRASE", ours=False)
    )
    key_passphrase: str | None = option(
        None, About("The passphrase of --key, where no --passphrase-file is given.", flag=False, secret=True)
    )
    allow_unsound: bool = switch("Sign although `radloop check` finds something wrong; the statement says so.")


@dataclass(frozen=True, kw_only=True)
class Audit(Json, DryRun, DatasetFolder, ReviewsFolder, FeedbackFolder):
    """Say what was changed of log, reviews and feedback, or export it. Exit 1 if anything was."""

    action: Annotated[
        Literal["verify", "export"],
        About("verify, or export to OUT/export/audit as CSV and JSON.", argument="verify|export"),
    ]


@dataclass(frozen=True, kw_only=True)
class Check(Json, Jobs):
    """Say what a trainer would drop, and what was changed or leaks. It is Ultralytics 8.4. Exit 1 if anything is."""

    place: Annotated[str, About("A dataset's folder or a store (name:container).", argument="DIR|STORE")]
    attestation: Path | None = option(
        None,
        About(
            "Hold DIR or STORE against an attestation instead: its folder or envelope, or the last of a folder of "
            "them.",
            shown="none",
            ours=False,
        ),
    )
    key: Path | None = option(
        None, About("The public key (PEM) of whoever signed the attestation.", shown="none", ours=False)
    )
    parts: tuple[AttestedPart, ...] | None = option(
        None,
        About(
            "Parts of the attestation to look at, comma-separated, such as dataset for one that was pulled.",
            shown="all that such a place has",
            ours=False,
            commas=True,
        ),
    )

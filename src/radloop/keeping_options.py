"""What backup and restore can be told (`radloop.options`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from radloop.option import About, option, switch
from radloop.parts import DryRun, FeedbackFolder, Json, ReviewsFolder, Stored


@dataclass(frozen=True, kw_only=True)
class Backup(Json, DryRun, ReviewsFolder, FeedbackFolder, Stored):
    """Copy OUT elsewhere, verified; each run sends only what is new. Raw sources and caches are left out."""

    to: Annotated[str, About("Where to: a folder, or an rclone remote (name:container).", argument="TO")]
    encrypt_to: tuple[str, ...] = option(
        (),
        About(
            "Encrypt all of it with age, for a public key (age1... or ssh-ed25519 ...) or a file of such keys. "
            "To a remote, OUT/private goes only so.",
            shown="nothing is encrypted",
            ours=False,
        ),
    )
    keep: int | None = option(
        None, About("How many backups to keep; older ones are removed at the end.", shown="all", ours=False, ge=1)
    )


@dataclass(frozen=True, kw_only=True)
class Restore(Json, DryRun, Stored):
    """Bring OUT, which must be empty, back from a backup, verified. What was forgotten since stays forgotten."""

    from_: Annotated[str, About("Where from: the folder or rclone remote of `radloop backup`.", argument="FROM")]
    identity: Path | None = option(
        None, About("File with the secret key of an encrypted backup, as age-keygen or ssh-keygen made it.", ours=False)
    )
    backup: str | None = option(
        None, About("Which backup, by the beginning of its id.", shown="the newest", ours=False)
    )
    salvage: bool = switch("Where a part of the backup is damaged, name what is lost and restore the rest.")

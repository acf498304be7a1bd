"""What the dashboard can be told (`radloop.options`)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from radloop.errors import UsageError
from radloop.option import About, option
from radloop.parts import DatasetFolder, LogFile, ReadFeedback, ReviewsFolder, Seeded, Stored
from radloop.reading_parts import Reading

TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")  # RFC 6750, section 2.1
_HEADER: Final = re.compile(r"[A-Za-z0-9-]+")
_TAKEN: Final = ("authorization", "cookie", "host", "origin")
_NAME: Final = re.compile(r"[A-Za-z0-9.-]+")


def _auth(text: str) -> str:
    kind, _, name = text.partition(":")
    if text in ("token", "none") or (kind == "header" and _HEADER.fullmatch(name) and name.lower() not in _TAKEN):
        return text
    raise UsageError(f"{text[:60]!r} cannot be used: it has to be token, none or header:NAME, as header:X-Remote-User.")


def _token(text: str) -> str:
    if not TOKEN.fullmatch(text):  # what it is stands in no message
        raise UsageError("a token has 16 or more letters, digits and any of . _ ~ + / = -, and nothing else.")
    return text


def _host(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise UsageError(f"{text[:60]!r} cannot be used: it has to be a name, such as reads.hospital.org.")
    return text.lower()


@dataclass(frozen=True, kw_only=True)
class Dashboard(Seeded, Reading, LogFile, ReviewsFolder, ReadFeedback, DatasetFolder, Stored):
    """Show dataset, feedback and reviews in a browser; review there. Any of the parts may be missing."""

    retrain: Path | None = option(None, About("A retrain.csv to show.", shown="DATASET/retrain/retrain.csv"))
    images: Path | None = option(None, About("Folder of pictures to show.", shown="the dataset's own"))
    compare: Path | None = option(
        None,
        About("Another version of the dataset, or its annotations, to set beside it.", shown="what the store keeps"),
    )
    models: Path | None = option(None, About("Folder of models and their comparisons.", shown="OUT/models"))
    monitor: Path | None = option(None, About("Folder with the report of `radloop monitor`.", shown="OUT/monitor"))
    host: str = option("127.0.0.1", "Address that the dashboard listens on.")
    published: str | None = option(
        None, About("In a container: the address of this machine that its port is published on.", flag=False)
    )
    port: int = option(8501, About("Port of the dashboard.", ge=1, le=65_535))
    auth: str = option(
        "token",
        About(
            "Who gets in: who has the token; whom a proxy, which sends it, names in a header (header:NAME: the "
            "Reader ID); or everybody (none).",
            parse=_auth,
        ),
    )
    token: str | None = option(
        None,
        About(
            "The token of the dashboard, 16 or more letters and digits.",
            shown="kept in REVIEWS/.dashboard-token",
            flag=False,
            parse=_token,
            secret=True,
        ),
    )
    public_name: str | None = option(
        None,
        About("Name under which browsers reach the dashboard, such as reads.hospital.org.", parse=_host),
    )

    @property
    def auth_header(self) -> str | None:
        """The header in which a proxy names the reader, in lower case; None where none does."""
        return self.auth.removeprefix("header:").lower() if self.auth.startswith("header:") else None

    @property
    def exposed(self) -> bool:
        """Whether other machines than this one reach it."""
        return not re.fullmatch(r"127\.[\d.]+|localhost|::1|\[::1\]", self.published or self.host)

    @property
    def retrain_table(self) -> Path:
        """Where the re-training table lies."""
        return self.retrain or self.dataset_folder / "retrain" / "retrain.csv"

    @property
    def models_folder(self) -> Path:
        """Where the models lie."""
        return self.models or self.out / "models"

    @property
    def monitor_folder(self) -> Path:
        """Where the report of `radloop monitor` lies."""
        return self.monitor or self.out / "monitor"

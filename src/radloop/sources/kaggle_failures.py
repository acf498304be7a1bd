"""What the `kaggle` command prints when it fails, and the one sentence that this means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from radloop.errors import DownloadError

AGAIN: Final = "Run the same command again later: it goes on where it stopped."
ANEW: Final = "Run the same command again later to fetch it anew."


@dataclass(frozen=True)
class Item:
    """One thing to fetch, and what its refusal (403) means."""

    name: str
    arguments: tuple[str, ...]
    forbidden: str


# What the command prints when it fails, and what that means. Kaggle's refusals come as a status line or in its words.
_REASONS: Final = (
    (r"No space left", "The disk is full while {name} arrives. Make room and run the same command again."),
    (
        r"Authentication required|401 Client Error",
        "Kaggle does not accept the credentials (401) for {name}. Make a new API token at kaggle.com/settings, then "
        "run the same command again.",
    ),
    (r"403 Client Error: .* for url: (?!\S*ApiService/)", f"The storage refuses {{name}} (403). {AGAIN}"),
    (
        r"403 Client Error|Forbidden|ermission .*denied|accept .*rules",
        "Kaggle refuses {name} (403): {forbidden}, then run the same command again.",
    ),
    (
        r"404 Client Error|Not Found|not found",
        "Kaggle does not find {name} (404): it was moved or withdrawn. Pass --source the folder that has it.",
    ),
    (r"429 Client Error|Too Many Requests", f"Kaggle asks to slow down (429). {AGAIN}"),
    (r"\b5\d\d Server Error", f"Kaggle has a fault of its own (5xx). {AGAIN}"),
    (
        r"does not match expected size",
        f"The storage refused in the middle of {{name}}, as an expired address does. {ANEW}",
    ),
    (
        r"Connection|IncompleteRead|Max retries|timed out",
        f"The connection to Kaggle broke, or there is none. {AGAIN}",
    ),
)


def failure(item: Item, status: int, output: str, secrets: Sequence[str]) -> DownloadError:
    """The one sentence for a command that failed, known by the status or the words that Kaggle gave it."""
    for pattern, sentence in _REASONS:
        if re.search(pattern, output):
            return DownloadError(sentence.format(name=item.name, forbidden=item.forbidden))
    return DownloadError(
        f"kaggle could not fetch {item.name} (exit status {status}): {last_line(output, secrets)} "
        "What has arrived is kept; run the same command again."
    )


def last_line(output: str, secrets: Sequence[str]) -> str:
    """The command's last word, fit for a log: no secret, no signed address, no long token of any kind."""
    line = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "it said nothing.")
    for secret in secrets:
        line = line.replace(secret, "***")
    line = re.sub(r"://[^/@\s]+@", "://***@", line)
    line = re.sub(r"\?[^\s'\")]+", "?***", line)
    return re.sub(r"\b(?=[A-Za-z_]*\d)\w{24,}", "***", line)[:200]

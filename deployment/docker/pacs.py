"""Set up the local Orthanc, and ask whether it answers.

pacs.py setup HOME CREDENTIALS      once: HOME/orthanc.json, and a user and password for radloop in CREDENTIALS
pacs.py healthy
"""

import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from pathlib import Path

PORT = 8042
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
USER = "radloop"


def setup(home: Path, credentials: Path) -> None:
    """Write the configuration; the password of the first start stays."""
    configuration = home / "orthanc.json"
    if configuration.exists():
        password = json.loads(configuration.read_text())["RegisteredUsers"][USER]
    else:
        password = secrets.token_urlsafe(24)
    told = {
        "Name": "radloop",
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "HttpPort": PORT,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: password},
        "DicomServerEnabled": False,
        "Plugins": [PLUGIN],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    write(configuration, json.dumps(told, indent=2))
    lines = ["# For `radloop --pacs-auth`; the same user and password open Orthanc's own page.", f'user = "{USER}"']
    write(
        credentials,
        "\n".join([*lines, f'password = "{password}"', "plain_http = true  # within compose's network", ""]),
    )


def write(path: Path, text: str) -> None:
    """A file of its owner alone, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def healthy() -> None:
    """Exit 1 where it does not answer; that it asks for a password is an answer."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=4)
    except urllib.error.HTTPError:
        pass
    except OSError:
        sys.exit(1)


if __name__ == "__main__":
    setup(*map(Path, sys.argv[2:])) if sys.argv[1] == "setup" else healthy()

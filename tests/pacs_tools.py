"""The programs of others that judge radloop's DICOM: dcmtk's, dicom3tools', openssl."""

import os
import shutil

import pytest


def tool(name: str) -> str:
    """The path of a program; where it is missing, the test is skipped, and fails in CI, where it has to be."""
    found = shutil.which(name)
    if found is None:
        how = f"{name} is missing: tests/pacs/install.sh"
        pytest.fail(how) if os.environ.get("CI") == "true" else pytest.skip(how)
    return found

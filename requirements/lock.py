"""Make the lock files anew: `make lock`. One resolution for all (dev.txt); the others are parts of it, or agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
WHOLE = "requirements/dev.txt"
DASHBOARD = "data-pipeline/streamlit-dashboard/requirements.txt"
OPPONENTS = "benchmarks/requirements.txt"
LABEL_STUDIO = "benchmarks/label-studio.txt"
PARTS = {
    WHOLE: ["--extra=dev"],
    "requirements/base.txt": [],
    "requirements/all.txt": ["--extra=all"],
    "requirements/pipeline.txt": [
        "--extra=onnx",
        "--extra=triton",
        "--extra=rclone",
        "--extra=dicom",
    ],  # the container of that name
    DASHBOARD: [],
    "requirements/build.txt": ["--group=build"],
    OPPONENTS: [],
    LABEL_STUDIO: [],
}
APART = {  # of an environment of their own
    "requirements/build.txt": [],
    OPPONENTS: ["benchmarks/requirements.in"],
    LABEL_STUDIO: ["benchmarks/label-studio.in"],
    DASHBOARD: ["-"],  # standard input
}
# What only the other commands need: the dashboard's image has no way to Kaggle, and looks for no near-duplicates.
NOT_OF_DASHBOARD = {"kaggle", "six", "faiss-cpu"}


def of_dashboard() -> str:
    """What the dashboard's container needs, a requirement a line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = [one for one in project["dependencies"] if re.match(r"[\w.-]+", one)[0] not in NOT_OF_DASHBOARD]
    return "\n".join([*core, *project["optional-dependencies"]["dashboard"], ""])


def main() -> None:
    for path, parts in PARTS.items():
        source = APART.get(path, ["pyproject.toml"])
        subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", *source, *parts),
                *("--universal", "--python-version=3.11", "--generate-hashes", "--no-emit-index-url"),
                *("--no-emit-find-links", "--no-header", "--no-annotate", "--quiet"),
                *([] if path in (WHOLE, LABEL_STUDIO) else ["--constraint", WHOLE]),
                *("--output-file", path),
            ],
            cwd=ROOT,
            check=True,
            text=True,
            input=of_dashboard() if path == DASHBOARD else None,
        )


if __name__ == "__main__":
    main()

"""Make the lock files anew: `make lock`. One resolution for all (dev.txt); the others are parts of it, or agree."""

import subprocess
import sys
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
    DASHBOARD: ["--extra=dashboard"],
    "requirements/build.txt": ["--group=build"],
    OPPONENTS: [],
    LABEL_STUDIO: [],
}
APART = {  # of an environment of their own
    "requirements/build.txt": [],
    OPPONENTS: ["benchmarks/requirements.in"],
    LABEL_STUDIO: ["benchmarks/label-studio.in"],
}


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
        )


if __name__ == "__main__":
    main()

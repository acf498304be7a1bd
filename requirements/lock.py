"""Make the lock files anew: `make lock`. One resolution for all (dev.txt); the others are parts of it, or agree."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
WHOLE = "requirements/dev.txt"
DASHBOARD = "data-pipeline/streamlit-dashboard/requirements.txt"
OPPONENTS = "benchmarks/requirements.txt"
LABEL_STUDIO = "benchmarks/label-studio.txt"
STUDY = "study/requirements.txt"
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
    study()


def study() -> None:
    """Lock torch for CPUs as pip finds it for this machine: uv would take the build with gigabytes of CUDA."""
    whole = (ROOT / WHOLE).read_text()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as known:
        known.writelines(f"{line}\n" for line in re.findall(r"^[a-z0-9-]+==[^\\\n]+", whole, re.MULTILINE))
        known.flush()
        report = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"),
                *("--ignore-installed", "--report", "-", "--constraint", known.name),
                *("--requirement", "study/requirements.in"),
            ],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
        )
    lines = [
        f"{one['metadata']['name'].lower().replace('_', '-')}=={one['metadata']['version']} \\\n"
        f"    --hash=sha256:{one['download_info']['archive_info']['hashes']['sha256']}\n"
        for one in json.loads(report.stdout)["install"]
    ]
    (ROOT / STUDY).write_text("".join(sorted(lines)))


if __name__ == "__main__":
    main()

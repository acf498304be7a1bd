"""Make the lock files anew: `make lock`. One resolution for all (dev.txt); the others are parts of it."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {"dev": ["dev"], "base": [], "dashboard": ["dashboard"], "all": ["all"]}


def main() -> None:
    for name, extras in PARTS.items():
        subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "uv",
                    "pip",
                    "compile",
                    "pyproject.toml",
                    "--universal",
                    "--python-version",
                    "3.11",
                ),
                *(
                    "--generate-hashes",
                    "--no-emit-index-url",
                    "--no-emit-find-links",
                    "--no-header",
                    "--no-annotate",
                    "--quiet",
                ),
                *(part for extra in extras for part in ("--extra", extra)),
                *([] if name == "dev" else ["--constraint", "requirements/dev.txt"]),
                *("--output-file", f"requirements/{name}.txt"),
            ],
            cwd=HERE.parent,
            check=True,
        )


if __name__ == "__main__":
    main()

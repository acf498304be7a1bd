"""`python -m release`: build this commit; with a version: prepare its release; with --page: write docs/licences.md."""

import argparse
import sys
from datetime import UTC, datetime

from release import building, licences, shipped


def main() -> None:
    """Do what the command line says."""
    told = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    told.add_argument("version", nargs="?", help="write it into pyproject.toml and CHANGELOG.md, and build nothing")
    told.add_argument("--page", action="store_true", help="write docs/licences.md")
    chosen = told.parse_args()
    if chosen.page:
        (shipped.ROOT / "docs/licences.md").write_text(licences.page(shipped.components()))
    elif chosen.version:
        building.prepare(shipped.ROOT, chosen.version, today=datetime.now(UTC).date())
        print(f"pyproject.toml and CHANGELOG.md say {chosen.version}: look, commit, tag, then `make release`")
    else:
        for path in building.release(shipped.ROOT, shipped.ROOT / "dist"):
            print(f"{path.stat().st_size:>11,}  {path.relative_to(shipped.ROOT)}")


try:
    main()
except building.Unfit as why:
    sys.exit(f"no release: {why}")

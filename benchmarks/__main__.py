"""Every benchmark, one after the other: `make bench`."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("labels", "pictures", "load", "feedback", "measures")


def main() -> int:
    failed = []
    for name in SCRIPTS:
        print(f"\n── {name} ──", flush=True)
        script = Path(__file__).with_name(f"{name}.py")
        if subprocess.run([sys.executable, script], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())

#!/bin/sh
# A virtual environment with the packages that radloop is compared with (`make test-peers`), apart from radloop's own.
# usage: install.sh [VENV]    (default: .venv-peers beside the project's pyproject.toml)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$here/../../.venv-peers}
cat "$here/requirements.txt" "$0" | cmp -s - "$venv/installed.txt" && exit 0
"${PYTHON:-python3}" -m venv "$venv"
pip="$venv/bin/python -m pip install -q --disable-pip-version-check"
$pip -r "$here/requirements.txt"
$pip --no-deps ultralytics==8.4.190 # it asks for a torchvision, which no detector's loader needs (trainer.py has a stub)
cat "$here/requirements.txt" "$0" > "$venv/installed.txt"

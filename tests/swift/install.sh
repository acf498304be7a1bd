#!/bin/sh
# A virtual environment with the real OpenStack Swift and Keystone that the tests talk to, from wheels only:
# no compiler, no root, no system packages. About 30 s and 230 MB; nothing is done where it is up to date.
# usage: install.sh [VENV]    (default: .venv-swift beside the project's pyproject.toml)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$here/../../.venv-swift}
list=$here/requirements.txt
cmp -s "$list" "$venv/installed.txt" && exit 0
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r "$list"
cp "$list" "$venv/installed.txt"

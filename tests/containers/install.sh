#!/bin/sh
# A virtual environment with hadolint and docker-compose 1.29 for tests/test_containers.py: no root, no Docker.
# usage: install.sh [VENV]    (default: .venv-containers beside the project's pyproject.toml)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$here/../../.venv-containers}
list=$here/requirements.txt
cmp -s "$list" "$venv/installed.txt" && exit 0
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r "$list"
cp "$list" "$venv/installed.txt"

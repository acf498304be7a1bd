#!/bin/sh
# A virtual environment with the real Triton Inference Server that the tests talk to (nvidia-pytriton, on CPU), from
# wheels only. Its stub is linked against the system's libpython: a pyenv or conda Python breaks it, so this uses
# /usr/bin/python3 whatever Python the project has. Does nothing where it is up to date.
# usage: install.sh [VENV]    (default: .venv-triton beside the project's pyproject.toml)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$here/../../.venv-triton}
list=$here/requirements.txt
cmp -s "$list" "$venv/installed.txt" && exit 0
python=${TRITON_PYTHON:-/usr/bin/python3}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  else
    echo "the tests of Triton need $python with venv: apt install python3-venv" >&2
    exit 1
  fi
fi
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r "$list"
cp "$list" "$venv/installed.txt"

#!/bin/sh
# The Chromium that the tests of the dashboard drive. Does nothing where there is one.
set -eu
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
else
  echo "the tests of the dashboard need Chromium: apt install chromium" >&2
  exit 1
fi

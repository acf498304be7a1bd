#!/bin/sh
# The proxy that a test puts before the dashboard. Does nothing where there is one.
set -eu
command -v caddy >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends caddy >/dev/null
else
  echo "the test of the dashboard behind a proxy needs Caddy: apt install caddy" >&2
  exit 1
fi

#!/bin/sh
# The Prometheus that a test lets scrape radloop, with promtool. Does nothing where they are there.
set -eu
have() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }
if ! have && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null
fi
have || { echo "the tests of the metrics need Prometheus: apt install prometheus" >&2; exit 1; }
promtool --version 2>&1 | head -1

#!/bin/sh
# The PACS that tests talk to, and the tools that judge radloop's DICOM. Does nothing where they are there.
set -eu
have() {
  [ -x /usr/sbin/Orthanc ] && ls /usr/share/orthanc/plugins/libOrthancDicomWeb.so* >/dev/null 2>&1 &&
    command -v dcm2pnm >/dev/null && command -v dsrdump >/dev/null && command -v dciodvfy >/dev/null &&
    command -v openssl >/dev/null
}
have && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    orthanc orthanc-dicomweb dcmtk dicom3tools openssl >/dev/null
else
  echo "the tests of the PACS need Orthanc and DICOM tools: apt install orthanc orthanc-dicomweb dcmtk dicom3tools openssl" >&2
  exit 1
fi

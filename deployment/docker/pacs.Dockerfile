# A real PACS: Debian's Orthanc with DICOMweb, to try the loop against. Not for data that you care for.

FROM python:3.11-slim
LABEL org.opencontainers.image.title="radloop pacs" \
      org.opencontainers.image.description="A local Orthanc to try radloop against" \
      org.opencontainers.image.licenses="GPL-3.0-or-later"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends orthanc orthanc-dicomweb \
 && rm -rf /var/lib/apt/lists/*
COPY deployment/docker/pacs.py deployment/docker/prepare.py /opt/pacs/
ENV HOME=/tmp LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 10001:10001
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s CMD ["python", "/opt/pacs/pacs.py", "healthy"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
CMD ["Orthanc", "/pacs/orthanc.json"]

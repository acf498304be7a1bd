# A real OpenStack Swift on one disk, for trying the loop against what Chameleon has. Not for data that you care for.

FROM python:3.11-slim AS build
RUN python -m venv --without-pip /opt/swift
WORKDIR /build
COPY tests/swift/requirements.txt requirements.txt
RUN pip --python /opt/swift/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt

FROM python:3.11-slim
LABEL org.opencontainers.image.title="radloop swift" \
      org.opencontainers.image.description="A local OpenStack Swift to try radloop against" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/swift /opt/swift
COPY tests/swift/server.py deployment/docker/prepare.py /opt/swift/
ENV PATH=/opt/swift/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 10001:10001
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://swift:8080/healthcheck', timeout=4)"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
CMD ["python", "/opt/swift/server.py", "serve", "/swift"]

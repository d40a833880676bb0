# dbt with the project, its packages by hash.
#   docker build -f k8s/images/dbt.Dockerfile -t datameesh/dbt:0.1.0 .
ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY . .
RUN cd platform && CGO_ENABLED=0 GOWORK=off GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/mesh-setup ./cmd/mesh-setup

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="DataMeesh dbt" org.opencontainers.image.version="0.1.0" org.opencontainers.image.licenses="Apache-2.0"
RUN echo 'dbt:x:1000:1000::/work:/sbin/nologin' >> /etc/passwd
COPY platform/dbt/requirements.lock /tmp/requirements.lock
RUN python3 -m venv /opt/dbt && /opt/dbt/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /tmp/requirements.lock && rm /tmp/requirements.lock
COPY domains /opt/project
COPY platform/dbt/profiles.yml /opt/project/profiles.yml
COPY --from=build /out/mesh-setup /bin/mesh-setup
ENV PATH=/opt/dbt/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
USER 1000:1000

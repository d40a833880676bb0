# The Hive metastore from the files that "meesh up" fetches and verifies: name that folder as build context "cache".
#   docker build -f k8s/images/hive-metastore.Dockerfile --build-context cache=$HOME/.cache/datameesh -t datameesh/hive-metastore:0.1.0 .
ARG GO_IMAGE=golang:1.26-bookworm
# Java 21: from 24 on every call of the metastore fails.
ARG BASE_IMAGE=eclipse-temurin:21-jre

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY . .
RUN cd platform && CGO_ENABLED=0 GOWORK=off GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/mesh-setup ./cmd/mesh-setup

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="DataMeesh hive-metastore" org.opencontainers.image.version="0.1.0" org.opencontainers.image.licenses="Apache-2.0"
# Hadoop wants a name for the user that it runs as; the manifest starts Java by this path.
RUN echo 'hive:x:1000:1000::/tmp:/sbin/nologin' >> /etc/passwd && ln -s "$JAVA_HOME" /opt/java
COPY --from=cache hive-metastore-3.1.3 /opt/hive-metastore
COPY --from=cache hive-metastore-libraries-3.1.3-1 /opt/hive-libraries
COPY platform/hive/java/LocalMetastore.class /opt/datameesh/java/
COPY --from=build /out/mesh-setup /bin/mesh-setup
USER 1000:1000

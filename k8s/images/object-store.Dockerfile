# versitygw behind the Service minio, from its module; the version is that of platform/fetch.
#   docker build -f k8s/images/object-store.Dockerfile -t datameesh/object-store:0.1.0 .
ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=scratch

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY . .
ENV CGO_ENABLED=0 GOWORK=off GOOS=$TARGETOS GOARCH=$TARGETARCH GOBIN=
RUN mkdir -p /out/bin /out/tmp /out/etc && chmod 1777 /out/tmp \
 && echo 'store:x:1000:1000::/tmp:/sbin/nologin' > /out/etc/passwd && echo 'store:x:1000:' > /out/etc/group \
 && (cd platform && go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/bin/ ./cmd/mesh-setup) \
 && go install -trimpath -ldflags="-s -w" github.com/versity/versitygw/cmd/versitygw@v1.8.0 \
 && find "$(go env GOPATH)/bin" -name versitygw -exec mv {} /out/bin/ \;

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="DataMeesh object-store" org.opencontainers.image.version="0.1.0" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out /
ENV PATH=/bin TZ=UTC
USER 1000:1000

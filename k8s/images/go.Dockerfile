# The mesh's own static programs; docker buildx build --platform linux/amd64,linux/arm64 makes it for both.
#   docker build -f k8s/images/go.Dockerfile --build-arg MODULE=services/sales --build-arg PACKAGES=./cmd/... -t datameesh/sales:0.1.0 .
#   mesh: --build-arg MODULE=platform --build-arg "PACKAGES=./cmd/mesh-setup ./cmd/mesh-collector" --build-arg PROBE=k8s
ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=scratch

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
ARG TARGETOS TARGETARCH MODULE PACKAGES PROBE
WORKDIR /src
COPY . .
ENV CGO_ENABLED=0 GOWORK=off GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN mkdir -p /out/bin /out/tmp /out/etc && chmod 1777 /out/tmp \
 && printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n' > /out/etc/passwd \
 && printf 'root:x:0:\nnonroot:x:65532:\n' > /out/etc/group \
 && cd "$MODULE" && go build -trimpath -buildvcs=false -tags nomsgpack -ldflags="-s -w" -o /out/bin/ $PACKAGES
RUN if [ -n "$PROBE" ]; then cd "$PROBE" && go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/bin/ ./cmd/mesh-probe; fi

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="DataMeesh" org.opencontainers.image.version="0.1.0" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out /
ENV PATH=/bin TZ=UTC
USER 65532:65532

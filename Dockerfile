# syntax=docker/dockerfile:1
# All programs, static, in an image with nothing else: no shell, no root, nothing to write to but /data.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
ENV GOCACHE=/cache/build GOMODCACHE=/cache/mod
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/cache/mod go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN --mount=type=cache,target=/cache/mod --mount=type=cache,target=/cache/build \
    mkdir -p /out/bin /out/data && \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/actorlog/actorlog/cmd/internal/app.release=$VERSION" -o /out/bin/ ./cmd/...

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/bin/ /
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
ENTRYPOINT []
CMD ["/actorlog", "--help"]

# syntax=docker/dockerfile:1
# Multi-arch images: docker buildx build --platform linux/amd64,linux/arm64 --target server -t ghcr.io/openim-cluster/openim-server:0.1.0 .
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make perl libssl-dev pkg-config protobuf-compiler libprotobuf-dev ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
    && cargo build --locked --release --target "$target" -p openim-server -p openim-operator \
    && mkdir /out && cp "target/$target/release/openim-server" "target/$target/release/openim-operator" /out/

# Public certificate authorities, for external servers whose Secret names no other.
FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt

FROM base AS server
COPY --from=build /out/openim-server /openim-server
USER 65532:65532
ENTRYPOINT ["/openim-server"]

FROM base AS operator
COPY --from=build /out/openim-operator /openim-operator
USER 65532:65532
ENTRYPOINT ["/openim-operator"]

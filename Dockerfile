# syntax=docker/dockerfile:1

# The same Debian release as the image below, so that the C library fits; the version is that of rust-toolchain.toml.
FROM rust:1.95.0-slim-bookworm AS build
# jemalloc is built with make, besides the C compiler that is there.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches live beside the layers, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin polywatch \
    && cp target/release/polywatch /polywatch

# A C library, CA certificates and a user without rights: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="polywatch" \
      org.opencontainers.image.description="Watches any Kubernetes kind, judges every object with CEL rules, and reports what is wrong." \
      org.opencontainers.image.source="https://github.com/polywatch/polywatch" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /polywatch /usr/local/bin/polywatch
# A number, because runAsNonRoot cannot judge a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/polywatch"]
CMD ["run"]

# Needs BuildKit (the default since Docker 23): its cache mounts keep the dependencies built between two images.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY migrations migrations
COPY src src
COPY docs docs
COPY loadtest loadtest
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin waybill \
    && cp target/release/waybill /waybill

FROM debian:bookworm-slim
# The certificates of public authorities, for sslmode=verify-full and for a broker with TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /waybill /usr/local/bin/waybill
# Nobody in particular; nothing is ever written to the image's own files.
USER 65532:65532
EXPOSE 8080
# Drains on SIGTERM, which is what `docker stop` sends.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["waybill", "status", "--ready"]
ENTRYPOINT ["waybill"]
CMD ["serve"]

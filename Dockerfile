# syntax=docker/dockerfile:1
# docker build --build-arg VERSION=0.1.0 --build-arg COMMIT="$(git rev-parse --short=12 HEAD)" -t lightkeep .
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
COPY . .
# build.rs takes the commit from here: the context has no .git.
ARG COMMIT=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    BUILD_COMMIT="$COMMIT" CARGO_TARGET_DIR=/target cargo build --release --locked --bin lightkeep \
    && strip -o /lightkeep /target/release/lightkeep

# Not distroless: hooks, the password command and the drill command are run by `sh -c`.
FROM debian:bookworm-slim
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Lightkeep" \
      org.opencontainers.image.description="Consistent, deduplicated, encrypted snapshots of LightRAG graphs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"

# 1000 is the user of LightRAG's own image: files of one are the other's.
RUN groupadd --gid 1000 lightkeep \
    && useradd --uid 1000 --gid lightkeep --no-create-home --home-dir /var/lib/lightkeep --shell /usr/sbin/nologin lightkeep \
    && install -d -m 0700 -o lightkeep -g lightkeep /var/lib/lightkeep /var/lib/lightkeep/restored
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /lightkeep /usr/bin/lightkeep
COPY LICENSE /usr/share/doc/lightkeep/LICENSE

# Beyond the container it listens with a key only: set LIGHTRAG_API_KEY. Without it the start is refused.
ENV LIGHTKEEP_HTTP_ADDR=0.0.0.0:9721 \
    LIGHTKEEP_GRPC_ADDR=0.0.0.0:50051 \
    LIGHTKEEP_METRICS_ADDR=127.0.0.1:9091 \
    LIGHTRAG_BACKUP_STORAGE=/var/lib/lightkeep/backups \
    LIGHTRAG_RECOVERY_DB_URL=sqlite:////var/lib/lightkeep/lightkeep.db \
    LIGHTKEEP_ALLOWED_ROOTS=/var/lib/lightkeep/restored
WORKDIR /var/lib/lightkeep
VOLUME /var/lib/lightkeep
EXPOSE 9721 50051
USER 1000:1000
STOPSIGNAL SIGTERM
# bash opens the connection itself, so that no program has to be added for this.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>\"/dev/tcp/127.0.0.1/${LIGHTKEEP_HTTP_ADDR##*:}\" && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["/usr/bin/lightkeep"]
CMD ["serve"]

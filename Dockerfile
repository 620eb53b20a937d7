# The bridge as an image: `docker build -t smsbridge .`
#
# Built on Debian 12, for which there is a Swift toolchain image; run on Debian 13, for its librdkafka 2.8.0. Debian 12 has
# 2.0.2, and before 2.6.1 a SCRAM login against Kafka 4 fails (librdkafka pull request 4895). That is sound in this
# direction: every library keeps its soname (librdkafka.so.1, libuv.so.1, libcrypto.so.3, libyaml-0.so.2, libcurl.so.4,
# libz.so.1, libexpat.so.1) and glibc runs what an older glibc linked. The Swift runtime is linked in.
FROM swift:6.3-bookworm AS build

# Versions come with the release: Debian keeps only the newest of each package, so a pin would break the build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        pkg-config librdkafka-dev libuv1-dev libssl-dev libyaml-dev libcurl4-openssl-dev libsqlite3-dev \
        zlib1g-dev libexpat1-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /source
COPY Package.swift ./
COPY Sources Sources
COPY docs/runbook.md docs/runbook.md
COPY Tests Tests
COPY Examples Examples
COPY Benchmarks Benchmarks
RUN swift build -c release --product smsbridge --static-swift-stdlib \
    && strip --strip-unneeded .build/release/smsbridge -o /usr/local/bin/smsbridge

FROM debian:trixie-slim

# curl is the health check's. libcurl, which `simulate` uses, comes with it. tzdata is for `--time-zone`.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates curl libstdc++6 librdkafka1 libuv1t64 libssl3t64 libyaml-0-2 libcurl4t64 libsqlite3-0 \
        zlib1g libexpat1 tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 smsbridge \
    && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /var/lib/smsbridge --create-home --skel /dev/null \
        --shell /usr/sbin/nologin smsbridge

COPY --from=build /usr/local/bin/smsbridge /usr/local/bin/smsbridge
# Fails the build, not the first start, where a library is missing or has lost a symbol.
RUN ["smsbridge", "--version"]

# A larger per-thread cache of glibc's malloc saved about 8 % of all CPU under load: Benchmarks/README.md.
ENV GLIBC_TUNABLES=glibc.malloc.tcache_count=2000

LABEL org.opencontainers.image.title="smsbridge" \
    org.opencontainers.image.description="Webhook bridge from SMSPortal to Apache Kafka" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"

USER 10001:10001
VOLUME /var/lib/smsbridge
# 8080 is the public port; 9464, private, listens on loopback unless SMSBRIDGE_ADMIN_HOST says otherwise.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--show-error", "--max-time", "2", "http://127.0.0.1:9464/healthz"]
# smsbridge takes SIGTERM itself: 5 s of notice to balancers, then up to 25 s to finish. Give it more than that.
STOPSIGNAL SIGTERM
ENTRYPOINT ["smsbridge"]
CMD ["serve"]

# unlockd in a container without a shell, as user 65532, with one volume.
#
#     docker build -t unlockd .
#     docker compose -f config/compose.yaml up -d     # key, volume and hardening in place; or by hand:
#     docker run -v unlockd:/data -v /path/to/key:/run/secrets/lensmor-api-key:ro \
#         -e UNLOCKD_ACCOUNTS__DEFAULT__API_KEY_FILE=/run/secrets/lensmor-api-key \
#         --read-only --cap-drop ALL --security-opt no-new-privileges unlockd
#
# The key file must be readable by user or group 65532 and not by others: chown 65532 and chmod 0400.
# /data must be a local volume, not NFS or SMB: SQLite's write-ahead log needs shared memory between all
# that open the file. For the same reason only containers of one host may share it, and an inbox file
# (inbox.database) belongs on a local volume too. Nothing else is written: no /tmp is needed.

FROM rust:1.95-bookworm AS build
WORKDIR /src
# Dependencies first, with sources that are empty: this layer is made anew only when they change.
# The image's C compiler is all that the bundled SQLite and the TLS library ask for; no database is needed.
COPY Cargo.toml Cargo.lock ./
COPY src/build.rs src/build.rs
RUN mkdir -p migrations tests/measure \
 && echo 'fn main() {}' | tee src/main.rs tests/measure/measure.rs \
 && touch src/lib.rs \
 && cargo build --release --locked
COPY config config
COPY migrations migrations
COPY src src
# Newer than the empty ones, which the build would take for up to date.
RUN touch src/main.rs src/lib.rs \
 && cargo build --release --locked \
 && install -d -m 0700 /data

# cc, not static: the program needs glibc and libgcc. CA certificates are in it.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/unlockd /usr/local/bin/unlockd
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
VOLUME /data
ENV UNLOCKD_DATABASE=/data/unlockd.db
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/unlockd", "health"]
ENTRYPOINT ["/usr/local/bin/unlockd"]
CMD ["run"]

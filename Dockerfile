# unlockd in a container that holds nothing else but CA certificates: no shell, no libraries; user 65532, one volume.
#
#     docker build -t unlockd .
#     docker run --rm --read-only --tmpfs /tmp unlockd demo           # no key, no credits
#     docker compose -f config/compose.yaml up -d     # key, volume and hardening in place; or by hand:
#     docker run -d --name unlockd -v unlockd:/data \
#         --mount type=bind,src=/path/to/key,dst=/run/secrets/lensmor-api-key,ro \
#         -e UNLOCKD_ACCOUNTS__DEFAULT__API_KEY_FILE=/run/secrets/lensmor-api-key \
#         --read-only --cap-drop ALL --security-opt no-new-privileges unlockd
#     docker exec unlockd /usr/local/bin/unlockd check
#
# The key file must be readable by user or group 65532 and not by others: chown 65532 and chmod 0400. --mount refuses a
# file that is missing; -v would make a folder in its place.
# /data must be a local volume, not NFS or SMB: SQLite's write-ahead log needs shared memory between all
# that open the file. For the same reason only containers of one host may share it, and an inbox file
# (inbox.database, in the folder /inbox) belongs on a local volume too. Nothing else is written: no /tmp is needed, but by `demo`.
# Another command than `run` has no worker to be healthy: docker run --no-healthcheck unlockd sandbox
#
# The program is static, so that the image needs no other image below it, and linked with glibc, not with musl: with musl's
# allocator it takes in 8,200 to 9,600 rows a second, with glibc's 21,300 to 22,200. A static glibc must not meet a machine's own
# name service modules; here are none, and nsswitch.conf asks for none.

# The digest is the one that was in public use for this tag; another Rust: --build-arg RUST=rust:1.95-bookworm
ARG RUST=rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
# What the image begins with. Only the test of this file (tests/image) changes it.
ARG BASE=scratch

FROM ${RUST} AS build
WORKDIR /src
# No path of the build is in the program. With --target the flags are for the program, and not for what runs while it is built.
ENV RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=/unlockd --remap-path-prefix=/usr/local/cargo=/cargo"
# Dependencies first, with sources that are empty: this layer is made anew only when they change.
# The image's C compiler is all that the bundled SQLite and the TLS library ask for; no database is needed.
COPY Cargo.toml Cargo.lock ./
COPY .cargo/config.toml .cargo/config.toml
COPY src/build.rs src/build.rs
RUN mkdir -p migrations tests/measure \
 && echo 'fn main() {}' | tee src/main.rs tests/measure/measure.rs \
 && touch src/lib.rs \
 && cargo build --release --locked --target "$(rustc -vV | sed -n 's/^host: //p')"
# The one file of config that is compiled in: a change of the others builds nothing anew.
COPY config/default.toml config/default.toml
COPY migrations migrations
COPY src src
# For `unlockd --version`, since .git is not copied: docker build --build-arg COMMIT="$(git rev-parse HEAD)" -t unlockd .
ARG COMMIT=
# Newer than the empty ones, which the build would take for up to date.
RUN touch src/main.rs src/lib.rs \
 && host=$(rustc -vV | sed -n 's/^host: //p') \
 && BUILD_COMMIT=$COMMIT cargo build --release --locked --target "$host" \
 && install -D -m 0755 "target/$host/release/unlockd" /image/program/usr/local/bin/unlockd
# /data, and /inbox for programs of other containers (--group-add 65532). A copy keeps the modes of what is in a folder, and
# not its own, so the folders above them are copied. The program reads the system's CA certificates.
RUN install -d /image/program/etc /image/state \
 && install -d -m 0700 /image/state/data \
 && install -d -m 2770 /image/state/inbox \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/program/etc/ssl/certs/ca-certificates.crt \
 && echo 'hosts: files dns' >/image/program/etc/nsswitch.conf \
 && echo 'nonroot:x:65532:65532:unlockd:/data:/usr/sbin/nologin' >/image/program/etc/passwd \
 && echo 'nonroot:x:65532:' >/image/program/etc/group

FROM ${BASE}
COPY --from=build /image/program/ /
COPY --from=build --chown=65532:65532 /image/state/ /
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV UNLOCKD_DATABASE=/data/unlockd.db
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/unlockd", "health"]
ENTRYPOINT ["/usr/local/bin/unlockd"]
CMD ["run"]

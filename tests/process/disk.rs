//! A disk that is full, and one that cannot be written. Needs a mount namespace: where the system
//! refuses one (`unshare --user --map-root-user --mount true`), these tests say so and pass.

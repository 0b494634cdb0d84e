//! A new migration file alone does not rebuild a binary that embeds migrations; this makes it so.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}

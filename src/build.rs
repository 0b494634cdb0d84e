//! Cargo does not see a new migration file by itself; this rebuilds the binary that embeds the migrations.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}

//! Has the web app embedded anew when it was built anew.
//!
//! `rust-embed` puts the files of `web/dist` into a release build, but Cargo does not see files appear there by
//! itself. The folder must exist to be watched; what cannot be made is watched by looking each time.

fn main() {
    let folder = std::path::Path::new("../../web/dist");
    if !folder.exists() && std::fs::create_dir_all(folder).is_err() {
        println!("cargo::warning=web/dist cannot be made: this crate is built anew each time");
    }
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rerun-if-changed=build.rs");
}

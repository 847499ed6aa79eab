//! The seeds of the fuzz targets, replayed without a fuzzer, whole and cut short.

use std::fs;
use std::path::Path;

use healthmate_server::fuzzing;

fn replay(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(folder).expect("the folder of seeds") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("read");
        body(&bytes);
        (0..bytes.len()).step_by(7).for_each(|end| body(&bytes[..end]));
        seeds += 1;
    }
    assert!(seeds >= 5, "only {seeds} seeds of {target}");
}

/// A target of text; what is cut inside a character is none.
fn text(body: fn(&str)) -> impl Fn(&[u8]) {
    move |bytes| std::str::from_utf8(bytes).map_or((), |text| body(text.trim_end()))
}

#[test]
fn seeds_of_tokens() {
    replay("token", text(fuzzing::token));
}

#[test]
fn seeds_of_configuration() {
    replay("configuration", text(fuzzing::configuration));
}

#[test]
fn seeds_of_passkeys() {
    replay("passkey", fuzzing::passkey);
}

#[test]
fn seeds_of_requests() {
    replay("request", fuzzing::request);
}

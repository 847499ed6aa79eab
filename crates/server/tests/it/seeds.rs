//! The seeds of the fuzz targets, replayed without a fuzzer, whole and cut short.

use std::fs;
use std::path::Path;

use healthmate_server::fuzzing;

fn replay(target: &str, body: fn(&str)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(folder).expect("the folder of seeds") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("UTF-8");
        body(text.trim_end());
        text.char_indices().step_by(7).for_each(|(end, _)| body(&text[..end]));
        seeds += 1;
    }
    assert!(seeds >= 5, "only {seeds} seeds of {target}");
}

#[test]
fn seeds_of_tokens() {
    replay("token", fuzzing::token);
}

#[test]
fn seeds_of_configuration() {
    replay("configuration", fuzzing::configuration);
}

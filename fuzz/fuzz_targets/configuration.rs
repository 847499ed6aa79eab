//! Settings from the environment: see `healthmate_server::fuzzing::configuration`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| healthmate_server::fuzzing::configuration(text));

//! A token from outside: see `healthmate_server::fuzzing::token`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| healthmate_server::fuzzing::token(text));

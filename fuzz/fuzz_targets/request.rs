//! What a client sends first: see `healthmate_server::fuzzing::request`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| healthmate_server::fuzzing::request(bytes));

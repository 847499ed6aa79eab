//! What an authenticator writes of a new passkey: see `healthmate_server::fuzzing::passkey`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| healthmate_server::fuzzing::passkey(bytes));

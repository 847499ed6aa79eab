//! The WebSocket parser: no panic, bounded memory, and the same events however the stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| healthmate_ws::fuzzing::ws_inbound(data));

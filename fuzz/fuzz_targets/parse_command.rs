//! A client's text message: parsing never panics, a message that parses survives being written and parsed again,
//! and a refusal names a code that parsing may give.
#![no_main]

use healthmate_protocol::{ClientMessage, ErrorCode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match ClientMessage::parse(text) {
        Ok(message) => {
            let again = ClientMessage::parse(&message.to_text());
            assert!(
                again.as_ref() == Ok(&message),
                "written and parsed again it differs: {again:?}"
            );
        }
        Err(refusal) => assert!(
            matches!(
                refusal.code,
                ErrorCode::MalformedJson | ErrorCode::UnknownType | ErrorCode::InvalidField
            ),
            "refused with {:?}",
            refusal.code
        ),
    }
});

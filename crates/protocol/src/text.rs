//! Texts that are read to become something else.

use std::borrow::Cow;

use serde::Deserialize;

/// A text as it lies in the message, copied only if it is written with escapes. (serde copies every `Cow` that is not
/// told to borrow.)
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// How much is shown of the beginning and of the end of a text that is too long.
const SHOWN_CHARS: usize = 120;

/// A sentence that may repeat what a client sent, without the middle where that was long: an answer repeats little of what
/// came.
pub fn shortened(text: &str) -> String {
    let chars = text.chars().count();
    if chars <= 2 * SHOWN_CHARS {
        return text.to_owned();
    }
    let beginning = text.chars().take(SHOWN_CHARS);
    beginning.chain(['…']).chain(text.chars().skip(chars - SHOWN_CHARS)).collect()
}

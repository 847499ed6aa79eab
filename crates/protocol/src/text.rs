//! Texts that are read to become something else.

use std::borrow::Cow;

use serde::Deserialize;

/// A text as it lies in the message, copied only if it is written with escapes. (serde copies every `Cow` that is not
/// told to borrow.)
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

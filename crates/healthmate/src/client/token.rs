//! What a client signs in with.

use std::fmt;

/// A signed JWT. It has no `Display` and a redacting `Debug`, so that it reaches no output.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// Takes what a user handed over; the line end of a file is no part of it.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The token itself, for the wire.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Gives the token for the next connection: the same one always, or a fresh one each time.
pub(crate) type TokenSource = Box<dyn Fn() -> anyhow::Result<Token> + Send>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let token = Token::new("abc.def.ghi\n");
        assert_eq!(token.reveal(), "abc.def.ghi");
        assert_eq!(format!("{token:?}"), "Token(redacted)");
    }
}

//! Bodies of the fuzz targets, here so that ordinary tests replay the seeds through the same code. Not public API.

use healthmate_protocol::Timestamp;

use crate::auth::{TokenVerifier, inspect, passkey};
use crate::config::{AuthSettings, Overrides, Secret, Settings};
use crate::listener;

/// A token from outside: judging it never panics, what is good can be shown, and a refusal is one of a token's.
///
/// # Panics
/// If one of these does not hold.
pub fn token(text: &str) {
    let secret = Secret::new("the secret of the fuzz target, 32 bytes or more");
    let verifier = TokenVerifier::new(&AuthSettings::default(), &secret);
    match verifier.verify(text, Timestamp::from_micros(0)) {
        Ok(_) => assert!(inspect(text).is_ok(), "good, and cannot be shown"),
        Err(error) => assert!(error.code().as_str().starts_with("token_"), "refused with {error:?}"),
    }
}

/// Settings from the environment, a `NAME=VALUE` a line: reading them never panics, what is taken is valid, and a refusal
/// says something.
///
/// # Panics
/// If one of these does not hold.
pub fn configuration(text: &str) {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let lines = lines.map(|(name, value)| (name.to_owned(), value.to_owned()));
    match Settings::load(None, lines, Overrides::default()) {
        Ok(settings) => {
            assert!(settings.validate().is_ok(), "taken, and not valid");
            assert!(!settings.redacted_toml().is_empty(), "taken, and cannot be shown");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "refused without a word"),
    }
}

/// What an authenticator writes of a new passkey: reading it never panics, and a key that is taken is the same once it was
/// stored.
///
/// # Panics
/// If one of these does not hold.
pub fn passkey(bytes: &[u8]) {
    passkey::read_anything(bytes);
}

/// What a client sends before it is known what it wants: reading it never panics, it does not matter in which pieces it
/// comes, and those who read it agree where a head ends.
///
/// # Panics
/// If one of these does not hold.
pub fn request(bytes: &[u8]) {
    listener::read_anything(bytes);
}

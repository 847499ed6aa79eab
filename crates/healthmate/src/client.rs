//! The client side of the wire: one signed-in connection, and when to come back after it was cut.
//!
//! `replay`, `waveform` and `watch` are built on it; so are the demo's devices.

mod backoff;
mod connection;
mod error;
mod reconnect;
mod rest;
mod token;

#[cfg(test)]
pub(crate) mod scripted_peer;

pub(crate) use backoff::{Backoff, seed};
pub(crate) use connection::{Connection, Offsets, Received, Target};
pub(crate) use error::ClientError;
pub(crate) use reconnect::{Link, Reconnect};
pub(crate) use rest::Rest;
pub(crate) use token::{Token, TokenSource};

/// An address for a refusal: a user and a password in it are left out.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    let user = host.rfind('@').map_or(0, |at| at + 1);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{}", &rest[user..])
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        for (url, expected) in [
            ("ws://127.0.0.1:1/x@y", "ws://127.0.0.1:1/x@y"),
            ("ws://user:secret@h:1/x", "ws://h:1/x"),
            ("http://a@b:secret@h", "http://h"),
            ("user:secret@h", "h"),
            ("", ""),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}

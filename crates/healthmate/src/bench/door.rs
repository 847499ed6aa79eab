//! How a connection of the load gets in: the upgrade, and for HealthMate the token and the subscriptions.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::json;

use super::clock;
use super::net::{Net, Received};

/// How long a server may take to let somebody in, in seconds.
const PATIENCE_S: f64 = 30.0;

/// Somebody who wants in.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    path: String,
    /// What they say as soon as they may.
    words: Vec<String>,
}

impl Guest {
    /// A user of HealthMate who subscribes to topics, and to the waveforms in them if told so.
    pub(crate) fn of_health(token: &str, topics: &[String], waveforms: bool) -> Self {
        let include: &[&str] = if waveforms { &["waveform"] } else { &[] };
        let mut words = vec![json!({ "type": "authenticate", "token": token }).to_string()];
        words.extend(
            topics
                .iter()
                .map(|topic| json!({ "type": "subscribe", "topic": topic, "include": include }).to_string()),
        );
        Self { path: "/ws/combined".to_owned(), words }
    }

    /// A connection to a peer, whose path says all.
    pub(crate) fn of_peer(path: String) -> Self {
        Self { path, words: Vec::new() }
    }
}

/// Lets guests in, `together` at a time, and returns the number of the first one's socket. `on_reply` is told the
/// message of each success.
pub(crate) fn admit(
    net: &mut Net,
    address: SocketAddr,
    guests: &[Guest],
    together: usize,
    mut on_reply: impl FnMut(usize, &[u8]),
) -> anyhow::Result<usize> {
    let mut first = None;
    let (mut waiting, mut inside, mut asked) = (vec![0; guests.len()], 0, 0);
    let mut quiet_since = clock::nanos();
    while inside < guests.len() {
        while asked < guests.len() && asked - inside < together {
            let number = net.connect(address, &guests[asked].path)?;
            first.get_or_insert(number);
            waiting[asked] = guests[asked].words.len();
            asked += 1;
        }
        let before = inside;
        let base = first.unwrap_or(0);
        net.turn(Duration::ZERO, |sockets, number, received| {
            let Some(guest) = number.checked_sub(base) else { return Ok(()) };
            match received {
                Received::Upgraded => {
                    sockets.send_all(number, guests[guest].words.iter().map(String::as_str))?;
                    inside += usize::from(waiting[guest] == 0);
                }
                Received::Message(message) if waiting[guest] > 0 && is_success(message)? => {
                    waiting[guest] -= 1;
                    inside += usize::from(waiting[guest] == 0);
                    on_reply(guest, message);
                }
                Received::Message(_) => {}
            }
            Ok(())
        })?;
        if inside > before {
            quiet_since = clock::nanos();
        }
        let quiet = clock::seconds(quiet_since, clock::nanos());
        ensure!(quiet < PATIENCE_S, "the server let nobody in for {quiet:.0} s");
    }
    Ok(first.unwrap_or(0))
}

/// Whether the message says that a token or a subscription was accepted.
///
/// # Errors
/// If it says that one was refused.
fn is_success(message: &[u8]) -> anyhow::Result<bool> {
    const TYPE: &[u8] = b"{\"type\":\"";
    let kind = message.strip_prefix(TYPE).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b'"').next().unwrap_or_default();
    match kind {
        b"authentication_success" | b"subscription_success" => Ok(true),
        b"authentication_failed" | b"subscription_denied" | b"error" => {
            bail!("the server answered {}", String::from_utf8_lossy(message))
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_apart() {
        assert!(is_success(br#"{"type":"subscription_success","timestamp":""}"#).expect("good"));
        assert!(!is_success(br#"{"type":"connection_established"}"#).expect("neither"));
        assert!(is_success(br#"{"type":"subscription_denied"}"#).is_err());
    }
}

//! One example of every message and of every optional shape, as it goes over the wire.
//!
//! The files in `fixtures/` are what other languages test against; the AsyncAPI document and `docs/protocol.md` show
//! them. They are written by hand and never by a generator, so that a change of the wire is a change somebody made.

/// One example message.
#[derive(Clone, Copy, Debug)]
pub struct Fixture {
    /// The file's name without `.json`: the message's `type`, and after a hyphen what is special about this one.
    pub name: &'static str,
    /// The message, indented for people.
    pub text: &'static str,
}

impl Fixture {
    /// The message's type, as the file's name says it.
    pub fn message_type(&self) -> &'static str {
        self.name.split_once('-').map_or(self.name, |(message_type, _)| message_type)
    }

    /// What is special about this one, in words; empty for the plain example.
    pub fn variant(&self) -> String {
        self.name.split_once('-').map_or_else(String::new, |(_, variant)| variant.replace('-', " "))
    }
}

macro_rules! fixtures {
    ($folder:literal: $($name:literal,)*) => {
        &[$(Fixture {
            name: $name,
            text: include_str!(concat!("../fixtures/", $folder, "/", $name, ".json")),
        },)*]
    };
}

/// What clients send, from `fixtures/client`.
pub const CLIENT: &[Fixture] = fixtures! { "client":
    "authenticate",
    "authenticate-alias",
    "authenticate-resume",
    "subscribe",
    "subscribe-own",
    "subscribe-notifications",
    "subscribe-resume",
    "subscribe-latest",
    "subscribe-acknowledge",
    "subscribe-alias",
    "unsubscribe",
    "unsubscribe-alias",
    "ping",
    "ping-bare",
    "health_update",
    "health_update-full",
    "health_update-batch",
    "get_health_data",
    "get_health_data-filtered",
    "get_health_data-alias",
    "acknowledge",
    "health_waveform",
    "health_waveform-full",
    "get_presence",
};

/// What the server sends, from `fixtures/server`.
pub const SERVER: &[Fixture] = fixtures! { "server":
    "connection_established",
    "authentication_success",
    "authentication_success-care-team",
    "authentication_success-resumed",
    "authentication_success-not-resumed",
    "authentication_failed",
    "authentication_failed-retry",
    "authentication_failed-token-ended",
    "subscription_success",
    "subscription_success-latest",
    "subscription_success-complete",
    "subscription_success-gap-retention",
    "subscription_success-gap-new-epoch",
    "subscription_success-gap-new-epoch-whole-log",
    "subscription_success-gap-ahead-of-log",
    "subscription_denied",
    "subscription_denied-topic-not-served",
    "subscription_denied-chat-not-served",
    "subscription_denied-access-ended",
    "subscription_denied-not-acknowledged",
    "unsubscription_success",
    "pong",
    "pong-bare",
    "heartbeat",
    "heartbeat-no-topics",
    "reconnect",
    "token_expiring",
    "acknowledgment",
    "acknowledgment-batch",
    "acknowledgment-duplicate",
    "acknowledgment-converted",
    "health_update",
    "health_update-full",
    "health_update-converted",
    "health_waveform",
    "health_waveform-full",
    "notification",
    "notification-officer",
    "events_merged",
    "presence_update",
    "presence_update-left",
    "presence_response",
    "presence_response-nobody",
    "health_data_response",
    "health_data_response-last-page",
    "health_data_response-empty",
    "error",
    "error-field",
    "error-retry",
    "error-no-request",
};

#[cfg(test)]
mod tests;

//! What a session is held to.

use std::time::Duration;

use healthmate_care::{Backoff, Rate};
use healthmate_protocol::TopicKind;

/// The limits of one session.
#[derive(Clone, Debug)]
pub struct Options {
    /// How soon a token must be accepted. Default 10 s.
    pub authenticate_within: Duration,
    /// How often a heartbeat goes out. Default 30 s.
    pub heartbeat_interval: Duration,
    /// How long nothing may come from the client. Default 1 h.
    pub idle_timeout: Duration,
    /// For how long a token is good past its end, for clocks that differ. Default 5 s.
    pub token_leeway: Duration,
    /// How long before its token ends the client is told so; nothing for not at all. Default 60 s.
    pub warn_before: Duration,
    /// How long after that end, and its leeway, a fresh token may come. Default 25 s.
    pub expiry_grace: Duration,
    /// After how long a silence the client is sent a WebSocket ping. Default 20 s.
    pub ping_after: Duration,
    /// After how long a silence the client counts as gone. Default 45 s.
    pub gone_after: Duration,
    /// How often one connection may send a command. Default 1000 times a second, 2000 at once.
    pub commands: Rate,
    /// How many topics one connection may hear. Default 128.
    pub topics: usize,
    /// How many requests may wait for the store. Default 64.
    pub pending_requests: usize,
    /// How events that must be acknowledged are sent again.
    pub redelivery: Redelivery,
    /// The largest message, and all that is kept while a token is checked, in bytes. Default 64 KiB.
    pub max_message_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            authenticate_within: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_hours(1),
            token_leeway: Duration::from_secs(5),
            warn_before: Duration::from_mins(1),
            expiry_grace: Duration::from_secs(25),
            ping_after: Duration::from_secs(20),
            gone_after: Duration::from_secs(45),
            commands: Rate::per_second(1000, 2000),
            topics: 128,
            pending_requests: 64,
            redelivery: Redelivery::default(),
            max_message_bytes: 64 * 1024,
        }
    }
}

/// How events that must be acknowledged are sent again.
#[derive(Clone, Copy, Debug)]
pub struct Redelivery {
    /// How long the client may take to acknowledge. Default 5 s.
    pub after: Duration,
    /// How long it may take after each further attempt: at random, up to twice as long as before. Default 5 s to
    /// 60 s.
    pub backoff: Backoff,
    /// How often they are sent again before their delivery ends. Default 5.
    pub attempts: u32,
}

impl Default for Redelivery {
    fn default() -> Self {
        let after = Duration::from_secs(5);
        Self { after, backoff: Backoff { first: after, max: Duration::from_mins(1) }, attempts: 5 }
    }
}

/// Which socket the client opened: the same session, limited to its kinds of topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/ws/health`
    Health,
    /// `/ws/chat`
    Chat,
    /// `/ws/notifications`
    Notifications,
    /// `/ws/combined`
    Combined,
}

impl Endpoint {
    /// The endpoint at this path.
    pub fn at_path(path: &str) -> Option<Self> {
        match path {
            "/ws/health" => Some(Self::Health),
            "/ws/chat" => Some(Self::Chat),
            "/ws/notifications" => Some(Self::Notifications),
            "/ws/combined" => Some(Self::Combined),
            _ => None,
        }
    }

    /// Whether topics of this kind are heard here.
    pub fn carries(self, kind: TopicKind) -> bool {
        match self {
            Self::Health => kind == TopicKind::Health,
            Self::Chat => kind == TopicKind::Chat,
            Self::Notifications => kind == TopicKind::Notifications,
            Self::Combined => true,
        }
    }
}

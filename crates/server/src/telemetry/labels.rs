//! Labels of metrics: words that are all known from the start, each with a metric of its own.

use std::fmt;

use healthmate_protocol::server::Presence;
use healthmate_protocol::{CloseCode, ErrorCode};
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Metric, Registry};

/// The states of a connection that is there, as the protocol's documentation names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// In its TLS handshake, or speaking HTTP: what a WebSocket is before its handshake is done.
    Connecting,
    /// Not authenticated yet.
    Connected,
    /// Somebody's.
    Authenticated,
    /// Lost: the session is kept, and its client may come back.
    Error,
}

/// How a subscription with `since` went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeResult {
    /// With all that was missed.
    Complete,
    /// With a gap.
    Gap,
}

/// What became of an attempt to sign in, or of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInResult {
    /// Somebody signed in.
    Succeeded,
    /// Nobody was let in.
    Refused,
    /// It came too soon after others.
    Throttled,
    /// A refresh token was exchanged.
    Renewed,
    /// A refresh token came a second time: its sign-in was ended.
    Reused,
}

/// How fetching an issuer's keys ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFetch {
    /// With keys.
    Fetched,
    /// Without: those there were stay.
    Failed,
}

impl KeyFetch {
    /// Whether there were keys.
    pub fn of(fetched: bool) -> Self {
        if fetched { Self::Fetched } else { Self::Failed }
    }
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The node holds as many as `limits.max_connections` says.
    NodeFull,
    /// More came a second than `limits.connections_per_second` says.
    Rate,
    /// It came from a web page whose origin is not allowed.
    Origin,
    /// The TLS handshake failed or took too long, or the request was no WebSocket handshake.
    Handshake,
    /// The server is about to stop.
    Stopping,
    /// The user holds as many as `limits.connections_per_user` says.
    UserFull,
    /// The client's address holds as many as `limits.connections_per_address` says.
    AddressFull,
    /// More came a second from the address than `limits.connections_per_second_per_address` says.
    AddressRate,
}

/// What came of TLS files that were replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// New connections get the new certificate.
    Loaded,
    /// They cannot be used, and the old certificate stays.
    Failed,
}

/// Why a request was refused before it reached its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRefusal {
    /// More came a second from the address than `limits.requests_per_second_per_address` says.
    AddressRate,
    /// It is no HTTP, or HTTP that two readers could understand in two ways.
    Malformed,
    /// Its head is past `limits.head_bytes`, `limits.headers_per_request` or `limits.url_bytes`.
    TooLarge,
    /// Its head, or the rest of it, did not come in time.
    Slow,
    /// Its client did not take the answer.
    NotTaken,
}

/// A label whose values are all known.
pub trait Label: Copy + fmt::Debug + Send + Sync + 'static {
    /// The name of the label.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// This value's place in [`Label::ALL`].
    fn index(self) -> usize;
    /// This value as metrics show it.
    fn text(self) -> String;
}

macro_rules! label {
    ($type:ty, $name:literal, $all:expr, $text:expr) => {
        impl Label for $type {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = $all;

            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> String {
                let text: fn(Self) -> String = $text;
                text(self)
            }
        }
    };
}

label!(
    ConnectionState,
    "state",
    &[Self::Connecting, Self::Connected, Self::Authenticated, Self::Error],
    |state| format!("{state:?}").to_lowercase()
);
label!(ResumeResult, "result", &[Self::Complete, Self::Gap], |result| {
    format!("{result:?}").to_lowercase()
});
label!(Reload, "result", &[Self::Loaded, Self::Failed], |result| format!("{result:?}").to_lowercase());
label!(KeyFetch, "result", &[Self::Fetched, Self::Failed], |result| format!("{result:?}").to_lowercase());
label!(
    RequestRefusal,
    "reason",
    &[Self::AddressRate, Self::Malformed, Self::TooLarge, Self::Slow, Self::NotTaken],
    |reason| {
        let word = match reason {
            Self::AddressRate => "address_rate",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::NotTaken => "not_taken",
        };
        word.to_owned()
    }
);
label!(
    RefusalReason,
    "reason",
    &[
        Self::NodeFull,
        Self::Rate,
        Self::Origin,
        Self::Handshake,
        Self::Stopping,
        Self::UserFull,
        Self::AddressFull,
        Self::AddressRate
    ],
    |reason| {
        let word = match reason {
            Self::NodeFull => "node_full",
            Self::Rate => "rate",
            Self::Origin => "origin",
            Self::Handshake => "handshake",
            Self::Stopping => "stopping",
            Self::UserFull => "user_full",
            Self::AddressFull => "address_full",
            Self::AddressRate => "address_rate",
        };
        word.to_owned()
    }
);
label!(
    SignInResult,
    "result",
    &[Self::Succeeded, Self::Refused, Self::Throttled, Self::Renewed, Self::Reused],
    |result| format!("{result:?}").to_lowercase()
);
label!(Presence, "presence", &[Self::Joined, Self::Left], |presence| format!("{presence:?}").to_lowercase());
label!(ErrorCode, "code", ErrorCode::ALL, |code| code.as_str().to_owned());
label!(CloseCode, "code", CloseCode::ALL, |code| code.as_u16().to_string());

/// One metric for each value of a label.
#[derive(Debug)]
pub struct By<L, M> {
    all: Box<[M]>,
    label: std::marker::PhantomData<L>,
}

impl<L: Label, M: Metric + Default + Clone> By<L, M> {
    pub(super) fn register(registry: &mut Registry, name: &str, help: &str) -> Self
    where
        Family<Vec<(&'static str, String)>, M>: Metric,
    {
        let family = Family::<Vec<(&'static str, String)>, M>::default();
        let metric = |label: &L| family.get_or_create_owned(&vec![(L::NAME, label.text())]);
        let all = L::ALL.iter().map(metric).collect();
        registry.register(name, help, family);
        Self { all, label: std::marker::PhantomData }
    }

    /// The metric of this value.
    pub fn of(&self, label: L) -> &M {
        &self.all[label.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_of_a_label_has_its_own_place() {
        fn in_order<L: Label + PartialEq>() {
            for (index, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), index, "{label:?}");
            }
        }
        in_order::<ConnectionState>();
        in_order::<ResumeResult>();
        in_order::<RefusalReason>();
        in_order::<SignInResult>();
        in_order::<KeyFetch>();
        in_order::<RequestRefusal>();
        in_order::<Reload>();
        in_order::<Presence>();
        in_order::<ErrorCode>();
        in_order::<CloseCode>();
    }
}

//! `[limits]`: how much one client may ask for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network::{Network, loopback};
use super::problem::Findings;

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// How much one client may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// The largest WebSocket message taken, in bytes: 1 KiB to 16 MiB. Default 64 KiB.
    pub max_message_bytes: u32,
    /// How soon a connection must authenticate, in seconds: 1 to 300. Default 10.
    pub authenticate_within_s: u32,
    /// How often the server sends `heartbeat`, in seconds: 1 to 300. Default 30.
    pub heartbeat_interval_s: u32,
    /// After how long a silence the client is sent a WebSocket ping, in seconds: 1 to 1800. Default 20.
    pub ping_after_s: u32,
    /// After how long a silence the client counts as gone, in seconds: 2 to 3600, and more than `ping_after_s`.
    /// Default 45.
    pub gone_after_s: u32,
    /// After how long without a message from the client a connection is closed, in seconds: 10 to 86400, and more
    /// than `heartbeat_interval_s`. Default 3600.
    pub idle_timeout_s: u32,
    /// How long TLS and the WebSocket handshake, or a request's head, may take, and how long a connection may wait for
    /// the next request, in seconds: 1 to 60. Default 10.
    pub handshake_timeout_s: u32,
    /// How long an HTTP request may take to arrive and be answered, and for how long its client may take nothing of
    /// the answer, in seconds: 1 to 300. Default 30.
    pub request_timeout_s: u32,
    /// How many subscriptions one connection may hold: 1 to 10000. Default 128.
    pub topics_per_connection: u32,
    /// How many requests of one connection may wait on storage: 1 to 10000. Default 64.
    pub pending_requests_per_connection: u32,
    /// How much may wait to be written to one connection, in bytes, before it reads from the log instead: 16 KiB to
    /// 1 GiB, and at least `max_message_bytes`. Default 1 MiB.
    pub queued_bytes_per_connection: u32,
    /// How many connections the server holds: 1 to 1000000. Default 1000.
    pub max_connections: u32,
    /// How many connections one user holds: 1 to 100000. Default 5.
    pub connections_per_user: u32,
    /// Whether a connection past `connections_per_user` takes the place of that user's oldest one; otherwise it is
    /// refused. Default false.
    pub replace_oldest: bool,
    /// How many new connections the server takes a second, twice as many at once: 1 to 100000. Default 500.
    pub connections_per_second: u32,
    /// How many connections one client address holds, sockets and HTTP together: 1 to 1000000. An IPv6 client is its
    /// /64. Default 500.
    pub connections_per_address: u32,
    /// How many new connections the server takes a second from one client address, twice as many at once: 1 to 100000.
    /// Default 200.
    pub connections_per_second_per_address: u32,
    /// How many HTTP requests one client address may send a second, twice as many at once: 1 to 1000000. Default 500.
    pub requests_per_second_per_address: u32,
    /// Addresses and blocks that the three limits per address leave alone. Default: this machine.
    #[schemars(with = "Vec<String>")]
    pub exempt_networks: Vec<Network>,
    /// How many commands one connection may send a second, twice as many at once: 1 to 1000000. Default 1000.
    pub commands_per_second: u32,
    /// How long a user who has gone still counts as present, in seconds: 0 to 300. Who comes back within it was never
    /// away for others. Default 10.
    pub presence_grace_s: u32,
    /// The largest body of a request that sends measurements, in bytes: 1 KiB to 64 MiB. Default 1 MiB.
    pub body_bytes: u32,
    /// The largest body of any other request, in bytes: 1 KiB to 64 MiB. Default 64 KiB.
    pub small_body_bytes: u32,
    /// The largest head of a request, in bytes: 8 KiB to 64 KiB. Default 16 KiB.
    pub head_bytes: u32,
    /// How many headers a request may have: 16 to 1000. Default 100.
    pub headers_per_request: u32,
    /// The longest address of a request, path and query, in bytes: 256 to 8192. Default 4 KiB.
    pub url_bytes: u32,
    /// How many requests are answered over one connection before it is closed: 1 to 1000000. Default 1000.
    pub requests_per_connection: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * KIB,
            authenticate_within_s: 10,
            heartbeat_interval_s: 30,
            ping_after_s: 20,
            gone_after_s: 45,
            idle_timeout_s: 3600,
            handshake_timeout_s: 10,
            request_timeout_s: 30,
            topics_per_connection: 128,
            pending_requests_per_connection: 64,
            queued_bytes_per_connection: MIB,
            max_connections: 1000,
            connections_per_user: 5,
            replace_oldest: false,
            connections_per_second: 500,
            connections_per_address: 500,
            connections_per_second_per_address: 200,
            requests_per_second_per_address: 500,
            exempt_networks: loopback(),
            commands_per_second: 1000,
            presence_grace_s: 10,
            body_bytes: MIB,
            small_body_bytes: 64 * KIB,
            head_bytes: 16 * KIB,
            headers_per_request: 100,
            url_bytes: 4 * KIB,
            requests_per_connection: 1000,
        }
    }
}

impl LimitSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("limits.max_message_bytes", self.max_message_bytes, KIB..=16 * MIB, "bytes");
        found.range("limits.authenticate_within_s", self.authenticate_within_s, 1..=300, "seconds");
        found.range("limits.heartbeat_interval_s", self.heartbeat_interval_s, 1..=300, "seconds");
        found.range("limits.idle_timeout_s", self.idle_timeout_s, 10..=86_400, "seconds");
        found.range("limits.ping_after_s", self.ping_after_s, 1..=1800, "seconds");
        found.range("limits.gone_after_s", self.gone_after_s, 2..=3600, "seconds");
        found.range("limits.connections_per_user", self.connections_per_user, 1..=100_000, "");
        found.range("limits.connections_per_second", self.connections_per_second, 1..=100_000, "");
        found.range("limits.connections_per_address", self.connections_per_address, 1..=1_000_000, "");
        let opening = self.connections_per_second_per_address;
        found.range("limits.connections_per_second_per_address", opening, 1..=100_000, "");
        let requests = self.requests_per_second_per_address;
        found.range("limits.requests_per_second_per_address", requests, 1..=1_000_000, "");
        found.range("limits.commands_per_second", self.commands_per_second, 1..=1_000_000, "");
        found.range("limits.handshake_timeout_s", self.handshake_timeout_s, 1..=60, "seconds");
        found.range("limits.request_timeout_s", self.request_timeout_s, 1..=300, "seconds");
        found.range("limits.topics_per_connection", self.topics_per_connection, 1..=10_000, "");
        let pending = self.pending_requests_per_connection;
        found.range("limits.pending_requests_per_connection", pending, 1..=10_000, "");
        let queued = self.queued_bytes_per_connection;
        found.range("limits.queued_bytes_per_connection", queued, 16 * KIB..=1024 * MIB, "bytes");
        found.range("limits.max_connections", self.max_connections, 1..=1_000_000, "");
        found.range("limits.presence_grace_s", self.presence_grace_s, 0..=300, "seconds");
        self.check_requests(found);
        if self.heartbeat_interval_s >= self.idle_timeout_s {
            let message = format!(
                "is {}, must be more than limits.heartbeat_interval_s, which is {}",
                self.idle_timeout_s, self.heartbeat_interval_s
            );
            found.add("limits.idle_timeout_s", message);
        }
        if self.ping_after_s >= self.gone_after_s {
            let message = format!(
                "is {}, must be more than limits.ping_after_s, which is {}",
                self.gone_after_s, self.ping_after_s
            );
            found.add("limits.gone_after_s", message);
        }
        if queued < self.max_message_bytes {
            let message = format!(
                "is {queued}, must be at least limits.max_message_bytes, which is {}",
                self.max_message_bytes
            );
            found.add("limits.queued_bytes_per_connection", message);
        }
    }

    fn check_requests(&self, found: &mut Findings) {
        found.range("limits.body_bytes", self.body_bytes, KIB..=64 * MIB, "bytes");
        found.range("limits.small_body_bytes", self.small_body_bytes, KIB..=64 * MIB, "bytes");
        found.range("limits.head_bytes", self.head_bytes, 8 * KIB..=64 * KIB, "bytes");
        found.range("limits.headers_per_request", self.headers_per_request, 16..=1000, "");
        found.range("limits.url_bytes", self.url_bytes, 256..=8 * KIB, "bytes");
        found.range("limits.requests_per_connection", self.requests_per_connection, 1..=1_000_000, "");
    }
}

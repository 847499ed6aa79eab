//! A node's picture as text.

use std::collections::BTreeMap;

use healthmate_protocol::Timestamp;
use serde::Deserialize;

use crate::cli::output;

/// `GET /ws/status`. All but `status` is for administrators.
#[derive(Deserialize)]
pub(super) struct Node {
    status: String,
    #[serde(flatten)]
    picture: Option<Picture>,
}

#[derive(Deserialize)]
struct Picture {
    connections: BTreeMap<String, u64>,
    users_online: u64,
    subscriptions: BTreeMap<String, u64>,
    queued_bytes: u64,
    rates: Rates,
    limits: Limits,
    uptime_s: u64,
    version: String,
}

#[derive(Deserialize)]
struct Rates {
    over_s: f64,
    connections: f64,
    messages_in: f64,
    messages_out: f64,
    events: f64,
    measurements: f64,
}

#[derive(Deserialize)]
struct Limits {
    max_connections: u64,
}

/// `GET /ws/connections`.
#[derive(Deserialize)]
pub(super) struct Connections {
    connections: Vec<Connection>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Connection {
    #[serde(rename = "connection_id")]
    id: String,
    user_id: Option<String>,
    state: String,
    connected_at: Timestamp,
    last_activity: Option<Timestamp>,
    queued_bytes: u64,
    subscription_count: u64,
}

/// The node at `url`, and the connections that were asked for.
pub(super) fn page(url: &str, node: &Node, listed: &Connections, now: Timestamp) -> String {
    let mut out = match &node.picture {
        Some(picture) => summary(url, &node.status, picture),
        None => format!("{url}: {}\nThe rest is for administrators.", node.status),
    };
    out.push_str("\n\n");
    if listed.connections.is_empty() {
        out.push_str("no connections");
        return out;
    }
    let rows: Vec<_> = listed.connections.iter().map(|connection| connection.row(now)).collect();
    let heading = ["connection", "user", "state", "open", "silent", "queued", "topics"];
    out.push_str(&output::table(heading, &rows));
    if listed.next_cursor.is_some() {
        out.push_str("\n… and more: see --limit");
    }
    out
}

fn summary(url: &str, status: &str, picture: &Picture) -> String {
    let Picture { version, uptime_s, connections, limits, rates, .. } = picture;
    let in_state = |state: &str| connections.get(state).copied().unwrap_or_default();
    let subscriptions: Vec<_> =
        picture.subscriptions.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let rows = [
        (
            "connections",
            format!(
                "{} authenticated, {} connected (at most {}), {} connecting, {} lost",
                in_state("authenticated"),
                in_state("connected"),
                limits.max_connections,
                in_state("connecting"),
                in_state("error")
            ),
        ),
        ("users online", picture.users_online.to_string()),
        (
            "subscriptions",
            if subscriptions.is_empty() { "none".to_owned() } else { subscriptions.join(", ") },
        ),
        ("queued", bytes(picture.queued_bytes)),
        ("each second", format!("{} messages in, {} out", rate(rates.messages_in), rate(rates.messages_out))),
        ("", format!("{} measurements, {} events", rate(rates.measurements), rate(rates.events))),
        ("", format!("{} new connections (over {:.0} s)", rate(rates.connections), rates.over_s)),
    ];
    let rows: Vec<_> = rows.iter().map(|(name, value)| format!("{name:<13}  {value}")).collect();
    format!("{url}: {status}, HealthMate {version}, up {}\n\n{}", span(*uptime_s), rows.join("\n"))
}

impl Connection {
    fn row(&self, now: Timestamp) -> [String; 7] {
        let since = |time: Timestamp| span(u64::try_from(now.millis_since(time) / 1000).unwrap_or_default());
        [
            self.id.clone(),
            self.user_id.clone().unwrap_or_else(|| "-".to_owned()),
            self.state.clone(),
            since(self.connected_at),
            self.last_activity.map_or("-".to_owned(), since),
            bytes(self.queued_bytes),
            self.subscription_count.to_string(),
        ]
    }
}

/// A number a second, as short as it can be read.
fn rate(number: f64) -> String {
    if number == 0.0 || number >= 10.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(status: serde_json::Value, connections: serde_json::Value) -> String {
        let node = serde_json::from_value(status).expect("a status");
        let listed = serde_json::from_value(connections).expect("a page");
        page("ws://server", &node, &listed, "2026-11-23T07:00:00Z".parse().expect("valid"))
    }

    #[test]
    fn an_administrator_sees_the_node() {
        let status = json!({
            "status": "ok", "connections": { "connecting": 1, "connected": 2, "authenticated": 930, "error": 4 },
            "users_online": 310, "subscriptions": { "health": 1800 }, "queued_bytes": 3_500_000,
            "rates": { "over_s": 58.2, "connections": 0.25, "messages_in": 931.4, "messages_out": 5200.0,
                       "events": 400.0, "measurements": 400.0 },
            "limits": { "max_connections": 1000 }, "uptime_s": 93_784, "version": "0.1.0", "epoch": "e",
        });
        let connections = json!({ "next_cursor": "b", "connections": [
            { "connection_id": "a", "user_id": "ana", "state": "authenticated", "queued_bytes": 2048,
              "connected_at": "2026-11-23T05:58:00Z", "last_activity": "2026-11-23T06:59:48Z",
              "subscription_count": 2 },
            { "connection_id": "b", "state": "connected", "queued_bytes": 0, "subscription_count": 0,
              "connected_at": "2026-11-23T06:59:57Z" },
        ] });
        insta::assert_snapshot!(shown(status, connections), @"
        ws://server: ok, HealthMate 0.1.0, up 1 d 2 h

        connections    930 authenticated, 2 connected (at most 1000), 1 connecting, 4 lost
        users online   310
        subscriptions  1800 health
        queued         3.3 MiB
        each second    931 messages in, 5200 out
                       400 measurements, 400 events
                       0.2 new connections (over 58 s)

        connection  user  state          open       silent  queued   topics
        a           ana   authenticated  1 h 2 min  12 s    2.0 KiB  2
        b           -     connected      3 s        -       0 B      0
        … and more: see --limit
        ");
    }

    #[test]
    fn others_see_whether_it_is_up_and_their_own() {
        let text = shown(json!({ "status": "stopping" }), json!({ "connections": [] }));
        insta::assert_snapshot!(text, @"
        ws://server: stopping
        The rest is for administrators.

        no connections
        ");
    }
}

//! Coming back: stale state and events are fresh state, over both stores, under load.

use healthmate_protocol::client::SubscribeSince;
use healthmate_protocol::server::{GapReason, Resumed};
use healthmate_protocol::{Epoch, Offset, ServerMessage, SessionId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::client::{Came, Client};
use crate::server::{StoreKind, TestServer};

/// How a watcher's connection ends, after how many events.
#[derive(Clone, Debug)]
struct Cut {
    after: usize,
    politely: bool,
    /// Whether the watcher names its session when it comes back.
    to_session: bool,
}

/// Watches `health:ana` through all the cuts, until it has seen `total` events; returns the offsets it saw.
async fn watch(server: &TestServer, cuts: Vec<Cut>, total: u64) -> Vec<u64> {
    let mut seen: Vec<u64> = Vec::new();
    let mut cuts = cuts.into_iter();
    let mut session = None;
    while seen.last() != Some(&total) {
        let cut = cuts.next().unwrap_or(Cut { after: usize::MAX, politely: true, to_session: false });
        let last = seen.last().copied().unwrap_or(0);
        let mut client = open(server, &mut session, cut.to_session, last).await;
        let mut left = cut.after;
        while left > 0 && seen.last() != Some(&total) {
            let Came::Message(envelope) = client.come().await else { panic!("closed by the server") };
            if let Some(offset) = envelope.offset {
                seen.push(offset.0);
                left -= 1;
            }
        }
        end(client, cut.politely).await;
    }
    seen
}

/// Connects, to the session of the connection before if `to_session`, and hears the topic from `last` on.
async fn open(server: &TestServer, session: &mut Option<SessionId>, to_session: bool, last: u64) -> Client {
    let mut client = Client::open(&server.url("/ws/health")).await;
    let mut message = json!({ "type": "authenticate", "token": server.token("nora") });
    if let Some(session) = session.as_ref().filter(|_| to_session) {
        message["session_id"] = json!(session);
        message["offsets"] = json!({ "health:ana": last });
    }
    client.send(&message.to_string()).await;
    let ServerMessage::AuthenticationSuccess(success) = client.next().await else { panic!("not let in") };
    *session = Some(success.session_id);
    let started = if success.resumed == Some(true) {
        match client.next().await {
            ServerMessage::SubscriptionSuccess(started) => started,
            other => panic!("the session does not go on: {other:?}"),
        }
    } else {
        let since = SubscribeSince { epoch: server.app.store.epoch(), offset: Offset(last) };
        client.subscribe("health:ana", Some(&since)).await
    };
    assert_eq!(started.resumed, Some(Resumed::Complete));
    client
}

async fn end(mut client: Client, politely: bool) {
    if politely {
        // The server may have events on the way; what matters is that it hears the close.
        drop(client.socket.close(None).await);
    }
    drop(client);
}

fn cut() -> impl Strategy<Value = Cut> {
    (0usize..40, any::<bool>(), any::<bool>()).prop_map(|(after, politely, to_session)| Cut {
        after,
        politely,
        to_session,
    })
}

/// However often and wherever watchers are cut while two devices keep sending, each sees every event once, in order.
fn watchers_miss_nothing(kind: StoreKind, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let strategy = (
        prop::collection::vec(prop::collection::vec(cut(), 0..6), 3),
        prop::collection::vec(1u32..20, 10..30),
    );
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(watchers, batches)| {
            runtime.block_on(async {
                let server = TestServer::start_with(kind, |settings| {
                    // So little room that slow moments make readers fall back to the log.
                    settings.limits.queued_bytes_per_connection = 4096;
                })
                .await;
                let total: u64 = 2 * batches.iter().map(|size| u64::from(*size)).sum::<u64>();
                let send = |user: &'static str| {
                    let (server, batches) = (&server, &batches);
                    async move {
                        let mut sender = server.connect(user).await;
                        for size in batches {
                            sender.record(0..*size).await;
                        }
                    }
                };
                let watched = futures_util::future::join_all(
                    watchers.iter().map(|cuts| watch(&server, cuts.clone(), total)),
                );
                let (seen, (), ()) = tokio::join!(watched, send("ana"), send("watch-ana"));
                for offsets in seen {
                    prop_assert_eq!(&offsets, &(1..=total).collect::<Vec<_>>());
                }
                server.stop().await;
                Ok(())
            })
        })
        .unwrap_or_else(|error| panic!("{kind:?}: {error}"));
}

#[test]
fn watchers_miss_nothing_over_memory() {
    watchers_miss_nothing(StoreKind::Memory, 24);
}

#[test]
fn watchers_miss_nothing_over_sqlite() {
    watchers_miss_nothing(StoreKind::Sqlite, 12);
}

#[tokio::test]
async fn a_gap_is_told_exactly() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let epoch = server.app.store.epoch();
        let mut ana = server.connect("ana").await;
        ana.record(0..10).await;
        server.app.store.trim(server.app.clock.now().plus_millis(1000), 4).await.expect("trimmed");
        ana.record(0..2).await;
        let other = Epoch::new("another").expect("valid");
        let cases = [
            (&epoch, 2, Resumed::Gap, Some((3, 4)), Some(GapReason::Retention), 5),
            (&epoch, 6, Resumed::Complete, None, None, 7),
            (&epoch, 99, Resumed::Gap, Some((1, 4)), Some(GapReason::AheadOfLog), 5),
            (&other, 6, Resumed::Gap, Some((1, 4)), Some(GapReason::NewEpoch), 5),
        ];
        for (epoch, offset, resumed, gone, reason, first) in cases {
            let mut nora = server.connect("nora").await;
            let since = SubscribeSince { epoch: epoch.clone(), offset: Offset(offset) };
            let started = nora.subscribe("health:ana", Some(&since)).await;
            assert_eq!((started.head, started.resumed, started.reason), (Offset(12), Some(resumed), reason));
            assert_eq!(started.from.zip(started.to).map(|(from, to)| (from.0, to.0)), gone);
            let expected: Vec<u64> = (first..=12).collect();
            assert_eq!(nora.offsets(expected.len()).await, expected);
        }
        server.stop().await;
    }
}

/// A reader that stops reading costs no more than its budget, slows nobody, and has every event once it reads on.
#[tokio::test]
async fn a_slow_reader_has_everything_in_the_end() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |settings| {
            settings.limits.queued_bytes_per_connection = 65_536;
        })
        .await;
        let mut slow = server.connect("nora").await;
        slow.subscribe("health:ana", None).await;
        let mut quick = server.connect("nora").await;
        quick.subscribe("health:ana", None).await;
        let mut device = server.connect("watch-ana").await;
        let total = 200 * 300;
        let reading = tokio::spawn(async move { quick.offsets(total).await.len() });
        for _ in 0..200 {
            // About 20 MB in all: more than the sockets hold between the server and a reader that does not read.
            device.record(0..300).await;
        }
        assert_eq!(reading.await.expect("read"), total);
        let expected: Vec<u64> = (1..=total as u64).collect();
        assert_eq!(slow.offsets(total).await, expected);
        server.stop().await;
    }
}

/// They share what they read from the log, each from where it stopped; none costs more than its budget and a page.
#[tokio::test]
async fn many_readers_that_stop_stay_within_their_budgets_and_miss_nothing() {
    let (readers, budget, page) = (16, 65_536, 256 * 512);
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |settings| {
            settings.limits.queued_bytes_per_connection = budget;
            settings.limits.connections_per_user = readers;
        })
        .await;
        let mut device = server.connect("watch-ana").await;
        let mut stopped = Vec::new();
        for _ in 0..readers {
            let mut reader = server.connect("nora").await;
            // Each begins elsewhere.
            let head = reader.subscribe("health:ana", None).await.head.0;
            stopped.push((reader, head));
            device.record(0..7).await;
        }
        let total = 7 * u64::from(readers) + 20 * 300;
        for _ in 0..20 {
            device.record(0..300).await;
            let queued = server.app.metrics.queued_bytes.get();
            assert!(queued <= i64::from(readers * (budget + page)), "{queued} bytes wait");
        }
        for (mut reader, head) in stopped {
            let expected: Vec<u64> = (head + 1..=total).collect();
            assert_eq!(reader.offsets(expected.len()).await, expected);
        }
        server.stop().await;
    }
}

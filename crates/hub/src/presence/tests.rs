use std::sync::OnceLock;

use super::*;

mod model;

const GRACE: Duration = Duration::from_secs(10);

/// Tests read the monotonic clock once, and count from there.
fn at(seconds: u64) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "an origin to count from; its value is never looked at")]
    let start = *START.get_or_init(Instant::now);
    start + Duration::from_secs(seconds)
}

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds as i64 * 1_000_000)
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("valid")
}

fn topic(name: &str) -> Topic {
    Topic::health(user(name))
}

/// What `ana` does with `health:p`, or what was announced of it: a second and a word each.
type Script<'a> = &'a [(u64, &'a str)];

fn announced(grace: Duration, script: Script<'_>) -> Vec<(u64, &'static str)> {
    let (mut presence, mut heard) = (Presence::new(grace), Vec::new());
    let (ana, p) = (user("ana"), topic("p"));
    for &(second, word) in script {
        let mut changes = presence.due(at(second));
        match word {
            "connect" => presence.connect(&ana, time(second)),
            "disconnect" => presence.disconnect(&ana, at(second)),
            "watch" => changes.extend(presence.watch(&p, &ana)),
            "unwatch" => presence.unwatch(&p, &ana, at(second)),
            "revoke" => changes.extend(presence.revoke(&p, &ana)),
            "late" => changes.extend(presence.due(at(second))),
            other => panic!("{other}"),
        }
        for change in changes {
            assert_eq!((&change.topic, &change.user), (&p, &ana));
            heard.push((second, if change.joined { "joined" } else { "left" }));
        }
    }
    heard
}

#[test]
fn what_is_announced() {
    let table: &[(Script, Script)] = &[
        (&[(0, "connect"), (1, "watch")], &[(1, "joined")]),
        // Many connections of one user are one presence.
        (&[(1, "watch"), (2, "watch"), (3, "unwatch"), (99, "late")], &[(1, "joined")]),
        (
            &[(1, "watch"), (2, "watch"), (3, "unwatch"), (4, "unwatch"), (14, "late")],
            &[(1, "joined"), (14, "left")],
        ),
        // Who goes has ten seconds, and not one less.
        (&[(1, "watch"), (2, "unwatch"), (11, "late")], &[(1, "joined")]),
        (&[(1, "watch"), (2, "unwatch"), (12, "late")], &[(1, "joined"), (12, "left")]),
        (&[(1, "watch"), (2, "unwatch"), (11, "watch"), (99, "late")], &[(1, "joined")]),
        (&[(1, "watch"), (2, "unwatch"), (12, "watch")], &[(1, "joined"), (12, "left"), (12, "joined")]),
        // Each absence is counted from its own beginning.
        (
            &[(1, "watch"), (2, "unwatch"), (8, "watch"), (9, "unwatch"), (18, "late"), (19, "late")],
            &[(1, "joined"), (19, "left")],
        ),
        // A left is announced once.
        (&[(1, "watch"), (2, "unwatch"), (12, "late"), (30, "late")], &[(1, "joined"), (12, "left")]),
        // There is no grace for who has lost access, once it is lost on every connection.
        (&[(1, "watch"), (2, "revoke"), (99, "late")], &[(1, "joined"), (2, "left")]),
        (&[(1, "watch"), (1, "watch"), (2, "revoke"), (3, "revoke")], &[(1, "joined"), (3, "left")]),
        (
            &[(1, "watch"), (1, "watch"), (2, "revoke"), (3, "unwatch"), (13, "late")],
            &[(1, "joined"), (13, "left")],
        ),
        (&[(1, "watch"), (2, "unwatch"), (3, "revoke"), (12, "late")], &[(1, "joined"), (12, "left")]),
        (&[(1, "watch"), (2, "revoke"), (3, "watch")], &[(1, "joined"), (2, "left"), (3, "joined")]),
        // What was never begun does not end.
        (&[(1, "unwatch"), (2, "revoke"), (3, "disconnect"), (99, "late")], &[]),
    ];
    for (script, expected) in table {
        assert_eq!(announced(GRACE, script), *expected, "{script:?}");
    }
}

#[test]
fn without_grace_a_leave_is_due_at_once() {
    let script = [(1, "watch"), (2, "unwatch"), (2, "late"), (2, "watch")];
    assert_eq!(announced(Duration::ZERO, &script), [(1, "joined"), (2, "left"), (2, "joined")]);
}

#[test]
fn who_comes_back_in_time_was_there_all_along() {
    let mut presence = Presence::new(GRACE);
    let (ana, p, q) = (user("ana"), topic("p"), topic("q"));
    let seen =
        |presence: &Presence, topic| presence.seen(topic, &ana).map(|seen| (seen.since, seen.watching));
    assert_eq!(seen(&presence, &p), None);
    presence.connect(&ana, time(5));
    assert_eq!(seen(&presence, &p), Some((time(5), false)));
    presence.watch(&p, &ana);
    assert_eq!((seen(&presence, &p), seen(&presence, &q)), (Some((time(5), true)), Some((time(5), false))));
    presence.unwatch(&p, &ana, at(20));
    presence.disconnect(&ana, at(20));
    assert_eq!(seen(&presence, &p), Some((time(5), true)), "it may come back");
    presence.connect(&ana, time(29));
    assert_eq!(presence.due(at(30)).len(), 1, "it came back, and does not watch any more");
    assert_eq!(seen(&presence, &p), Some((time(5), false)));
    presence.connect(&ana, time(31));
    presence.disconnect(&ana, at(32));
    assert_eq!((presence.next_due(), presence.users()), (None, 1), "there is another connection");
    presence.disconnect(&ana, at(33));
    assert_eq!(presence.next_due(), Some(at(43)));
    assert!(presence.due(at(43)).is_empty(), "it watched nothing");
    assert_eq!((seen(&presence, &p), presence.users()), (None, 0));
    presence.connect(&ana, time(50));
    assert_eq!(seen(&presence, &p), Some((time(50), false)));
}

#[test]
fn leaves_come_in_the_order_of_their_time() {
    let mut presence = Presence::new(GRACE);
    for (name, leaves) in [("c", 1), ("a", 3), ("b", 2)] {
        presence.watch(&topic("p"), &user(name));
        presence.unwatch(&topic("p"), &user(name), at(leaves));
    }
    assert_eq!(presence.next_due(), Some(at(11)));
    let gone: Vec<_> = presence.due(at(12)).into_iter().map(|change| change.user).collect();
    assert_eq!(gone, [user("c"), user("b")]);
    assert_eq!(presence.next_due(), Some(at(13)));
}

/// Nothing is kept of who is gone, and the memory of a crowd comes back.
#[test]
fn a_crowd_leaves_nothing() {
    let mut presence = Presence::new(GRACE);
    let names: Vec<_> = (0..10_000).map(|number| user(&format!("u{number}"))).collect();
    for name in &names {
        presence.connect(name, time(0));
        presence.watch(&topic("p"), name);
    }
    for name in &names {
        presence.unwatch(&topic("p"), name, at(1));
        presence.disconnect(name, at(1));
    }
    assert_eq!(presence.due(at(11)).len(), names.len());
    assert_eq!((presence.users.len(), presence.watchers.len(), presence.leaving.len()), (0, 0, 0));
    assert!(presence.users.capacity() <= 64 && presence.watchers.capacity() <= 64);
}

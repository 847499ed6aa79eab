use std::collections::BTreeMap;
use std::sync::OnceLock;

use healthmate_care::Role;
use healthmate_protocol::{Epoch, Offset};
use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "an origin to count from; its value is never looked at")]
    let start = *START.get_or_init(Instant::now);
    start + Duration::from_secs(seconds)
}

fn lost(number: usize, user: usize) -> Lost {
    let id = UserId::new(&format!("u{user}")).expect("valid");
    let since = SubscribeSince { epoch: Epoch::new("e").expect("valid"), offset: Offset(3) };
    let topic = LostTopic {
        topic: Topic::health(id.clone()),
        interest: Interest::default(),
        acknowledge: false,
        since,
    };
    Lost {
        session_id: SessionId::new(&format!("{number:x}")).expect("valid"),
        connection_id: ConnectionId::new(&format!("c{number:x}")).expect("valid"),
        user: Arc::new(User { id, role: Role::Nurse, name: String::new(), device_of: None, active: true }),
        endpoint: Endpoint::Health,
        lost_at: Timestamp::from_micros(0),
        last_activity: Timestamp::from_micros(0),
        topics: vec![topic],
        history: History::default(),
    }
}

fn sessions(window: u64, places: usize) -> LostSessions {
    let bytes = lost(0, 0).bytes() * places;
    LostSessions::new(LostOptions { window: Duration::from_secs(window), bytes, recovery_attempts: 5 })
}

fn take(sessions: &mut LostSessions, seconds: u64, number: usize, user: usize) -> bool {
    let Lost { session_id, user, .. } = lost(number, user);
    sessions.take(at(seconds), &session_id, &user.id).is_some()
}

#[test]
fn a_session_is_kept_up_to_its_window_and_given_once() {
    let mut kept = sessions(120, 9);
    for number in 0..3 {
        assert_eq!(kept.keep(at(0), lost(number, 1)), 0);
    }
    assert!(!take(&mut kept, 1, 0, 2), "somebody else's");
    assert!(take(&mut kept, 1, 0, 1));
    assert!(!take(&mut kept, 1, 0, 1), "only once");
    assert!(take(&mut kept, 119, 1, 1));
    assert!(!take(&mut kept, 120, 2, 1), "its time is over");
    assert_eq!((kept.expire(at(120)), kept.len(), kept.bytes()), (1, 0, 0));
}

#[test]
fn the_oldest_goes_where_memory_is_full_and_nothing_is_kept_without_a_window() {
    let mut kept = sessions(120, 2);
    assert_eq!(kept.keep(at(0), lost(0, 1)), 0);
    assert_eq!(kept.keep(at(1), lost(1, 1)), 0, "at the limit");
    assert_eq!(kept.keep(at(2), lost(2, 1)), 1, "one past it");
    assert!(!take(&mut kept, 3, 0, 1) && take(&mut kept, 3, 1, 1));
    let mut none = sessions(0, 2);
    assert_eq!((none.keep(at(0), lost(0, 1)), none.len()), (1, 0));
}

#[test]
fn sessions_that_are_extended_live_on_and_those_tried_too_often_end() {
    let mut kept = sessions(120, 9);
    kept.keep(at(0), lost(0, 1));
    kept.keep(at(0), lost(1, 2));
    assert_eq!(kept.extend(at(100), &lost(0, 1).user.id).len(), 1);
    assert_eq!((kept.expire(at(130)), kept.len()), (1, 1));
    for attempt in 1..=5 {
        assert_eq!(kept.attempt(at(130)), (vec![lost(0, 1).user.id.clone()], 0), "{attempt}");
    }
    assert_eq!(kept.attempt(at(130)), (vec![], 1));
    assert!(kept.is_empty());
}

#[test]
fn what_is_over_is_picked() {
    let mut kept = sessions(120, 9);
    for user in 0..3 {
        kept.keep(at(0), lost(user, user));
    }
    assert_eq!(kept.end(|lost| lost.user.id.as_str() != "u1"), 2);
    assert_eq!(
        kept.iter(at(20)).map(|(lost, left)| (lost.user.id.to_string(), left.as_secs())).collect::<Vec<_>>(),
        [("u1".to_owned(), 100)]
    );
}

proptest! {
    /// Held against a simple model: every session is given back once, until its time is over, and what is counted
    /// is what is there.
    #[test]
    fn what_was_kept_is_given_back_until_its_time_is_over(
        steps in prop::collection::vec((0u8..4, 0usize..6, 0u64..40), 1..100),
    ) {
        let mut kept = sessions(60, 100);
        let mut model = BTreeMap::<usize, u64>::new();
        let mut now = 0;
        for (kind, number, wait) in steps {
            now += wait;
            model.retain(|_, until| *until > now);
            match kind {
                0 | 1 => {
                    kept.keep(at(now), lost(number, number % 2));
                    model.insert(number, now + 60);
                }
                2 => prop_assert_eq!(take(&mut kept, now, number, number % 2), model.remove(&number).is_some()),
                _ => {
                    kept.extend(at(now), &lost(number, number % 2).user.id);
                    for (other, until) in &mut model {
                        if other % 2 == number % 2 {
                            *until = now + 60;
                        }
                    }
                }
            }
            kept.expire(at(now));
            prop_assert_eq!(kept.len(), model.len());
            prop_assert_eq!(kept.bytes(), model.len() * lost(0, 0).bytes());
            prop_assert_eq!(kept.iter(at(now)).count(), model.len());
        }
        kept.expire(at(now + 60));
        prop_assert!(kept.is_empty() && kept.ends.is_empty());
    }
}

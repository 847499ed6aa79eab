//! Where delivery starts, and what a returning client is told about what it missed.

use healthmate_protocol::server::{GapReason, Resumed, SubscriptionSuccess};
use healthmate_protocol::{Delivery, Offset, SubscribeSince, Topic};

use crate::input::OpenedTopic;

/// The answer to a subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// What the client is told.
    pub reply: SubscriptionSuccess,
    /// Delivery starts with the event after this one.
    pub after: Offset,
}

/// Decides how a subscription to `topic` starts, given how far its log reaches and where the client stopped.
pub fn resume(topic: &Topic, log: &OpenedTopic, since: Option<&SubscribeSince>) -> Resume {
    let before_oldest = Offset(log.oldest.0.saturating_sub(1));
    let gone = |after: Offset| (after < before_oldest).then_some((after.next(), before_oldest));
    let (after, resumed, reason, gap) = match since {
        None => (log.head, None, None, None),
        Some(since) if since.epoch != log.epoch => {
            (before_oldest, Some(Resumed::Gap), Some(GapReason::NewEpoch), gone(Offset::START))
        }
        Some(since) if since.offset > log.head => {
            (before_oldest, Some(Resumed::Gap), Some(GapReason::AheadOfLog), gone(Offset::START))
        }
        Some(since) => match gone(since.offset) {
            None => (since.offset, Some(Resumed::Complete), None, None),
            gap => (before_oldest, Some(Resumed::Gap), Some(GapReason::Retention), gap),
        },
    };
    let reply = SubscriptionSuccess {
        topic: topic.clone(),
        epoch: log.epoch.clone(),
        head: log.head,
        delivery: Delivery::Durable,
        resumed,
        from: gap.map(|(from, _)| from),
        to: gap.map(|(_, to)| to),
        reason,
    };
    Resume { reply, after }
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::{Epoch, UserId};

    use super::*;

    /// Where delivery starts, whether it is whole, from where to where events are gone, and why.
    type Answer = (u64, Option<Resumed>, Option<(u64, u64)>, Option<GapReason>);

    fn decide(oldest: u64, head: u64, since: Option<(&str, u64)>) -> Answer {
        let epoch = Epoch::new("now").expect("valid");
        let log = OpenedTopic { epoch, oldest: Offset(oldest), head: Offset(head), until: None };
        let since = since.map(|(epoch, offset)| SubscribeSince {
            epoch: Epoch::new(epoch).expect("valid"),
            offset: Offset(offset),
        });
        let topic = Topic::health(UserId::new("p").expect("valid"));
        let Resume { reply, after } = resume(&topic, &log, since.as_ref());
        assert_eq!(reply.head, Offset(head));
        (after.0, reply.resumed, reply.from.zip(reply.to).map(|(a, b)| (a.0, b.0)), reply.reason)
    }

    #[test]
    fn every_situation_has_its_answer() {
        let complete = Some(Resumed::Complete);
        let gap = Some(Resumed::Gap);
        // From now on.
        assert_eq!(decide(1, 0, None), (0, None, None, None));
        assert_eq!(decide(4, 9, None), (9, None, None, None));
        // All that was missed is still in the log, or nothing was missed.
        assert_eq!(decide(1, 9, Some(("now", 0))), (0, complete, None, None));
        assert_eq!(decide(4, 9, Some(("now", 3))), (3, complete, None, None));
        assert_eq!(decide(4, 9, Some(("now", 9))), (9, complete, None, None));
        assert_eq!(decide(10, 9, Some(("now", 9))), (9, complete, None, None));
        assert_eq!(decide(1, 0, Some(("now", 0))), (0, complete, None, None));
        // Some of it is gone.
        assert_eq!(decide(4, 9, Some(("now", 2))), (3, gap, Some((3, 3)), Some(GapReason::Retention)));
        assert_eq!(decide(10, 9, Some(("now", 0))), (9, gap, Some((1, 9)), Some(GapReason::Retention)));
        // The client's position means nothing here.
        assert_eq!(decide(1, 9, Some(("old", 5))), (0, gap, None, Some(GapReason::NewEpoch)));
        assert_eq!(decide(4, 9, Some(("old", 5))), (3, gap, Some((1, 3)), Some(GapReason::NewEpoch)));
        assert_eq!(decide(1, 9, Some(("now", 10))), (0, gap, None, Some(GapReason::AheadOfLog)));
    }

    proptest::proptest! {
        #[test]
        fn what_is_delivered_and_what_is_gone_is_all_that_was_missed(
            oldest in 1u64..20, kept in 0u64..20, since in 0u64..50, same_epoch: bool,
        ) {
            let head = oldest - 1 + kept;
            let epoch = if same_epoch { "now" } else { "old" };
            let (after, resumed, gone, reason) = decide(oldest, head, Some((epoch, since)));
            let known = if matches!(reason, Some(GapReason::NewEpoch | GapReason::AheadOfLog)) { 0 } else { since };
            let mut all: Vec<u64> = gone.map(|(from, to)| (from..=to).collect()).unwrap_or_default();
            all.extend(after + 1..=head);
            proptest::prop_assert_eq!(all, (known + 1..=head).collect::<Vec<_>>());
            proptest::prop_assert_eq!(resumed == Some(Resumed::Gap), reason.is_some());
        }
    }
}

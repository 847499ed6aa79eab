//! What an operator may see of a hub.

use healthmate_protocol::{Interest, Offset, Topic, TopicKind};

use super::{ConnectionKey, Hub, TopicKey};
use crate::topic::Mode;

/// Where a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What is heard.
    pub topic: Topic,
    /// The offset delivered last.
    pub position: Offset,
    /// The newest offset known here.
    pub head: Offset,
    /// Whether events are delivered as they come; otherwise they are being read from the log.
    pub live: bool,
}

impl Hub {
    /// The connection's subscriptions. Takes as long as their topics have subscribers: not for every message.
    pub fn subscriptions(&self, connection: ConnectionKey) -> impl Iterator<Item = Subscription> {
        let topics = self.readers.get(connection).map(|reader| reader.topics.as_slice()).unwrap_or_default();
        topics.iter().filter_map(move |key| {
            let entry = self.topics.get(*key)?;
            let held = entry.subscribers.iter().find(|subscriber| subscriber.connection == connection)?;
            let live = held.mode == Mode::Live;
            Some(Subscription { topic: entry.name.clone(), position: held.position, head: entry.head, live })
        })
    }

    /// What the connection is interested in, of a topic that it hears.
    pub fn interest(&self, connection: ConnectionKey, topic: &Topic) -> Option<Interest> {
        let key = self.names.get(topic)?;
        // A look at what the connection hears comes first: a topic may have many subscribers.
        let heard = self.readers.get(connection)?.topics.contains(key);
        heard.then(|| self.interest_in(connection, *key)).flatten()
    }

    /// The topics that the connection hears, and its interest in each.
    pub fn interests(&self, connection: ConnectionKey) -> impl Iterator<Item = (Topic, Interest)> {
        let topics = self.readers.get(connection).map(|reader| reader.topics.as_slice()).unwrap_or_default();
        topics.iter().filter_map(move |key| {
            Some((self.topics.get(*key)?.name.clone(), self.interest_in(connection, *key)?))
        })
    }

    fn interest_in(&self, connection: ConnectionKey, key: TopicKey) -> Option<Interest> {
        let mut subscribers = self.topics.get(key)?.subscribers.iter();
        Some(subscribers.find(|subscriber| subscriber.connection == connection)?.interest)
    }

    /// How many listen to each topic, by its kind.
    pub fn audiences(&self) -> impl Iterator<Item = (TopicKind, usize)> {
        self.topics.values().map(|entry| (entry.name.kind(), entry.subscribers.len()))
    }
}

#[cfg(test)]
mod tests {
    use healthmate_ws::Frame;

    use super::*;
    use crate::hub::Published;

    #[test]
    fn a_subscription_is_live_when_it_has_read_the_log() {
        let mut hub = Hub::new(1024);
        let topic: Topic = "health:p1".parse().expect("valid");
        let reader = hub.connect();
        hub.subscribe(reader, &topic, Interest::default(), Offset(3), Offset(3));
        let view = |hub: &Hub| hub.subscriptions(reader).collect::<Vec<_>>();
        let standing =
            |position, head, live| vec![Subscription { topic: topic.clone(), position, head, live }];
        assert_eq!(view(&hub), standing(Offset(3), Offset(3), false));
        hub.publish(&topic, &Published::new(Offset(4), vec![(None, Frame::text("4"))]));
        let request = hub.next_read().expect("it reads");
        assert_eq!(view(&hub), standing(Offset(3), Offset(4), false));
        hub.supply(&request, Offset(3), [(Offset(4), Frame::text("4"))], true);
        assert_eq!(view(&hub), standing(Offset(4), Offset(4), true));
        assert_eq!(hub.audiences().collect::<Vec<_>>(), [(TopicKind::Health, 1)]);
        let presence = Interest { presence: true, ..Interest::default() };
        assert_eq!(hub.interest(reader, &topic), Some(Interest::default()));
        hub.subscribe(reader, &topic, presence, Offset(4), Offset(4));
        assert_eq!(hub.interest(reader, &topic), Some(presence));
        assert_eq!(hub.interests(reader).collect::<Vec<_>>(), [(topic.clone(), presence)]);
        let other = hub.connect();
        assert_eq!((hub.interest(other, &topic), hub.interests(other).count()), (None, 0));
        hub.disconnect(reader);
        assert_eq!(hub.interest(reader, &topic), None);
        assert_eq!((view(&hub), hub.audiences().count()), (vec![], 0));
    }
}

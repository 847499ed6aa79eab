//! Who hears what: topics, subscriptions, outboxes and fan-out on one shard.

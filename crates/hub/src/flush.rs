//! Writing what waits, a few connections at a time.

use std::io;

use crate::hub::{ConnectionKey, Flow, Hub};
use crate::outbox::Progress;

/// What became of one connection's outbox.
#[derive(Debug)]
pub enum Flushed {
    /// All is written.
    Done,
    /// All is written, and newest values were held back meanwhile: call [`Hub::release`].
    Holding,
    /// The socket takes no more: call [`Hub::writable`] when it does.
    Blocked,
    /// The close frame is written: the connection is over.
    Closed,
    /// The transport failed.
    Failed(io::Error),
}

/// Which connections are to be flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Those that keep up: what waits for them is short and new.
    Live,
    /// Those whose sockets were full, or that read the log: much may wait for each.
    Late,
}

impl Hub {
    /// Whether a connection waits to be flushed.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.late.is_empty()
    }

    /// Flushes the connection that has waited longest in its queue, with one write where one is enough, and says what
    /// became of it; `None` if none waits there.
    pub fn flush(
        &mut self,
        queue: Queue,
        scratch: &mut Vec<u8>,
        mut write: impl FnMut(ConnectionKey, &[u8]) -> io::Result<usize>,
    ) -> Option<(ConnectionKey, Flushed)> {
        loop {
            let connection = match queue {
                Queue::Live => self.dirty.pop_front()?,
                Queue::Late => self.late.pop_front()?,
            };
            let Some(reader) = self.readers.get_mut(connection).filter(|reader| reader.flow != Flow::Paused)
            else {
                continue;
            };
            let before = reader.outbox.bytes();
            let result = reader.outbox.flush(scratch, |bytes| write(connection, bytes));
            self.traffic.queued_bytes -= (before - reader.outbox.bytes()) as u64;
            // A blocked connection stays marked, so that nobody queues it before its socket takes more.
            reader.dirty = matches!(result, Ok(Progress::Blocked));
            reader.flow = if reader.dirty { Flow::Blocked } else { Flow::Open };
            let holding = reader.newest.as_ref().is_some_and(|newest| newest.is_releasable());
            let behind = reader.behind > 0;
            let reader = &self.readers[connection];
            if behind && reader.has_room(self.budget_bytes) {
                self.queue_reads(connection);
            }
            let flushed = match result {
                Ok(Progress::Empty) if holding => Flushed::Holding,
                Ok(Progress::Empty) => Flushed::Done,
                Ok(Progress::Blocked) => Flushed::Blocked,
                Ok(Progress::Closed) => Flushed::Closed,
                Err(error) => Flushed::Failed(error),
            };
            return Some((connection, flushed));
        }
    }

    /// Writes nothing more to the connection until [`Hub::go_on`]: what is sent to it meanwhile goes in one write. One whose
    /// socket takes no more is left as it is.
    pub fn pause(&mut self, connection: ConnectionKey) {
        if let Some(reader) = self.readers.get_mut(connection)
            && !reader.is_blocked()
        {
            reader.flow = Flow::Paused;
        }
    }

    /// Ends a pause.
    pub fn go_on(&mut self, connection: ConnectionKey) {
        let Some(reader) = self.readers.get_mut(connection) else { return };
        if reader.flow != Flow::Paused {
            return;
        }
        reader.flow = Flow::Open;
        // Whoever came to the head of a queue meanwhile stayed marked, and is in none.
        if reader.dirty {
            self.dirty.push_back(connection);
        }
    }

    /// A blocked connection's socket takes more.
    pub fn writable(&mut self, connection: ConnectionKey) {
        if self.readers.contains_key(connection) {
            self.late.push_back(connection);
        }
    }

    /// Flushes whoever is next, as the server does while it has the time.
    #[cfg(test)]
    pub(crate) fn flush_next(
        &mut self,
        mut write: impl FnMut(ConnectionKey, &[u8]) -> io::Result<usize>,
    ) -> Option<(ConnectionKey, Flushed)> {
        let live = self.flush(Queue::Live, &mut Vec::new(), &mut write);
        live.or_else(|| self.flush(Queue::Late, &mut Vec::new(), &mut write))
    }
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::{Interest, Offset, Topic};
    use healthmate_ws::Frame;

    use super::*;
    use crate::hub::Published;
    use crate::run::Run;

    #[test]
    fn who_keeps_up_does_not_wait_for_what_others_have_missed() {
        let mut hub = Hub::new(1024);
        let readers = [hub.connect(), hub.connect()];
        let topic: Topic = "health:p1".parse().expect("valid");
        for reader in readers {
            hub.subscribe(reader, &topic, Interest::default(), Offset(0), Offset(0));
        }
        let event = |offset| Published::new(Offset(offset), vec![(None, Frame::text("event"))]);
        while let Some(request) = hub.next_read() {
            hub.supply(&request, Offset(0), [], true);
        }
        let [late, live] = readers;
        hub.publish(&topic, &event(1));
        let full = |key, bytes: &[u8]| if key == late { Ok(1) } else { Ok(bytes.len()) };
        while hub.flush(Queue::Live, &mut Vec::new(), full).is_some() {}
        // Its socket takes more before the next event comes, and all the same it is not in the way of those who wait for it.
        hub.writable(late);
        hub.publish(&topic, &event(2));
        let mut next = |queue| {
            let flushed = hub.flush(queue, &mut Vec::new(), |_, bytes| Ok(bytes.len()));
            flushed.map(|(key, _)| key)
        };
        assert_eq!([next(Queue::Live), next(Queue::Live)], [Some(live), None]);
        assert_eq!([next(Queue::Late), next(Queue::Late)], [Some(late), None]);
        // All is written: it is one of the others again.
        hub.publish(&topic, &event(3));
        assert!(hub.flush(Queue::Late, &mut Vec::new(), |_, bytes| Ok(bytes.len())).is_none());
    }

    #[test]
    fn what_comes_in_a_pause_goes_in_one_write() {
        let mut hub = Hub::new(1024);
        let reader = hub.connect();
        let flush = |hub: &mut Hub| {
            let mut writes = 0;
            while hub.flush_next(|_, bytes| Ok((writes += 1, bytes.len()).1)).is_some() {}
            writes
        };
        hub.send(reader, Frame::text("before"));
        hub.pause(reader);
        assert_eq!(flush(&mut hub), 0);
        hub.send(reader, Frame::text("within"));
        assert_eq!(flush(&mut hub), 0);
        hub.go_on(reader);
        assert_eq!(flush(&mut hub), 1);
        hub.pause(reader);
        hub.go_on(reader);
        assert_eq!(flush(&mut hub), 0, "nothing came");
        hub.send(reader, Frame::text("after"));
        assert_eq!(flush(&mut hub), 1);
    }

    #[test]
    fn what_the_log_brings_does_not_delay_what_is_new() {
        let mut hub = Hub::new(1024);
        let topic: Topic = "health:p1".parse().expect("valid");
        let reader = hub.connect();
        hub.subscribe(reader, &topic, Interest::default(), Offset(0), Offset(1));
        let request = hub.next_read().expect("it reads");
        hub.supply_run(&request, &Run::new(Offset(0), [Frame::text("old")]), true);
        assert!(hub.flush(Queue::Live, &mut Vec::new(), |_, bytes| Ok(bytes.len())).is_none());
        assert!(hub.flush(Queue::Late, &mut Vec::new(), |_, bytes| Ok(bytes.len())).is_some());
    }
}

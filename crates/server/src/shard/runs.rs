//! Pages of the log that many read at once: each is asked of the store once, and framed once.
//!
//! The log of a topic is cut into blocks of [`PAGE`](super::reads::PAGE) offsets. Whoever is behind reads the block
//! that he is in, from wherever he is in it; so readers at different places share what they have before them.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use healthmate_hub::{ReadRequest, Run};
use healthmate_protocol::{Offset, Topic};

/// How much of the log a shard keeps in memory for those who are behind, in bytes: a minute of a thousand events a second.
/// Whoever is further behind than that reads alone, which costs the store a page each.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// A block of a topic's log: its first offset is one past a multiple of the page size.
pub(super) type Block = (Topic, Offset);

/// The blocks that were read of late, and those that are being read.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    kept: RefCell<Kept>,
    /// Who waits for a block that is being read.
    waiting: RefCell<HashMap<Block, Vec<ReadRequest>>>,
}

#[derive(Debug, Default)]
struct Kept {
    runs: HashMap<Block, Rc<Run>>,
    /// The oldest first.
    order: VecDeque<Block>,
    bytes: usize,
}

impl Runs {
    /// The block, if it is here and holds what the request needs: something after its position, and all of it that
    /// is known to exist.
    pub(super) fn find(&self, block: &Block, request: &ReadRequest, end: Offset) -> Option<Rc<Run>> {
        let kept = self.kept.borrow();
        let run = kept.runs.get(block)?;
        let enough = run.last() > request.after && run.last() >= end.min(request.head);
        enough.then(|| Rc::clone(run))
    }

    /// Keeps a block; the oldest ones make room.
    pub(super) fn keep(&self, block: &Block, run: &Rc<Run>) {
        let mut kept = self.kept.borrow_mut();
        kept.forget(block);
        kept.bytes += run.bytes();
        kept.order.push_back(block.clone());
        kept.runs.insert(block.clone(), Rc::clone(run));
        while kept.bytes > KEPT_BYTES
            && let Some(oldest) = kept.order.front().cloned()
        {
            kept.forget(&oldest);
        }
    }

    /// Lets a request wait for a block; false if it is the first, who is to read it.
    pub(super) fn join(&self, block: &Block, request: ReadRequest) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let joined = waiting.contains_key(block);
        waiting.entry(block.clone()).or_default().push(request);
        joined
    }

    /// How many wait for the block.
    pub(super) fn count(&self, block: &Block) -> usize {
        self.waiting.borrow().get(block).map_or(0, Vec::len)
    }

    /// Everyone who waits for the block, which has been read.
    pub(super) fn come(&self, block: &Block) -> Vec<ReadRequest> {
        self.waiting.borrow_mut().remove(block).unwrap_or_default()
    }
}

impl Kept {
    fn forget(&mut self, block: &Block) {
        if let Some(run) = self.runs.remove(block) {
            self.bytes -= run.bytes();
            self.order.retain(|other| other != block);
        }
    }
}

#[cfg(test)]
mod tests {
    use healthmate_hub::ConnectionKey;
    use healthmate_protocol::{Delivery, UserId};
    use healthmate_ws::Frame;

    use super::*;

    fn block(first: u64) -> Block {
        (Topic::health(UserId::new("ana").expect("valid")), Offset(first))
    }

    fn request(after: u64, head: u64) -> ReadRequest {
        let (after, head) = (Offset(after), Offset(head));
        let (connection, topic) = (ConnectionKey::default(), block(0).0);
        ReadRequest { connection, topic, delivery: Delivery::Durable, after, head, number: 1 }
    }

    #[test]
    fn a_block_serves_those_for_whom_it_holds_enough() {
        let runs = Runs::default();
        let run = Run::new(Offset(256), (0..10).map(|_| Frame::text("event")));
        runs.keep(&block(256), &Rc::new(run));
        let serves = |after, head| runs.find(&block(256), &request(after, head), Offset(512)).is_some();
        assert!(serves(256, 266) && serves(265, 266));
        assert!(!serves(266, 267), "nothing after its position");
        assert!(!serves(260, 267), "an event is known that it does not hold");
        assert!(runs.find(&block(0), &request(10, 20), Offset(256)).is_none(), "another block");
    }

    #[test]
    fn the_oldest_blocks_make_room() {
        let runs = Runs::default();
        let run = Rc::new(Run::new(Offset(0), [Frame::text(&"x".repeat(KEPT_BYTES / 4))]));
        for number in 0..6 {
            runs.keep(&block(number), &run);
        }
        // The same block again takes its own place.
        runs.keep(&block(5), &run);
        let kept: Vec<_> =
            (0..6).filter(|number| runs.kept.borrow().runs.contains_key(&block(*number))).collect();
        assert_eq!(kept, [3, 4, 5]);
        assert_eq!(runs.kept.borrow().bytes, 3 * run.bytes());
    }

    #[test]
    fn who_comes_while_a_block_is_read_waits_for_it() {
        let runs = Runs::default();
        assert!(!runs.join(&block(0), request(1, 9)) && runs.join(&block(0), request(2, 9)));
        assert_eq!((runs.count(&block(0)), runs.come(&block(0)).len()), (2, 2));
        assert!(!runs.join(&block(0), request(3, 9)), "the next one reads again");
    }
}

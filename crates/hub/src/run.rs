//! Events in a row, framed once for everyone who reads them.

use bytes::Bytes;
use healthmate_protocol::Offset;

/// Events of one topic without a hole between them, each in its frame, all frames in one piece of memory. Whoever
/// reads from the log gets a reference to a part of it: a thousand slow readers at the same place cost one run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The offset before the first event.
    after: Offset,
    /// Where each frame ends.
    ends: Box<[usize]>,
    frames: Bytes,
}

impl Run {
    /// The events that follow `after`, in the order of their offsets.
    pub fn new(after: Offset, frames: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let (mut ends, mut bytes) = (Vec::new(), Vec::new());
        for frame in frames {
            bytes.extend_from_slice(frame.as_ref());
            ends.push(bytes.len());
        }
        bytes.shrink_to_fit();
        Self { after, ends: ends.into(), frames: bytes.into() }
    }

    /// The offset before the first event.
    pub(crate) fn after(&self) -> Offset {
        self.after
    }

    /// The offset of the last event, or the one before the first if there are none.
    pub fn last(&self) -> Offset {
        Offset(self.after.0 + self.ends.len() as u64)
    }

    /// How many bytes the frames take.
    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// How many events follow `position`, and their frames; `None` if `position` lies before the run.
    pub(crate) fn from(&self, position: Offset) -> Option<(usize, Bytes)> {
        let passed = usize::try_from(position.0.checked_sub(self.after.0)?).ok()?.min(self.ends.len());
        let begin = passed.checked_sub(1).map_or(0, |last| self.ends[last]);
        Some((self.ends.len() - passed, self.frames.slice(begin..)))
    }
}

#[cfg(test)]
mod tests {
    use healthmate_ws::Frame;

    use super::*;

    #[test]
    fn a_part_of_a_run_begins_at_any_of_its_events() {
        let run = Run::new(Offset(4), ["five", "six", "seven"].map(Frame::text));
        assert_eq!((run.last(), run.bytes()), (Offset(7), 3 * 2 + 12));
        assert_eq!(run.from(Offset(3)), None, "something is missing before it");
        let part = |after| run.from(Offset(after)).expect("within");
        assert_eq!(part(4).0, 3);
        assert_eq!(part(6), (1, Frame::text("seven").into_bytes()));
        assert_eq!(
            part(5).1,
            [Frame::text("six").as_bytes().as_ref(), Frame::text("seven").as_bytes()].concat()
        );
        for beyond in [7, 9] {
            assert_eq!(part(beyond), (0, Bytes::new()));
        }
    }
}

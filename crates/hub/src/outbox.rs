//! What waits to be written to one connection.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use healthmate_ws::Frame;

/// The most that goes into one write: what waits is copied together up to here, which costs less than a gathered
/// write of small frames.
const WRITE_BYTES: usize = 64 * 1024;

/// Frames in the order they will be written. Counted in bytes; owns nothing while it is empty.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<Bytes>,
    /// How much of the first frame is written.
    written: usize,
    /// All that is not written yet.
    bytes: usize,
    /// A close frame is queued: nothing may follow it.
    closing: bool,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All is written.
    Empty,
    /// The socket takes no more now.
    Blocked,
    /// All is written, a close frame last.
    Closed,
}

impl Outbox {
    /// Appends a frame and says how long it is: 0 after a close frame, when nothing is appended any more.
    pub fn push(&mut self, frame: Frame) -> usize {
        if self.closing {
            return 0;
        }
        self.closing = frame.is_close();
        let bytes = frame.into_bytes();
        let length = bytes.len();
        self.bytes += length;
        self.frames.push_back(bytes);
        length
    }

    /// Appends bytes that are no frame: what goes before the first one.
    pub(crate) fn push_head(&mut self, head: Bytes) {
        self.bytes += head.len();
        self.frames.push_back(head);
    }

    /// Appends frames that lie one behind the other, none of them a close frame, and says how long they are together.
    pub(crate) fn push_run(&mut self, frames: Bytes) -> usize {
        if self.closing || frames.is_empty() {
            return 0;
        }
        let length = frames.len();
        self.bytes += length;
        self.frames.push_back(frames);
        length
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a close frame is queued or written.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Writes what waits, as few writes as possible. `scratch` is room to copy small frames together in, shared by
    /// all connections of a thread.
    ///
    /// # Errors
    /// What `write` returns, except `WouldBlock` (then more can be written later) and `Interrupted` (tried again).
    pub fn flush(
        &mut self,
        scratch: &mut Vec<u8>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<Progress> {
        while !self.frames.is_empty() {
            let (result, offered) = self.write_once(scratch, &mut write);
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.advance(count);
                    if count < offered {
                        return Ok(Progress::Blocked);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // A queue that once was long would keep its room.
        self.frames = VecDeque::new();
        Ok(if self.closing { Progress::Closed } else { Progress::Empty })
    }

    fn write_once(
        &self,
        scratch: &mut Vec<u8>,
        write: &mut impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> (io::Result<usize>, usize) {
        let first = self.frames.front().map_or(&[][..], |frame| &frame[self.written..]);
        if self.frames.len() == 1 || first.len() >= WRITE_BYTES {
            return (write(first), first.len());
        }
        scratch.clear();
        scratch.extend_from_slice(first);
        for frame in self.frames.iter().skip(1) {
            if scratch.len() + frame.len() > WRITE_BYTES {
                break;
            }
            scratch.extend_from_slice(frame);
        }
        (write(scratch), scratch.len())
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.frames.front() {
            let left = first.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use healthmate_ws::CloseCode;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the socket splits the writes, the bytes arrive whole and in order.
        #[test]
        fn bytes_arrive_whole_and_in_order(
            lengths in prop::collection::vec(0usize..70_000, 1..12),
            takes in prop::collection::vec(0usize..50_000, 1..60),
        ) {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (index, length) in lengths.iter().enumerate() {
                let frame = Frame::text(&char::from(b'a' + index as u8).to_string().repeat(*length));
                expected.extend_from_slice(frame.as_bytes());
                outbox.push(frame);
            }
            prop_assert_eq!(outbox.bytes(), expected.len());
            let (mut received, mut scratch) = (Vec::new(), Vec::new());
            let mut takes = takes.into_iter();
            loop {
                let progress = outbox.flush(&mut scratch, |bytes| {
                    let take = takes.next().unwrap_or(usize::MAX).min(bytes.len());
                    if take == 0 {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    received.extend_from_slice(&bytes[..take]);
                    Ok(take)
                }).expect("no other error");
                prop_assert_eq!(outbox.bytes(), expected.len() - received.len());
                if progress == Progress::Empty {
                    break;
                }
            }
            prop_assert_eq!(received, expected);
        }
    }

    #[test]
    fn nothing_follows_a_close_frame() {
        let mut outbox = Outbox::default();
        outbox.push(Frame::close(CloseCode::NORMAL, ""));
        outbox.push(Frame::text("late"));
        let mut received = Vec::new();
        let progress = outbox.flush(&mut Vec::new(), |bytes| {
            received.extend_from_slice(bytes);
            Ok(bytes.len())
        });
        assert_eq!(progress.expect("written"), Progress::Closed);
        assert_eq!(received, Frame::close(CloseCode::NORMAL, "").as_bytes().as_ref());
    }

    #[test]
    fn small_frames_go_out_in_one_write() {
        let mut outbox = Outbox::default();
        for _ in 0..100 {
            outbox.push(Frame::text("tick"));
        }
        let mut writes = 0;
        outbox
            .flush(&mut Vec::new(), |bytes| {
                writes += 1;
                Ok(bytes.len())
            })
            .expect("written");
        assert_eq!(writes, 1);
    }
}

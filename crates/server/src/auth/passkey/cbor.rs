//! The CBOR (RFC 8949) that authenticators write, in the canonical form that CTAP2 asks of them: lengths are given, each
//! number has its shortest form, nothing is tagged, and nothing is nested deeper than four levels.
//!
//! Nothing is copied, and nothing is set aside for what was only announced.

use std::str;

/// How deep values may be nested.
const MAX_DEPTH: usize = 4;

/// The bytes are no canonical CBOR, or not of the kind that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotCbor;

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

/// The kinds of values that are asked for.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Goes on only if everything was read.
    pub(super) fn end(&self) -> Result<(), NotCbor> {
        if self.0.is_empty() { Ok(()) } else { Err(NotCbor) }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], NotCbor> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NotCbor)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The beginning of a value: its kind, and its number or length. Of simple values, the bytes that follow are left.
    fn head(&mut self) -> Result<(u8, u64), NotCbor> {
        let first = self.take(1)?[0];
        let (kind, short) = (first >> 5, first & 0x1f);
        if kind == SIMPLE {
            return Ok((kind, short.into()));
        }
        let width = match short {
            0..=23 => return Ok((kind, short.into())),
            24..=27 => 1_usize << (short - 24),
            // 31 is a length that is not given, and the others have no meaning.
            _ => return Err(NotCbor),
        };
        let number = self.take(width)?.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let least = [24, 1 << 8, 1 << 16, 1 << 32][usize::from(short - 24)];
        if number < least { Err(NotCbor) } else { Ok((kind, number)) }
    }

    fn length(&mut self, kind: u8) -> Result<usize, NotCbor> {
        match self.head()? {
            (found, length) if found == kind => usize::try_from(length).map_err(|_| NotCbor),
            _ => Err(NotCbor),
        }
    }

    /// A whole number.
    pub(super) fn int(&mut self) -> Result<i64, NotCbor> {
        match self.head()? {
            (UNSIGNED, number) => i64::try_from(number).map_err(|_| NotCbor),
            (NEGATIVE, number) => i64::try_from(number).map(|number| -1 - number).map_err(|_| NotCbor),
            _ => Err(NotCbor),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], NotCbor> {
        let length = self.length(BYTES)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, NotCbor> {
        let length = self.length(TEXT)?;
        str::from_utf8(self.take(length)?).map_err(|_| NotCbor)
    }

    /// The beginning of a map: how many entries follow.
    pub(super) fn map(&mut self) -> Result<usize, NotCbor> {
        let entries = self.length(MAP)?;
        // Each takes two bytes or more: a count that cannot be is not believed.
        if entries > self.0.len() / 2 { Err(NotCbor) } else { Ok(entries) }
    }

    /// Reads a value of any kind, at `depth`: 0 for what is in nothing else.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), NotCbor> {
        let (kind, number) = self.head()?;
        let length = usize::try_from(number).map_err(|_| NotCbor)?;
        match kind {
            UNSIGNED | NEGATIVE => Ok(()),
            BYTES => self.take(length).map(drop),
            TEXT => str::from_utf8(self.take(length)?).map(drop).map_err(|_| NotCbor),
            ARRAY | MAP if depth + 1 > MAX_DEPTH => Err(NotCbor),
            ARRAY => (0..length).try_for_each(|_| self.skip(depth + 1)),
            MAP => (0..length).try_for_each(|_| self.skip(depth + 1).and_then(|()| self.skip(depth + 1))),
            SIMPLE => match length {
                // false, true, null
                20..=22 => Ok(()),
                // Numbers with a point, of 2, 4 and 8 bytes.
                25..=27 => self.take(1 << (length - 24)).map(drop),
                _ => Err(NotCbor),
            },
            _ => Err(NotCbor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(bytes: &[u8]) -> Result<(), NotCbor> {
        let mut reader = Reader::new(bytes);
        reader.skip(0).and_then(|()| reader.end())
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        let mut reader = Reader::new(&[
            0x17, 0x18, 0x18, 0x26, 0x39, 0x01, 0x00, 0x43, 1, 2, 3, 0x63, b'f', b'm', b't', 0xa1, 1, 2,
        ]);
        assert_eq!(
            [reader.int(), reader.int(), reader.int(), reader.int()].map(Result::unwrap),
            [23, 24, -7, -257]
        );
        assert_eq!((reader.bytes(), reader.text()), (Ok(&[1, 2, 3][..]), Ok("fmt")));
        assert_eq!((reader.map(), reader.0), (Ok(1), &[1, 2][..]));
    }

    #[test]
    fn what_is_not_canonical_is_none() {
        let refused: &[&[u8]] = &[
            &[],
            // Longer than need be.
            &[0x18, 23],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
            &[0x58, 1, 0],
            // Without a length, reserved, tagged, undefined, an end without a beginning.
            &[0x5f, 0xff],
            &[0x9f, 0xff],
            &[0xbf, 0xff],
            &[0x1c],
            &[0xc0, 0],
            &[0xf7],
            &[0xf8, 32],
            &[0xff],
            // Cut short, or announced and not there.
            &[0x19, 1],
            &[0x43, 1, 2],
            &[0x9a, 0xff, 0xff, 0xff, 0xff, 0],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x61, 0xff],
            &[0xfb, 0, 0],
            &[0, 0],
        ];
        for bytes in refused {
            assert_eq!(skipped(bytes), Err(NotCbor), "{bytes:02x?}");
        }
        for bytes in [&[0xf5][..], &[0xf9, 0, 0], &[0xa1, 0x61, b'a', 0x82, 1, 0x40]] {
            assert_eq!(skipped(bytes), Ok(()), "{bytes:02x?}");
        }
        assert_eq!(Reader::new(&[0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0]).map(), Err(NotCbor));
        assert_eq!(Reader::new(&[0xa2, 1, 1]).map(), Err(NotCbor));
        assert_eq!(Reader::new(&[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).int(), Err(NotCbor));
    }

    #[test]
    fn four_levels_are_read_and_not_a_fifth() {
        assert_eq!(skipped(&[0x81, 0x81, 0x81, 0x81, 0]), Ok(()));
        assert_eq!(skipped(&[0x81, 0x81, 0x81, 0x81, 0x80]), Err(NotCbor));
        assert_eq!(skipped(&[0xa1, 0, 0xa1, 0, 0xa1, 0, 0xa1, 0, 0xa0]), Err(NotCbor));
        assert_eq!(skipped(&vec![0x81; 1 << 20]), Err(NotCbor));
    }
}

//! Finding what was done to a trail: changed, removed, inserted or reordered.

use std::collections::BTreeMap;
use std::fmt;

use super::checkpoint::{Checkpoint, hex};
use super::{AuditEntry, FIRST_LINK, Link, link};

/// A row of the trail as it was found.
#[derive(Clone, Debug)]
pub struct FoundEntry {
    /// Its number, whatever that is.
    pub seq: i64,
    /// The record; `None` if the row cannot be read as one.
    pub entry: Option<AuditEntry>,
}

/// What is wrong with a trail: the first thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The record was changed.
    Altered(u64),
    /// Records from here to there are not there.
    Missing(u64, u64),
    /// Another record stands in this place; the one that belongs there stands in that one. Two were swapped, or one was
    /// inserted.
    OutOfPlace(u64, u64),
    /// There is a row of a number that no record has.
    Inserted(i64),
    /// The trail ends here, before the record of a checkpoint.
    Truncated(u64, u64),
    /// The chain is whole, and was not this one when the checkpoint at this record was signed.
    Rewritten(u64),
    /// The checkpoint at this record was not signed with the key.
    Forged(u64),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered(seq) => write!(f, "record {seq} was altered"),
            Self::Missing(from, to) if from == to => write!(f, "record {from} is missing"),
            Self::Missing(from, to) => write!(f, "records {from} to {to} are missing"),
            Self::OutOfPlace(seq, at) => write!(
                f,
                "record {seq} is out of place: it stands at {at}, and another in its place (swapped or inserted)"
            ),
            Self::Inserted(seq) => write!(f, "a row with the number {seq} was inserted"),
            Self::Truncated(last, seq) => {
                write!(
                    f,
                    "the trail is truncated: it ends with record {last}, and a checkpoint was signed at {seq}"
                )
            }
            Self::Rewritten(seq) => {
                write!(
                    f,
                    "record {seq} is not the one that its checkpoint was signed for: the trail was rewritten"
                )
            }
            Self::Forged(seq) => write!(f, "the checkpoint at record {seq} has a bad signature"),
        }
    }
}

/// Checks a trail row by row.
#[derive(Debug)]
pub struct Verifier {
    seq: u64,
    link: Link,
    checkpoints: BTreeMap<u64, Vec<Checkpoint>>,
}

impl Verifier {
    /// Checks against these checkpoints, which must all be signed with one of the public keys.
    ///
    /// # Errors
    /// The first checkpoint that is not.
    pub fn new(checkpoints: Vec<Checkpoint>, public_keys: &[String]) -> Result<Self, Flaw> {
        let mut by_seq = BTreeMap::<u64, Vec<Checkpoint>>::new();
        for checkpoint in checkpoints {
            if !public_keys.iter().any(|key| checkpoint.is_signed_by(key)) {
                return Err(Flaw::Forged(checkpoint.seq));
            }
            by_seq.entry(checkpoint.seq).or_default().push(checkpoint);
        }
        Ok(Self { seq: 0, link: FIRST_LINK, checkpoints: by_seq })
    }

    /// How many records were good so far.
    pub fn checked(&self) -> u64 {
        self.seq
    }

    /// Checks the next rows, in the order of their numbers.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&mut self, rows: &[FoundEntry]) -> Result<(), Flaw> {
        for (index, row) in rows.iter().enumerate() {
            let seq = self.seq + 1;
            let found = u64::try_from(row.seq).ok().filter(|found| *found >= seq);
            let found = found.ok_or(Flaw::Inserted(row.seq))?;
            if found > seq {
                return Err(Flaw::Missing(seq, found - 1));
            }
            let good = row.entry.as_ref().filter(|entry| entry.link == link(&self.link, seq, &entry.record));
            let Some(entry) = good else {
                return Err(self.elsewhere(seq, &rows[index + 1..]).unwrap_or(Flaw::Altered(seq)));
            };
            let text = hex(&entry.link);
            if self.checkpoints.get(&seq).is_some_and(|signed| signed.iter().any(|one| one.link != text)) {
                return Err(Flaw::Rewritten(seq));
            }
            (self.seq, self.link) = (seq, entry.link);
        }
        Ok(())
    }

    /// Where the record that belongs here stands, if it is among these.
    fn elsewhere(&self, seq: u64, rows: &[FoundEntry]) -> Option<Flaw> {
        let belongs = |entry: &&AuditEntry| entry.link == link(&self.link, seq, &entry.record);
        let found = rows.iter().filter_map(|row| row.entry.as_ref()).find(belongs)?;
        Some(Flaw::OutOfPlace(seq, found.seq))
    }

    /// All rows were checked: whether any is missing at the end.
    ///
    /// # Errors
    /// If there is a checkpoint past the last record.
    pub fn finish(&self) -> Result<u64, Flaw> {
        match self.checkpoints.keys().next_back() {
            Some(last) if *last > self.seq => Err(Flaw::Truncated(self.seq, *last)),
            _ => Ok(self.seq),
        }
    }
}

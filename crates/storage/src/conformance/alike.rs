//! Two stores beside each other over random histories: they answer alike, and in the end hold the same.
//!
//! The other store is the one in memory, which is the measure of what a store means. What only one of them counts is left
//! out: how much the directory's version grows, and rows that only a database has.

mod credentials;
mod data;
mod directory;
mod held;

use std::fmt::Debug;
use std::sync::Arc;

use healthmate_care::{By, Clock, ManualClock, Role};
use healthmate_protocol::{Timestamp, UserId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use uuid::Uuid;

use super::sample::{by, device, id, user};
use super::{Failed, Harness, Outcome};
use crate::{MemoryStore, Store};

/// Who there is, and two whom there may be.
const PEOPLE: [&str; 6] = ["p", "q", "d", "n", "x", "y"];

/// How many names there are for what is named.
const NAMES: u8 = 4;

/// How many areas there are of which steps are.
const AREAS: u8 = 5;

/// One step of a history: which, and what it is made of.
type Step = [u8; 10];

/// Runs `cases` random histories on the stores that `open` opens, and on one in memory beside each.
///
/// # Errors
/// With the smallest history found after which the two stores differ.
pub fn run(cases: u32, open: impl Fn() -> Result<Harness, Failed>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let steps = (0..AREAS, prop::collection::vec(any::<Step>(), 1..100));
    TestRunner::new(config).run(&steps, |(area, steps)| {
        let alike = open().and_then(|harness| runtime.block_on(history(harness, area, steps)));
        alike.map_err(|failed| TestCaseError::fail(failed.to_string()))
    })?;
    Ok(())
}

/// Most steps are of one area, so that they meet what earlier ones left.
async fn history(mut harness: Harness, area: u8, steps: Vec<Step>) -> Outcome {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&harness.clock) as Arc<dyn Clock>));
    for store in [&memory, harness.store()?] {
        for (name, role) in [("p", Role::Patient), ("q", Role::Patient), ("n", Role::Nurse)] {
            store.add_user(user(name, role)?, by()).await?;
        }
        store.add_user(device("d", "p")?, by()).await?;
    }
    for step in steps {
        match step[0] {
            0..24 => harness.reopen()?,
            millis @ 24..64 => harness.clock.advance_millis(millis.into()),
            _ => {
                let mut said = Vec::new();
                for store in [&memory, harness.store()?] {
                    said.push(Taken::of(store.as_ref(), &harness.clock, step).take(area).await?);
                }
                assert_eq!(said[0], said[1], "{step:?}");
            }
        }
    }
    for person in PEOPLE {
        let (expected, found) =
            (held::of(memory.as_ref(), person).await?, held::of(harness.store()?.as_ref(), person).await?);
        assert_eq!(expected, found, "what is held of {person}");
    }
    assert_eq!(held::by_all(memory.as_ref()).await?, held::by_all(harness.store()?.as_ref()).await?);
    Ok(())
}

/// A step, being taken by one of the stores.
struct Taken<'a> {
    store: &'a dyn Store,
    now: Timestamp,
    step: Step,
    read: usize,
}

impl<'a> Taken<'a> {
    fn of(store: &'a dyn Store, clock: &ManualClock, step: Step) -> Self {
        Self { store, now: clock.now(), step, read: 1 }
    }

    /// What the store said, and whether open connections hear of it.
    async fn take(mut self, area: u8) -> Result<String, Failed> {
        let before = self.store.directory_version().await?;
        let elsewhere = self.pick(AREAS);
        let said = match if self.pick(6) == 0 { elsewhere } else { area } {
            0 => self.directory().await?,
            1 => self.emergency().await?,
            2 => self.data().await?,
            3 => self.sign_ins().await?,
            _ => self.credentials().await?,
        };
        Ok(format!("{said}, changed: {}", self.store.directory_version().await? > before))
    }

    /// A number below `sides`.
    fn pick(&mut self, sides: u8) -> u8 {
        let byte = self.step[self.read % self.step.len()];
        self.read += 1;
        // What was read once is another number the next time.
        self.step[(self.read - 1) % self.step.len()] = byte.wrapping_mul(31).wrapping_add(7);
        byte % sides
    }

    fn is_so(&mut self) -> bool {
        self.pick(2) == 0
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.pick(of.len() as u8))]
    }

    fn person(&mut self) -> Result<UserId, Failed> {
        // Mostly those whom something can be done with.
        let person = self.one(&["p", "p", "p", "p", "p", "p", "q", "q", "n", "n", "d", "x", "y"]);
        id(person)
    }

    /// A name that may be taken.
    fn name(&mut self) -> Uuid {
        Uuid::from_u128(self.pick(NAMES).into())
    }

    /// Some milliseconds from now, before or after.
    fn moment(&mut self) -> Timestamp {
        let millis = i64::from(self.pick(100)) - 50;
        self.now.plus_millis(millis)
    }

    fn by(&self) -> By {
        By { at: self.now, ..by() }
    }
}

fn told(what: &str, outcome: impl Debug) -> String {
    format!("{what}: {outcome:?}")
}

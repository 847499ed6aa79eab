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

use healthmate_care::{By, Clock, Role};
use healthmate_protocol::{Timestamp, UserId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use uuid::Uuid;

use super::sample::{by, device, id, user};
use super::{Failed, Harness, Outcome};
use crate::{Erased, Error, MemoryStore, Store};

/// Who there is, and two whom there may be.
const PEOPLE: [&str; 6] = ["p", "q", "d", "n", "x", "y"];

/// How many names there are for what is named.
const NAMES: u8 = 4;

/// How many areas there are of which steps are.
const AREAS: u8 = 5;

/// One step of a history: which, and what it is made of.
type Step = [u8; 10];

/// Runs `cases` random histories on the stores that `open` opens, and on one in memory beside each. Writes that are asked for
/// at once are taken in the order in which they were asked for.
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
            64..68 => {
                let (patient, by) =
                    (id(["p", "q"][usize::from(step[1] % 2)])?, By { at: harness.clock.now(), ..by() });
                let expected = erased(memory.erase(&patient, by.clone()).await);
                assert_eq!(expected, erased(harness.store()?.erase(&patient, by).await));
            }
            _ => {
                let steps =
                    [step, step.map(|byte| byte.rotate_left(3)), step.map(|byte| byte.rotate_left(5))];
                let now = harness.clock.now();
                let expected = together(memory.as_ref(), now, area, steps).await?;
                let said = together(harness.store()?.as_ref(), now, area, steps).await?;
                assert_eq!(expected, said, "{step:?}");
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

/// Without what only a database has, in one order.
fn erased(erased: Result<Erased, Error>) -> Result<Erased, Error> {
    let mut erased = erased?;
    erased.rows.retain(|(what, _)| !["device", "data_key"].contains(what));
    erased.rows.sort_unstable();
    Ok(erased)
}

/// What the store said to steps that it was asked for at once, in this order, and whether open connections hear of them.
async fn together(
    store: &dyn Store,
    now: Timestamp,
    area: u8,
    steps: [Step; 3],
) -> Result<([String; 3], bool), Failed> {
    let before = store.directory_version().await?;
    let [first, second, third] = steps.map(|step| Taken { store, now, step, read: 1 }.take(area));
    let (first, second, third) = tokio::join!(biased; first, second, third);
    Ok(([first?, second?, third?], store.directory_version().await? > before))
}

/// A step, being taken by one of the stores.
struct Taken<'a> {
    store: &'a dyn Store,
    now: Timestamp,
    step: Step,
    read: usize,
}

impl Taken<'_> {
    /// What the store said. It is asked when this is polled first: nothing is waited for before that.
    async fn take(mut self, area: u8) -> Result<String, Failed> {
        let elsewhere = self.pick(AREAS);
        match if self.pick(6) == 0 { elsewhere } else { area } {
            0 => self.directory().await,
            1 => self.emergency().await,
            2 => self.data().await,
            3 => self.sign_ins().await,
            _ => self.credentials().await,
        }
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

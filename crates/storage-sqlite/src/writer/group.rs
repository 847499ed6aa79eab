//! One transaction being written.

use std::collections::HashMap;

use healthmate_care::AuditRecord;
use healthmate_protocol::{Epoch, Topic, UserId};
use healthmate_storage::{Error, Event, RecordedAt, new_epoch};
use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;
use crate::sealer::Sealer;
use crate::writer::audit::TrailHead;
use crate::writer::cache::{Cache, Head, Person};

const PERSON: &str = "SELECT key, role = 'patient' FROM user WHERE id = ?1 AND erased_at IS NULL";
const TOPIC: &str = "SELECT key, head FROM topic WHERE name = ?1";
const NEW_TOPIC: &str = "INSERT INTO topic (name) VALUES (?1)";
const SET_HEAD: &str = "UPDATE topic SET head = ?2, oldest_at = coalesce(oldest_at, ?3) WHERE key = ?1";
const SET_EPOCH: &str = "UPDATE meta SET epoch = ?1";
const PROBE: &str = "UPDATE meta SET probes = probes + 1";

/// Commands write through it. What it holds becomes the cache's when the transaction is on disk.
pub(crate) struct Group<'a> {
    pub(crate) conn: &'a Connection,
    cache: &'a mut Cache,
    pub(crate) sealer: &'a Sealer,
    /// One for the group: it is stored at once.
    pub(crate) recorded_at: RecordedAt,
    heads: HashMap<Topic, Staged>,
    events: Vec<Event>,
    epoch: Option<Epoch>,
    trail: Option<TrailHead>,
}

/// A topic that the group has looked at.
#[derive(Clone)]
struct Staged {
    head: Head,
    /// Whether the row in `topic` says less.
    dirty: bool,
}

/// What a group had written before a command: to come back to, when the command is undone.
pub(crate) struct Mark {
    heads: HashMap<Topic, Staged>,
    events: Vec<Event>,
    epoch: Option<Epoch>,
}

/// What a committed group brought.
pub(crate) struct Written {
    pub(crate) heads: HashMap<Topic, Head>,
    /// In the order of the commands.
    pub(crate) events: Vec<Event>,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) trail: Option<TrailHead>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(conn: &'a Connection, cache: &'a mut Cache, sealer: &'a Sealer) -> Self {
        let recorded_at = RecordedAt::new(sealer.clock().now());
        let (heads, events) = (HashMap::new(), Vec::new());
        Self { conn, cache, sealer, recorded_at, heads, events, epoch: None, trail: None }
    }

    /// Writes what was put off to the end.
    pub(crate) fn finish(mut self) -> rusqlite::Result<Written> {
        self.write_heads()?;
        let heads = self.heads.into_iter().map(|(topic, staged)| (topic, staged.head)).collect();
        Ok(Written { heads, events: self.events, epoch: self.epoch, trail: self.trail })
    }

    /// The user with this id.
    pub(crate) fn person(&mut self, id: &UserId) -> rusqlite::Result<Option<Person>> {
        if let Some(person) = self.cache.people.get(id) {
            return Ok(Some(*person));
        }
        let mut statement = self.conn.prepare_cached(PERSON)?;
        let found = statement
            .query_row([id.as_str()], |row| Ok(Person { key: row.get(0)?, is_patient: row.get(1)? }))
            .optional()?;
        if let Some(person) = found {
            self.cache.people.insert(id.clone(), person);
        }
        Ok(found)
    }

    /// The patient with this id.
    pub(crate) fn patient(&mut self, id: &UserId) -> Result<Person, Failure> {
        let person = self.person(id)?.filter(|person| person.is_patient);
        person.ok_or(Failure::Refused(Error::NotFound("patient")))
    }

    /// The number of what measured, of a patient.
    pub(crate) fn device(&mut self, patient: Person, id: &UserId, name: &str) -> Result<i64, Failure> {
        self.cache.devices.key(self.conn, self.sealer, patient.key, id, name)
    }

    /// Whether this text of a patient has a number.
    pub(crate) fn knows_device(&mut self, patient: Person, id: &UserId, name: &str) -> Result<bool, Failure> {
        Ok(self.cache.devices.find(self.conn, self.sealer, patient.key, id, name)?.is_some())
    }

    /// Forgets who is who: somebody was erased. What the group wrote of them before is told to nobody.
    pub(crate) fn forget_people(&mut self, erased: &[UserId]) {
        self.cache.forget_people();
        self.sealer.forget();
        self.events.retain(|event| !erased.contains(event.topic.id()));
    }

    /// How far the topic has come, with what the group has written. Makes the topic if it is new.
    pub(crate) fn head(&mut self, topic: &Topic) -> rusqlite::Result<Head> {
        if let Some(staged) = self.heads.get(topic) {
            return Ok(staged.head);
        }
        if let Some(head) = self.cache.heads.get(topic) {
            return Ok(*head);
        }
        let name = topic.to_string();
        let found = self.conn.prepare_cached(TOPIC)?.query_row([&name], |row| {
            Ok(Head { key: row.get(0)?, head: row.get::<_, i64>(1)?.unsigned_abs() })
        });
        if let Some(head) = found.optional()? {
            return Ok(head);
        }
        self.conn.prepare_cached(NEW_TOPIC)?.execute([&name])?;
        Ok(Head { key: self.conn.last_insert_rowid(), head: 0 })
    }

    /// Takes the topic's new events, when all of a command is written.
    pub(crate) fn advance(&mut self, topic: Topic, head: Head, events: Vec<Event>) {
        if !events.is_empty() {
            self.heads.insert(topic, Staged { head, dirty: true });
            self.events.extend(events);
        }
    }

    /// Writes the heads that moved: once for each topic and group, or when somebody needs them in the table.
    pub(crate) fn write_heads(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.conn.prepare_cached(SET_HEAD)?;
        let recorded_at = self.recorded_at.at().as_micros();
        for staged in self.heads.values_mut().filter(|staged| staged.dirty) {
            statement.execute(params![staged.head.key, staged.head.head as i64, recorded_at])?;
            staged.dirty = false;
        }
        Ok(())
    }

    /// What is written so far.
    pub(crate) fn mark(&self) -> Mark {
        Mark { heads: self.heads.clone(), events: self.events.clone(), epoch: self.epoch.clone() }
    }

    /// After a command was undone. It may have been the one that made what the cache knows.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        let Mark { heads, events, epoch } = mark;
        (self.heads, self.events, self.epoch) = (heads, events, epoch);
        self.cache.clear();
        self.sealer.forget();
        self.trail = None;
    }

    /// Appends to the audit trail: the last thing a command does, when all that it describes is written.
    pub(crate) fn audit(&mut self, record: &AuditRecord) -> rusqlite::Result<()> {
        self.audit_all(std::slice::from_ref(record))
    }

    /// Appends records to the audit trail.
    pub(crate) fn audit_all(&mut self, records: &[AuditRecord]) -> rusqlite::Result<()> {
        let mut head = match self.trail.or(self.cache.trail) {
            Some(head) => head,
            None => TrailHead::read(self.conn)?,
        };
        head.append(self.conn, records)?;
        self.trail = Some(head);
        Ok(())
    }
}

/// Gives the store a new epoch.
pub(crate) fn renew_epoch(group: &mut Group<'_>) -> Result<Epoch, Failure> {
    let epoch = new_epoch(group.sealer.clock());
    group.conn.prepare_cached(SET_EPOCH)?.execute([epoch.as_str()])?;
    group.epoch = Some(epoch.clone());
    Ok(epoch)
}

/// Writes something of no consequence.
pub(crate) fn probe(group: &mut Group<'_>) -> Result<(), Failure> {
    group.conn.prepare_cached(PROBE)?.execute([])?;
    Ok(())
}

/// Appends to the audit trail.
pub(crate) fn audit(group: &mut Group<'_>, records: &[AuditRecord]) -> Result<(), Failure> {
    Ok(group.audit_all(records)?)
}

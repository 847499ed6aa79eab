//! `healthmate access`

use clap::{Args, Subcommand};
use healthmate_care::{Action as Act, BreakGlass, CareRelation, Decision, Grants, User, decide};
use healthmate_protocol::{Timestamp, Topic, UserId};
use healthmate_storage::{BreakGlasses, Directory, Error};
use serde::Serialize;

use super::admin::AdminArgs;
use super::block_on;
use super::failure::Failure;
use super::settings::system_clock;

/// Explain who may what, and why
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Access {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  healthmate access explain nurse-1 health:patient-1
  healthmate access explain nurse-1 patient-1 --action medications
  healthmate access explain nurse-1 health:patient-1 --at 2026-12-31T18:00:00+01:00

docs/access.md has the whole table.";

const ACTIONS: &str = "Do this instead of hearing the topic, such as write_measurements or manage_care_team";

#[derive(Subcommand)]
enum Action {
    /// Decide as the server would, and say why
    Explain {
        /// Who wants to
        user: UserId,
        /// What: a topic to hear, such as health:patient-1; or, with --action, whose data
        topic: String,
        #[arg(long, value_name = "ACTION", help = ACTIONS)]
        action: Option<Act>,
        /// Decide for this time, in RFC 3339 [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
        #[command(flatten)]
        common: AdminArgs,
    },
}

/// A decision as `--json` prints it.
#[derive(Serialize)]
struct Explained<'a> {
    user: &'a UserId,
    role: &'a str,
    action: &'a str,
    patient: &'a UserId,
    allowed: bool,
    reason: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<Emergency>,
}

/// The user's emergency access to the patient that ends last, also when it is over.
#[derive(Serialize)]
struct Emergency {
    id: String,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

impl From<&BreakGlass> for Emergency {
    fn from(access: &BreakGlass) -> Self {
        Self { id: access.id.to_string(), starts_at: access.starts_at, ends_at: access.ends_at }
    }
}

/// The user's place in the patient's care team.
#[derive(Serialize)]
struct Place<'a> {
    relation: &'a str,
    scopes: Vec<&'a str>,
    starts_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted_by: Option<&'a UserId>,
}

impl<'a> From<&'a CareRelation> for Place<'a> {
    fn from(relation: &'a CareRelation) -> Self {
        Self {
            relation: relation.relation.as_str(),
            scopes: relation.scopes.iter().map(healthmate_care::Scope::as_str).collect(),
            starts_at: relation.starts_at,
            ends_at: relation.ends_at,
            granted_by: relation.granted_by.as_ref(),
        }
    }
}

impl Access {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Action::Explain { user, topic, action, at, common } = self.action;
        let (action, patient) = asked(&topic, action)?;
        explain(&user, action, &patient, at.unwrap_or_else(|| system_clock().now()), &common)
    }
}

/// What to decide: to hear the topic, or the action with the data of whoever is named.
fn asked(topic: &str, action: Option<Act>) -> Result<(Act, UserId), Failure> {
    match (topic.parse::<Topic>(), action) {
        (Ok(topic), action) => Ok((action.unwrap_or(Act::hearing(topic.kind())), topic.id().clone())),
        (Err(_), Some(action)) => Ok((action, topic.parse().map_err(Failure::usage)?)),
        (Err(error), None) if topic.contains(':') => Err(Failure::usage(error)),
        (Err(_), None) => Err(Failure::usage(format!(
            "what about {topic}? name a topic, such as health:{topic}, or --action"
        ))),
    }
}

/// Who asks, and what there is between the user and the patient.
struct Found {
    user: User,
    relation: Option<CareRelation>,
    break_glass: Option<BreakGlass>,
}

impl Found {
    /// In the store; `None` if there is no such user.
    async fn find(
        store: &(impl Directory + BreakGlasses),
        id: &UserId,
        patient: &UserId,
    ) -> Result<Option<Self>, Error> {
        let Some(user) = store.user(id).await? else { return Ok(None) };
        let relation = store.care_relation(patient, id).await?;
        let break_glass = store.break_glass_between(patient, id).await?;
        Ok(Some(Self { user, relation, break_glass }))
    }

    fn decide(&self, action: Act, patient: &UserId, at: Timestamp) -> Decision {
        let grants = Grants { relation: self.relation.as_ref(), break_glass: self.break_glass.as_ref() };
        decide(&self.user, action, patient, &grants, at)
    }
}

fn explain(
    id: &UserId,
    action: Act,
    patient: &UserId,
    at: Timestamp,
    common: &AdminArgs,
) -> Result<(), Failure> {
    let store = common.store()?;
    let found = block_on(async { Found::find(&*store, id, patient).await.map_err(Failure::failed) })?;
    let found = found.ok_or_else(|| Failure::failed(format!("there is no user {id}")))?;
    let decision = found.decide(action, patient, at);
    let explained = Explained {
        user: id,
        role: found.user.role.as_str(),
        action: action.as_str(),
        patient,
        allowed: decision.is_allowed(),
        reason: decision.reason().as_str(),
        message: decision.message(),
        until: decision.until().map(|until| until.at),
        place: found.relation.as_ref().map(Place::from),
        break_glass: found.break_glass.as_ref().map(Emergency::from),
    };
    common.answer(&explained, || told(&found, action, patient, decision))
}

/// The decision in lines for people.
fn told(found: &Found, action: Act, patient: &UserId, decision: Decision) -> String {
    let Found { user, relation, break_glass } = found;
    let (word, reason) = (if decision.is_allowed() { "yes" } else { "no" }, decision.reason());
    let mut lines = vec![format!("{word}: {} ({}), {action} of {patient}", user.id, user.role)];
    lines.push(format!("  why     {reason}: {}", decision.message()));
    if let Some(until) = decision.until() {
        lines.push(format!("  until   {}, then {}", until.at, until.then));
    }
    if let Some(relation) = relation {
        lines.extend(place(relation));
    } else if action.scope().is_some() {
        lines.push(format!("  place   none in the care team of {patient}"));
    }
    if let Some(BreakGlass { id, starts_at, ends_at, .. }) = break_glass {
        lines.push(format!("  opened  in an emergency, from {starts_at} until {ends_at} ({id})"));
    }
    lines.join("\n")
}

fn place(relation: &CareRelation) -> Vec<String> {
    let CareRelation { relation, scopes, starts_at, ends_at, granted_by, .. } = relation;
    let end = ends_at.map_or_else(|| "until it is ended".to_owned(), |end| format!("until {end}"));
    let scopes = if scopes.is_empty() { "none".to_owned() } else { scopes.to_string() };
    let place = [format!("  place   {relation}, from {starts_at} {end}"), format!("  scopes  {scopes}")];
    place.into_iter().chain(granted_by.as_ref().map(|granter| format!("  by      {granter}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use healthmate_care::{By, ManualClock, Role};
    use healthmate_storage::{MemoryStore, Opening};
    use uuid::Uuid;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn id(text: &str) -> UserId {
        UserId::new(text).expect("valid")
    }

    /// A store in which the doctor `dora` has opened the patient `ada` for an hour.
    async fn opened() -> MemoryStore {
        let (from, until) = (time("2026-11-23T07:00:00Z"), time("2026-11-23T08:00:00Z"));
        let store = MemoryStore::new(Arc::new(ManualClock::new(from)));
        let by = By::command_line(from);
        for (user, role) in [("ada", Role::Patient), ("dora", Role::Doctor)] {
            let user = User { id: id(user), role, name: user.to_owned(), device_of: None, active: true };
            store.add_user(user, by.clone()).await.expect("added");
        }
        let (patient, member) = (id("ada"), id("dora"));
        let access = BreakGlass { id: Uuid::nil(), patient, member, starts_at: from, ends_at: until };
        let (at_once, per_day) = (1, 1);
        let opening = Opening {
            access,
            reason: "found unconscious".to_owned(),
            notifications: Vec::new(),
            at_once,
            per_day,
            day_began: from,
        };
        store.break_glass(opening, by).await.expect("opened");
        store
    }

    #[tokio::test]
    async fn an_emergency_access_opens_as_it_does_on_the_server() {
        let found =
            Found::find(&opened().await, &id("dora"), &id("ada")).await.expect("read").expect("there");
        let said = |at: &str| {
            let decision = found.decide(Act::ReadMeasurements, &id("ada"), time(at));
            told(&found, Act::ReadMeasurements, &id("ada"), decision)
        };
        insta::assert_snapshot!(said("2026-11-23T07:59:59Z"), @"
        yes: dora (doctor), read_measurements of ada
          why     break_glass: you opened this patient in an emergency
          until   2026-11-23T08:00:00.000000Z, then break_glass_ended
          place   none in the care team of ada
          opened  in an emergency, from 2026-11-23T07:00:00.000000Z until 2026-11-23T08:00:00.000000Z (00000000-0000-0000-0000-000000000000)
        ");
        insta::assert_snapshot!(said("2026-11-23T08:00:00Z"), @"
        no: dora (doctor), read_measurements of ada
          why     break_glass_ended: your emergency access to this patient has ended
          place   none in the care team of ada
          opened  in an emergency, from 2026-11-23T07:00:00.000000Z until 2026-11-23T08:00:00.000000Z (00000000-0000-0000-0000-000000000000)
        ");
    }

    #[tokio::test]
    async fn who_is_nobody_is_not_found() {
        let found = Found::find(&opened().await, &id("nobody"), &id("ada")).await.expect("read");
        assert!(found.is_none());
    }
}

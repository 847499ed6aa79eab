//! `healthmate access`

use clap::{Args, Subcommand};
use healthmate_care::{Action as Act, CareRelation, Decision, Grants, User, decide};
use healthmate_protocol::{Timestamp, Topic, UserId};
use healthmate_storage::Directory;
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

fn explain(
    id: &UserId,
    action: Act,
    patient: &UserId,
    at: Timestamp,
    common: &AdminArgs,
) -> Result<(), Failure> {
    let store = common.store()?;
    let (user, relation) = block_on(async {
        let user = store.user(id).await.map_err(Failure::failed)?;
        let user = user.ok_or_else(|| Failure::failed(format!("there is no user {id}")))?;
        let relation = store.care_relation(patient, id).await.map_err(Failure::failed)?;
        Ok((user, relation))
    })?;
    let grants = Grants { relation: relation.as_ref(), break_glass: None };
    let decision = decide(&user, action, patient, &grants, at);
    let explained = Explained {
        user: id,
        role: user.role.as_str(),
        action: action.as_str(),
        patient,
        allowed: decision.is_allowed(),
        reason: decision.reason().as_str(),
        message: decision.message(),
        until: decision.until().map(|until| until.at),
        place: relation.as_ref().map(Place::from),
    };
    common.answer(&explained, || told(&user, action, patient, decision, relation.as_ref()))
}

/// The decision in lines for people.
fn told(
    user: &User,
    action: Act,
    patient: &UserId,
    decision: Decision,
    relation: Option<&CareRelation>,
) -> String {
    let (word, reason) = (if decision.is_allowed() { "yes" } else { "no" }, decision.reason());
    let mut lines = vec![format!("{word}: {} ({}), {action} of {patient}", user.id, user.role)];
    lines.push(format!("  why     {reason}: {}", reason.message()));
    if let Some(until) = decision.until() {
        lines.push(format!("  until   {}, then {}", until.at, until.then));
    }
    if let Some(CareRelation { relation, scopes, starts_at, ends_at, granted_by, .. }) = relation {
        let end = ends_at.map_or_else(|| "until it is ended".to_owned(), |end| format!("until {end}"));
        lines.push(format!("  place   {relation}, from {starts_at} {end}"));
        lines.push(format!(
            "  scopes  {}",
            if scopes.is_empty() { "none".to_owned() } else { scopes.to_string() }
        ));
        if let Some(granter) = granted_by {
            lines.push(format!("  by      {granter}"));
        }
    } else if action.scope().is_some() {
        lines.push(format!("  place   none in the care team of {patient}"));
    }
    lines.join("\n")
}

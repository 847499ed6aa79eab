//! `healthmate care`

use clap::{Args, Subcommand};
use healthmate_care::{BreakGlass, CareRelation, Relationship, Scope, Scopes};
use healthmate_protocol::{MAX_PAGE, Timestamp, UserId};
use healthmate_storage::{BreakGlasses, Directory, Error};
use serde::Serialize;

use super::admin::{AdminArgs, by};
use super::failure::Failure;
use super::settings::system_clock;
use super::{block_on, output};

/// Let members into a patient's care team, take them out, and list it
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Care {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  healthmate care add patient-1 nurse-1
  healthmate care add patient-1 locum-1 --until 2026-12-31T18:00:00+01:00
  healthmate care add patient-1 daughter-1 --relation family --scopes vitals,alerts,manage
  healthmate care remove patient-1 locum-1
  healthmate care list patient-1";

const RELATIONS: &str =
    "family, friend, caregiver, nurse, general_practitioner, specialist, therapist or other";

#[derive(Subcommand)]
enum Action {
    /// Let a member in, or change the whole of their access
    Add {
        /// Who is cared for
        patient: UserId,
        /// Who is let in
        member: UserId,
        #[arg(long, value_name = "RELATION", default_value_t, hide_default_value = true, help = RELATIONS)]
        relation: Relationship,
        /// What to, with commas: vitals, alerts, chat, medications, symptoms, records, manage [default: all but manage]
        #[arg(long, value_name = "SCOPES", default_value_t = Scopes::DATA, hide_default_value = true)]
        scopes: Scopes,
        /// When it begins, in RFC 3339 [default: now, or as before]
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// When it ends, in RFC 3339 [default: it does not]
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Take a member out at once
    Remove {
        /// Who is cared for
        patient: UserId,
        /// Who is no longer let in
        member: UserId,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// List a patient's care team, and who opened the patient in an emergency
    List {
        /// Who is cared for
        patient: UserId,
        #[command(flatten)]
        common: AdminArgs,
    },
}

/// A relation as `--json` prints it.
#[derive(Serialize)]
struct Shown<'a> {
    patient: &'a UserId,
    member: &'a UserId,
    relation: &'a str,
    scopes: Vec<&'a str>,
    starts_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted_by: Option<&'a UserId>,
    holds: bool,
}

impl<'a> Shown<'a> {
    fn at(now: Timestamp, relation: &'a CareRelation) -> Self {
        Self {
            patient: &relation.patient,
            member: &relation.member,
            relation: relation.relation.as_str(),
            scopes: relation.scopes.iter().map(Scope::as_str).collect(),
            starts_at: relation.starts_at,
            ends_at: relation.ends_at,
            granted_by: relation.granted_by.as_ref(),
            holds: relation.holds_at(now),
        }
    }
}

/// An emergency access that holds, as `--json` prints it.
#[derive(Serialize)]
struct Emergency<'a> {
    id: String,
    member: &'a UserId,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

impl<'a> Emergency<'a> {
    fn of(access: &'a BreakGlass) -> Self {
        let BreakGlass { id, member, starts_at, ends_at, .. } = access;
        Self { id: id.to_string(), member, starts_at: *starts_at, ends_at: *ends_at }
    }
}

impl Care {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let now = system_clock().now();
        match self.action {
            Action::Add { patient, member, relation, scopes, from, until, common } => {
                let new = CareRelation::new(patient, member, from.unwrap_or(now));
                add(CareRelation { relation, scopes, ends_at: until, ..new }, now, &common)
            }
            Action::Remove { patient, member, common } => remove(&patient, &member, &common),
            Action::List { patient, common } => list(&patient, now, &common),
        }
    }
}

fn add(mut relation: CareRelation, now: Timestamp, common: &AdminArgs) -> Result<(), Failure> {
    if relation.ends_at.is_some_and(|end| end <= now) {
        let CareRelation { patient, member, .. } = relation;
        return Err(Failure::usage(format!(
            "--until lies in the past: to end it now, run `healthmate care remove {patient} {member}`"
        )));
    }
    if relation.ends_at.is_some_and(|end| end <= relation.starts_at) {
        return Err(Failure::usage("--until must be later than --from"));
    }
    let store = common.store()?;
    block_on(async {
        // Who is in the team already stays in it from the same day on.
        let before =
            store.care_relation(&relation.patient, &relation.member).await.map_err(Failure::failed)?;
        if let Some(before) = before.filter(|before| before.holds_at(now) && relation.starts_at == now) {
            relation.starts_at = before.starts_at;
        }
        match store.add_care_relation(relation.clone(), by()).await {
            Err(Error::NotFound(what)) => {
                let (patient, member) = (&relation.patient, &relation.member);
                Err(Failure::failed(format!(
                    "no such {what}: {patient} must be a patient and {member} a user"
                )))
            }
            added => added.map_err(Failure::failed),
        }
    })?;
    common.answer(&Shown::at(now, &relation), || {
        let CareRelation { patient, member, scopes, .. } = &relation;
        let from = Some(relation.starts_at).filter(|start| *start > now);
        let from = from.map(|start| format!(" from {start}")).unwrap_or_default();
        let until = relation.ends_at.map(|end| format!(" until {end}")).unwrap_or_default();
        format!("{member} is in the care team of {patient}{from}{until}, with {scopes}")
    })
}

fn remove(patient: &UserId, member: &UserId, common: &AdminArgs) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Removed<'a> {
        patient: &'a UserId,
        member: &'a UserId,
    }
    let store = common.store()?;
    let removed = block_on(async { Ok(store.remove_care_relation(patient, member, by()).await) })?;
    match removed {
        Err(Error::NotFound(_)) => {
            Err(Failure::failed(format!("{member} is not in the care team of {patient}")))
        }
        Err(error) => Err(Failure::failed(error)),
        Ok(()) => common.answer(&Removed { patient, member }, || {
            format!("{member} is no longer in the care team of {patient}")
        }),
    }
}

fn list(patient: &UserId, now: Timestamp, common: &AdminArgs) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Team<'a> {
        care_team: Vec<Shown<'a>>,
        break_glass: Vec<Emergency<'a>>,
    }
    let store = common.store()?;
    let (team, opened) = block_on(async {
        if store.user(patient).await.map_err(Failure::failed)?.is_none() {
            return Err(Failure::failed(format!("there is no user {patient}")));
        }
        let opened = store.break_glasses_of(patient, MAX_PAGE).await.map_err(Failure::failed)?;
        Ok((store.care_team(patient).await.map_err(Failure::failed)?, opened))
    })?;
    let open: Vec<_> =
        opened.iter().map(|opened| &opened.access).filter(|access| access.holds_at(now)).collect();
    let shown = Team {
        care_team: team.iter().map(|relation| Shown::at(now, relation)).collect(),
        break_glass: open.iter().map(|access| Emergency::of(access)).collect(),
    };
    let row = |relation: &CareRelation| {
        let until = relation.ends_at.map(|end| end.to_string()).unwrap_or_default();
        let holds = if relation.holds_at(now) { "yes" } else { "no" };
        let CareRelation { member, relation, scopes, starts_at, .. } = relation;
        let (relation, scopes) = (relation.to_string(), scopes.to_string());
        [member.to_string(), holds.to_owned(), relation, scopes, starts_at.to_string(), until]
    };
    common.answer(&shown, || {
        let head = ["member", "holds", "relation", "scopes", "from", "until"];
        let members = output::table(head, &team.iter().map(row).collect::<Vec<_>>());
        let emergencies = open.iter().map(|access| {
            let (member, until) = (&access.member, access.ends_at);
            format!("\nopened in an emergency by {member} until {until} ({})", access.id)
        });
        members + &emergencies.collect::<String>()
    })
}

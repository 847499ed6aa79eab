//! What is granted, as it is sent, and what may be.

use healthmate_care::{CareRelation, Relationship, Scope, Scopes};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::http::Problem;

/// What a member is let in to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Grant {
    /// What the member is to the patient; `other` if absent.
    #[serde(default)]
    #[schemars(schema_with = "relation_words")]
    relation: Option<String>,
    /// What the member is let in to; all but `manage` if absent.
    #[serde(default)]
    #[schemars(schema_with = "scope_words")]
    scopes: Option<Vec<String>>,
    /// From when on; if absent, now, or since when the member is in the team already.
    #[serde(default)]
    starts_at: Option<Timestamp>,
    /// Until when, exclusive, later than now and than the start; until it is ended if absent.
    #[serde(default)]
    ends_at: Option<Timestamp>,
}

impl Grant {
    /// Checks each field. A start that was not given is now.
    pub(super) fn accept(
        self,
        patient: &UserId,
        member: &UserId,
        now: Timestamp,
    ) -> Result<CareRelation, Problem> {
        let relation = self.relation.as_deref().map(str::parse::<Relationship>).transpose();
        let relation = relation.map_err(|error| Problem::field("relation", error.to_string()))?;
        let scopes = self.scopes.map(|words| words.iter().map(|word| word.parse::<Scope>()).collect());
        let scopes: Scopes =
            scopes.unwrap_or(Ok(Scopes::DATA)).map_err(|error: healthmate_care::team::UnknownScope| {
                Problem::field("scopes", error.to_string())
            })?;
        if scopes.is_empty() {
            return Err(Problem::field("scopes", "must name at least one"));
        }
        let starts_at = self.starts_at.unwrap_or(now);
        if self.ends_at.is_some_and(|end| end <= now || end <= starts_at) {
            return Err(Problem::field("ends_at", "must be later than now and than the start"));
        }
        Ok(CareRelation {
            relation: relation.unwrap_or_default(),
            scopes,
            ends_at: self.ends_at,
            ..CareRelation::new(patient.clone(), member.clone(), starts_at)
        })
    }
}

/// Who is in the team already stays in it from the same time on, where a start that is now would say otherwise.
pub(super) fn going_on(
    relation: CareRelation,
    before: Option<&CareRelation>,
    now: Timestamp,
) -> CareRelation {
    match before {
        Some(before) if before.holds_at(now) && relation.starts_at == now => {
            CareRelation { starts_at: before.starts_at, ..relation }
        }
        _ => relation,
    }
}

/// Refuses what goes beyond the granter's own place in the team.
pub(super) fn must_be_within(relation: &CareRelation, own: &CareRelation) -> Result<(), Problem> {
    let beyond = relation.scopes.without(own.scopes);
    if !beyond.is_empty() {
        let detail = format!("you cannot grant what you were not given: {beyond}");
        return Err(Problem::new(ErrorCode::AccessDenied, detail).at("scopes"));
    }
    let within = match (relation.ends_at, own.ends_at) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(end), Some(own_end)) => end <= own_end,
    };
    if within {
        return Ok(());
    }
    let detail = "you cannot grant it for longer than you were given it: set an earlier end";
    Err(Problem::new(ErrorCode::AccessDenied, detail).at("ends_at"))
}

/// A relation's words.
pub(super) fn relation_words(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Relationship::ALL.map(Relationship::as_str) })
}

/// Scopes' words: at least one, each once.
pub(super) fn scope_words(_: &mut SchemaGenerator) -> Schema {
    let words = Scope::ALL.map(Scope::as_str);
    json_schema!({ "type": "array", "items": { "type": "string", "enum": words }, "minItems": 1 })
}

//! A record as a FHIR R4 `AuditEvent`.

use healthmate_care::{AuditAction, AuditEntry, AuditOutcome, AuditRecord};
use serde_json::{Value, json};

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const RESTFUL: &str = "http://hl7.org/fhir/restful-interaction";

/// The `AuditEvent` of a record.
pub(super) fn event(entry: &AuditEntry) -> Value {
    let AuditRecord { by, action, object, patient, reason, outcome } = &entry.record;
    let (kind, subtype, done) = codes(*action);
    let coding = |(system, code, display): (&str, &str, &str)| json!({ "system": system, "code": code, "display": display });
    let who = by.actor.user().map_or(by.actor.kind(), |user| user.as_str());
    let mut agent = json!({ "who": { "identifier": { "value": who } }, "requestor": true });
    if let Some(role) = by.actor.role() {
        agent["role"] = json!([{ "text": role.as_str() }]);
    }
    if let Some(address) = by.address {
        agent["network"] = json!({ "address": address.to_string(), "type": "2" });
    }
    let patient = patient.iter().map(|patient| {
        json!({
            "what": { "type": "Patient", "identifier": { "value": patient.as_str() } },
            "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1" },
            "role": { "system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1" },
        })
    });
    let object = object.iter().map(|object| json!({ "what": { "identifier": { "value": object } } }));
    let entities: Vec<Value> = patient.chain(object).collect();
    let mut event = json!({
        "resourceType": "AuditEvent",
        "id": entry.seq.to_string(),
        "type": coding(kind),
        "subtype": [coding(subtype)],
        "action": done,
        "recorded": by.at,
        "outcome": match outcome {
            AuditOutcome::Success => "0",
            AuditOutcome::Denied => "4",
            AuditOutcome::Failed => "8",
        },
        "agent": [agent],
        "source": { "observer": { "display": "HealthMate" } },
    });
    if let Some(reason) = reason {
        event["outcomeDesc"] = json!(reason);
    }
    if !entities.is_empty() {
        event["entity"] = json!(entities);
    }
    if by.break_glass.is_some() {
        let purpose = json!({
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG", "display": "break the glass",
        });
        event["purposeOfEvent"] = json!([{ "coding": [purpose] }]);
    }
    event
}

type Code = (&'static str, &'static str, &'static str);

/// The type, the subtype, and what was done: create, read, update, delete or execute.
fn codes(action: AuditAction) -> (Code, Code, &'static str) {
    const REST: Code =
        ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation");
    const AUTHENTICATION: Code = (DCM, "110114", "User Authentication");
    const SECURITY: Code = (DCM, "110113", "Security Alert");
    const ATTRIBUTES: Code = (DCM, "110137", "User security Attributes Changed");
    match action {
        AuditAction::SignIn | AuditAction::Connect => (AUTHENTICATION, (DCM, "110122", "Login"), "E"),
        AuditAction::SignOut => (AUTHENTICATION, (DCM, "110123", "Logout"), "E"),
        AuditAction::Subscribe | AuditAction::Read => (REST, (RESTFUL, "read", "read"), "R"),
        AuditAction::Write => (REST, (RESTFUL, "create", "create"), "C"),
        AuditAction::AcknowledgeAlert => (REST, (RESTFUL, "update", "update"), "U"),
        AuditAction::BreakGlassStarted => (SECURITY, (DCM, "110127", "Emergency Override Started"), "E"),
        AuditAction::BreakGlassEnded => (SECURITY, (DCM, "110138", "Emergency Override Stopped"), "E"),
        AuditAction::UserAdded | AuditAction::CredentialIssued => (SECURITY, ATTRIBUTES, "C"),
        AuditAction::CredentialRevoked => (SECURITY, ATTRIBUTES, "D"),
        AuditAction::AccessGranted
        | AuditAction::AccessEnded
        | AuditAction::UserEnabled
        | AuditAction::UserDisabled => (SECURITY, ATTRIBUTES, "U"),
        AuditAction::RoleChanged => (SECURITY, (DCM, "110136", "Security Roles Changed"), "U"),
        AuditAction::Administered | AuditAction::RefusalsLeftOut => {
            (SECURITY, (DCM, "110132", "Use of Restricted Function"), "E")
        }
        AuditAction::KeysRotated | AuditAction::KeyRetired => {
            (SECURITY, (DCM, "110129", "Security Configuration"), "U")
        }
        AuditAction::ServerStarted => {
            ((DCM, "110100", "Application Activity"), (DCM, "110120", "Application Start"), "E")
        }
        AuditAction::Exported => ((DCM, "110106", "Export"), (RESTFUL, "read", "read"), "R"),
        AuditAction::Erased => ((DCM, "110110", "Patient Record"), (RESTFUL, "delete", "delete"), "D"),
    }
}

#[cfg(test)]
mod tests {
    use healthmate_care::By;
    use healthmate_care::audit::FIRST_LINK;
    use healthmate_protocol::{Timestamp, UserId};

    use super::*;

    /// The elements that R4 requires, for every action: `type`, `recorded`, `agent` with `requestor`, `source.observer`.
    #[test]
    fn every_record_is_a_valid_audit_event() {
        for action in AuditAction::ALL {
            let by = By {
                address: Some("192.0.2.1".parse().expect("valid")),
                break_glass: Some(uuid_of()),
                ..By::command_line(Timestamp::from_micros(0))
            };
            let patient = UserId::new("ana").expect("valid");
            let record = AuditRecord::new(by, *action).object("health:ana").patient(&patient);
            let record = record.outcome(AuditOutcome::Denied).reason("own");
            let event = event(&AuditEntry { seq: 3, record, link: FIRST_LINK });
            assert_eq!(event["resourceType"], "AuditEvent");
            for code in
                ["/type/system", "/type/code", "/subtype/0/code", "/recorded", "/source/observer/display"]
            {
                assert!(event.pointer(code).is_some_and(Value::is_string), "{action} {code}");
            }
            assert_eq!(event["agent"][0]["requestor"], true);
            assert!(matches!(event["action"].as_str(), Some("C" | "R" | "U" | "D" | "E")), "{action}");
            assert_eq!((&event["outcome"], &event["outcomeDesc"]), (&json!("4"), &json!("own")));
            assert_eq!(event["purposeOfEvent"][0]["coding"][0]["code"], "BTG");
            assert_eq!(event["entity"][0]["what"]["identifier"]["value"], "ana");
            assert_eq!(event["entity"][1]["what"]["identifier"]["value"], "health:ana");
            assert_eq!(event["agent"][0]["network"], json!({ "address": "192.0.2.1", "type": "2" }));
        }
    }

    /// The codes that DICOM (PS3.16, annex D) and R4's value sets of `AuditEvent` have, each with its own display.
    #[test]
    fn each_code_is_one_that_exists_and_is_called_what_it_is() {
        let known = [
            ("rest", "RESTful Operation"),
            ("110100", "Application Activity"),
            ("110106", "Export"),
            ("110110", "Patient Record"),
            ("110113", "Security Alert"),
            ("110114", "User Authentication"),
            ("110120", "Application Start"),
            ("110122", "Login"),
            ("110123", "Logout"),
            ("110127", "Emergency Override Started"),
            ("110129", "Security Configuration"),
            ("110132", "Use of Restricted Function"),
            ("110136", "Security Roles Changed"),
            ("110137", "User security Attributes Changed"),
            ("110138", "Emergency Override Stopped"),
        ];
        for action in AuditAction::ALL {
            let (kind, subtype, _) = codes(*action);
            for (system, code, display) in [kind, subtype] {
                let of_rest = system == RESTFUL && code == display;
                assert!(of_rest || known.contains(&(code, display)), "{action}: {code} {display}");
            }
        }
    }

    #[test]
    fn what_changes_nobodys_access_does_not_say_that_it_does() {
        let subtype = |action| codes(action).1.1;
        assert_eq!(subtype(AuditAction::BreakGlassStarted), "110127");
        assert_eq!(subtype(AuditAction::BreakGlassEnded), "110138");
        for action in [
            AuditAction::Administered,
            AuditAction::RefusalsLeftOut,
            AuditAction::KeysRotated,
            AuditAction::KeyRetired,
            AuditAction::Erased,
        ] {
            assert_ne!(subtype(action), "110137", "{action}");
        }
        assert_eq!(subtype(AuditAction::AccessGranted), "110137");
    }

    fn uuid_of() -> uuid::Uuid {
        uuid::Uuid::nil()
    }
}

//! The decision table: every cell against what was written down by hand, and against `docs/access.md`.
//!
//! The generated parts of the page stand between `<!-- generated:NAME -->` and `<!-- /generated -->`. `make generate`
//! writes them anew.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;

use healthmate_care::access::Reason;
use healthmate_care::{
    Action, BreakGlass, CareRelation, Decision, Grants, Role, Scope, Scopes, User, decide,
};
use healthmate_protocol::{Timestamp, TopicKind, UserId};
use uuid::Uuid;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/access.md");

/// What there is between a user and a patient.
#[derive(Clone, Copy, Debug)]
enum Situation {
    /// It concerns the user: the patient is the user, or the device's own; or it is the user's own connection.
    Own,
    Nothing,
    /// In the care team, with the scope that the action needs.
    Member,
    /// In the care team, with every other scope.
    WithoutScope,
    NotYet,
    Ended,
    BreakGlass,
    BreakGlassOver,
}

use Situation as S;

const SITUATIONS: [(Situation, &str); 8] = [
    (S::Own, "own"),
    (S::Nothing, "nothing"),
    (S::Member, "member"),
    (S::WithoutScope, "without scope"),
    (S::NotYet, "not yet"),
    (S::Ended, "ended"),
    (S::BreakGlass, "break-glass"),
    (S::BreakGlassOver, "break-glass over"),
];

/// Who may what, in the order of [`SITUATIONS`]: by hand, so that a change of the policy is a change of two minds.
const MAY: [(Action, [(&str, &str); 6]); 14] = [
    // Patients look after themselves, and may be in the care team of another one.
    (Action::ReadMeasurements, row("y.y.....", "..y.....", "..y...y.", "..y...y.", "........", "y.......")),
    (Action::WriteMeasurements, row("y.......", "........", "........", "........", "........", "y.......")),
    (Action::Alerts, row("y.y.....", "..y.....", "..y...y.", "..y...y.", "........", "........")),
    (Action::Chat, row("y.y.....", "..y.....", "..y.....", "..y.....", "........", "........")),
    (Action::Medications, row("y.y.....", "..y.....", "..y...y.", "..y...y.", "........", "........")),
    (Action::Symptoms, row("y.y.....", "..y.....", "..y...y.", "..y...y.", "........", "........")),
    (Action::Records, row("y.y.....", "..y.....", "..y...y.", "..y...y.", "........", "........")),
    (Action::ManageCareTeam, row("y.y.....", "..y.....", "..y.....", "..y.....", "yyyyyyyy", "........")),
    (Action::SeeAccessLog, row("y.y.....", "..y.....", "..y.....", "..y.....", "yyyyyyyy", "........")),
    (Action::BreakGlass, row("........", "........", "yyyyyyyy", "yyyyyyyy", "........", "........")),
    (Action::HearNotifications, row("y.......", "y.......", "y.......", "y.......", "y.......", "........")),
    (Action::HearWard, row("........", "........", "........", "........", "........", "........")),
    (Action::SteerConnections, row("y.......", "y.......", "y.......", "y.......", "yyyyyyyy", "........")),
    (Action::Administer, row("........", "........", "........", "........", "yyyyyyyy", "........")),
];

/// By role. The own patient of a device is not the device: it neither hears the patient's notifications nor steers the
/// patient's connections.
const fn row(
    patient: &'static str,
    caregiver: &'static str,
    nurse: &'static str,
    doctor: &'static str,
    admin: &'static str,
    device: &'static str,
) -> [(&'static str, &'static str); 6] {
    [
        ("patient", patient),
        ("caregiver", caregiver),
        ("nurse", nurse),
        ("doctor", doctor),
        ("admin", admin),
        ("device", device),
    ]
}

fn id(text: &str) -> UserId {
    UserId::new(text).expect("valid")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// Asks the policy, with `u` as the user and 15 as the second.
fn asked(role: Role, action: Action, situation: Situation) -> Decision {
    let device_of = (role == Role::Device).then(|| id("own"));
    let user = User { id: id("u"), role, name: String::new(), device_of, active: true };
    let own = user.device_of.clone().unwrap_or_else(|| user.id.clone());
    let patient = if matches!(situation, S::Own) { own } else { id("p") };
    let needed: Scopes = action.scope().into_iter().collect();
    let relation = |scopes, starts_at: i64, ends_at: i64| {
        let relation = CareRelation::new(patient.clone(), user.id.clone(), at(starts_at));
        CareRelation { scopes, ends_at: Some(at(ends_at)), ..relation }
    };
    let access = |ends_at| BreakGlass {
        id: Uuid::nil(),
        patient: patient.clone(),
        member: user.id.clone(),
        starts_at: at(10),
        ends_at: at(ends_at),
    };
    let (relation, break_glass) = match situation {
        S::Own | S::Nothing => (None, None),
        S::Member => (Some(relation(needed, 15, 16)), None),
        S::WithoutScope => (Some(relation(Scopes::ALL.without(needed), 15, 16)), None),
        S::NotYet => (Some(relation(Scopes::ALL, 16, 20)), None),
        S::Ended => (Some(relation(Scopes::ALL, 10, 15)), None),
        S::BreakGlass => (None, Some(access(16))),
        S::BreakGlassOver => (None, Some(access(15))),
    };
    let grants = Grants { relation: relation.as_ref(), break_glass: break_glass.as_ref() };
    decide(&user, action, &patient, &grants, at(15))
}

#[test]
fn every_cell_is_as_it_was_written_down() {
    let mut cells = 0;
    for (action, roles) in MAY {
        for (role, expected) in roles {
            let role: Role = role.parse().expect("a role");
            for ((situation, _), expected) in SITUATIONS.into_iter().zip(expected.chars()) {
                let decision = asked(role, action, situation);
                assert_eq!(
                    decision.is_allowed(),
                    expected == 'y',
                    "{role} {action} {situation:?}: {decision:?}"
                );
                cells += 1;
            }
        }
    }
    assert_eq!(cells, Action::ALL.len() * Role::ALL.len() * SITUATIONS.len());
}

#[test]
fn the_page_is_current() {
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let fresh = renewed(&page);
    if std::env::var_os("HEALTHMATE_GENERATE").is_some() {
        std::fs::write(PAGE, &fresh).expect("the page can be written");
    } else {
        assert!(page == fresh, "docs/access.md is stale: run `make generate`");
    }
}

/// The page with every generated part written anew.
fn renewed(page: &str) -> String {
    let (mut fresh, mut rest, mut parts) = (String::new(), page, 0);
    while let Some((before, after)) = rest.split_once("<!-- generated:") {
        let (name, after) = after.split_once(" -->").expect("the marker ends");
        let (_, after) = after.split_once("<!-- /generated -->").expect("the part ends");
        let part = match name {
            "actions" => actions(),
            "reasons" => reasons(),
            "table" => Role::ALL.into_iter().map(table).collect(),
            other => panic!("nothing generates {other}"),
        };
        write!(fresh, "{before}<!-- generated:{name} -->\n\n{part}\n<!-- /generated -->").expect("text");
        (rest, parts) = (after, parts + 1);
    }
    assert_eq!(parts, 3, "a generated part is missing from the page");
    fresh + rest
}

fn actions() -> String {
    let kinds = [TopicKind::Health, TopicKind::Chat, TopicKind::Notifications, TopicKind::Ward];
    let mut out = "| action | topics | scope | by break-glass |\n|---|---|---|---|\n".to_owned();
    for action in Action::ALL {
        let topics = kinds.iter().filter(|kind| Action::hearing(**kind) == action);
        let topics: Vec<_> = topics.map(|kind| format!("`{}:`", kind.as_str())).collect();
        let scope = action.scope().map_or_else(String::new, |scope| format!("`{scope}`"));
        let opened = action.scope().is_some_and(|scope| BreakGlass::scopes().contains(scope));
        let (topics, opened) = (topics.join(", "), if opened { "yes" } else { "" });
        writeln!(out, "| `{action}` | {topics} | {scope} | {opened} |").expect("text");
    }
    out
}

fn reasons() -> String {
    let mut out = "| reason | in a sentence |\n|---|---|\n".to_owned();
    for reason in Reason::ALL {
        writeln!(out, "| `{reason}` | {} |", reason.message()).expect("text");
    }
    out
}

/// A role's decisions: an action in each line, a situation in each column.
fn table(role: Role) -> String {
    let (titles, lines): (String, String) =
        SITUATIONS.iter().map(|(_, title)| (format!(" {title} |"), "---|")).unzip();
    let mut out = format!("### {role}\n\n| |{titles}\n|---|{lines}\n");
    for action in Action::ALL {
        let cells: String =
            SITUATIONS.iter().map(|(situation, _)| cell(asked(role, action, *situation))).collect();
        writeln!(out, "| `{action}` |{cells}").expect("text");
    }
    out + "\n"
}

fn cell(decision: Decision) -> String {
    let word = decision.reason().as_str();
    if decision.is_allowed() { format!(" **yes** `{word}` |") } else { format!(" {word} |") }
}

#[test]
fn each_scope_opens_something_and_break_glass_opens_no_conversation() {
    for scope in Scope::ALL {
        assert!(Action::ALL.into_iter().any(|action| action.scope() == Some(scope)), "{scope}");
    }
    assert!(!BreakGlass::scopes().contains(Scope::Chat) && !BreakGlass::scopes().contains(Scope::Manage));
}

//! Users, their tokens and passwords, care teams, and who may what.

use super::*;

#[test]
fn users_care_teams_and_tokens_are_kept() {
    let folder = folder();
    let data = folder.path();
    json(data, &["user", "add", "p1", "--role", "patient", "--name", "Ana Ruiz"]);
    json(data, &["user", "add", "d1", "--role", "device", "--device-of", "p1"]);
    json(data, &["user", "add", "n1", "--role", "nurse"]);
    assert_eq!(json(data, &["user", "disable", "n1"])["active"], false);
    assert_eq!(refused(data, &["token", "issue", "n1"]), (1, "healthmate: user n1 is disabled\n".to_owned()));
    assert_eq!(json(data, &["user", "enable", "n1"])["active"], true);
    let users = json(data, &["user", "list"]);
    let expected = serde_json::json!([
        { "id": "d1", "role": "device", "name": "d1", "device_of": "p1", "active": true },
        { "id": "n1", "role": "nurse", "name": "n1", "active": true },
        { "id": "p1", "role": "patient", "name": "Ana Ruiz", "active": true },
    ]);
    assert_eq!(users["users"], expected);

    let until = "2199-01-01T00:00:00.000000Z";
    let added = json(data, &["care", "add", "p1", "n1", "--until", until]);
    assert_eq!(
        (&added["member"], &added["ends_at"], &added["holds"]),
        (&"n1".into(), &until.into(), &true.into())
    );
    let again = json(data, &["care", "add", "p1", "n1"]);
    assert_eq!(again["starts_at"], added["starts_at"], "who is in the team stays in it");
    assert_eq!(json(data, &["care", "list", "p1"])["care_team"], serde_json::json!([again]));
    let removed = serde_json::json!({ "patient": "p1", "member": "n1" });
    assert_eq!(json(data, &["care", "remove", "p1", "n1"]), removed);
    assert_eq!(json(data, &["care", "list", "p1"])["care_team"], serde_json::json!([]));

    let issued = json(data, &["token", "issue", "n1", "--ttl", "8h"]);
    let token = issued["token"].as_str().expect("text");
    let inspected = json(data, &["token", "inspect", token]);
    assert_eq!((&inspected["valid"], &inspected["claims"]["sub"]), (&true.into(), &"n1".into()));
    assert!(!inspected.to_string().contains(token), "inspecting does not repeat the token");
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let inspected = json(data, &["token", "inspect", &forged]);
    assert_eq!((&inspected["valid"], &inspected["code"]), (&false.into(), &"token_signature".into()));
}

#[test]
fn a_token_is_read_from_stdin_and_is_nowhere_in_the_answer() {
    let folder = folder();
    let data = folder.path();
    json(data, &["user", "add", "p1", "--role", "patient"]);
    let token = text(&run(data, &["token", "issue", "p1"]).stdout);
    let mut child = healthmate(data, &["token", "inspect", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("piped").write_all(token.as_bytes()).expect("written");
    let said = text(&child.wait_with_output().expect("ended").stdout);
    assert!(said.ends_with("good: the server of this data folder takes it\n"), "{said}");
    assert!(!said.contains(token.trim()));
}

/// Runs a command with a line on its stdin.
fn run_with(data: &Path, arguments: &[&str], line: &str) -> Output {
    let mut child = healthmate(data, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    child.stdin.take().expect("piped").write_all(line.as_bytes()).expect("written");
    child.wait_with_output().expect("ended")
}

#[test]
fn a_password_is_read_from_stdin_and_weak_ones_are_refused() {
    let folder = folder();
    let data = folder.path();
    run(data, &["user", "add", "nurse-1", "--role", "nurse"]);
    let set = |user: &str, line: &str| run_with(data, &["user", "password", user], line);
    assert_eq!(text(&set("nurse-1", "correct horse battery\n").stdout), "password of nurse-1 set\n");
    for (user, line, said) in [
        ("nurse-1", "short\n", "the password must be 8 to 128 characters"),
        ("nurse-1", "password123\n", "the password is one of the commonest passwords"),
        ("nurse-1", "I am nurse-1\n", "the password must not hold the user's id"),
        ("nobody", "correct horse battery\n", "there is no user nobody"),
    ] {
        let refused = set(user, line);
        assert_eq!(refused.status.code(), Some(1));
        let error = text(&refused.stderr);
        assert!(error.contains(said) && !error.contains("horse"), "{error}");
    }
}

#[test]
fn tokens_are_taken_back() {
    let folder = folder();
    let data = folder.path();
    run(data, &["user", "add", "p1", "--role", "patient"]);
    let token = json(data, &["token", "issue", "p1"])["token"].as_str().expect("text").to_owned();
    let revoked = run_with(data, &["token", "revoke", "-"], &token);
    assert!(text(&revoked.stdout).starts_with("revoked token "), "{}", text(&revoked.stderr));
    let name = ["token", "issue-api", "p1", "--name", "scale", "--scope", "write_measurements"];
    let issued = json(data, &name);
    let id = issued["id"].as_str().expect("text");
    assert!(issued["token"].as_str().expect("text").starts_with("hmt_"));
    let inspected = refused(data, &["token", "inspect", issued["token"].as_str().expect("text")]);
    assert!(inspected.1.starts_with("healthmate: this is an API token, which claims nothing by itself: "));
    assert_eq!(json(data, &["token", "revoke", id])["user"], "p1");
    let again = refused(data, &["token", "revoke", issued["token"].as_str().expect("text")]);
    assert_eq!(again, (1, format!("healthmate: API token {id} was revoked before\n")));
}

/// What a command that succeeds prints.
fn printed(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn access_is_granted_narrowed_and_explained() {
    let folder = folder();
    let data = folder.path();
    for arguments in [
        &["user", "add", "p1", "--role", "patient"][..],
        &["user", "add", "n1", "--role", "nurse"],
        &["user", "add", "w1", "--role", "device", "--device-of", "p1"],
        &[
            "care",
            "add",
            "p1",
            "n1",
            "--relation",
            "nurse",
            "--scopes",
            "alerts,vitals",
            "--until",
            "2199-01-01T00:00:00Z",
        ],
    ] {
        printed(data, arguments);
    }
    let team = json(data, &["care", "list", "p1"]);
    let member = &team["care_team"][0];
    assert_eq!(
        (&member["relation"], &member["scopes"]),
        (&"nurse".into(), &serde_json::json!(["vitals", "alerts"]))
    );
    let explained = |arguments: &[&str]| printed(data, &[&["access", "explain"], arguments].concat());
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let shown = explained(&["n1", "health:p1"]);
    assert_eq!(first(&shown), "yes: n1 (nurse), read_measurements of p1");
    for part in [
        "care_team: you are in",
        "until   2199-01-01T00:00:00",
        "then ended",
        "place   nurse,",
        "vitals,alerts",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for (arguments, answer, reason) in [
        (&["n1", "p1", "--action", "medications"][..], "no", "scope_missing: "),
        (&["n1", "health:p1", "--at", "2199-01-01T00:00:00Z"], "no", "ended: "),
        (&["n1", "chat:p1"], "no", "scope_missing: "),
        (&["n1", "notifications:n1"], "yes", "own: "),
        (&["n1", "health:nobody"], "no", "not_in_care_team: "),
        (&["w1", "p1", "--action", "write_measurements"], "yes", "own: "),
        (&["n1", "p1", "--action", "break_glass"], "yes", "clinician: "),
    ] {
        let shown = explained(arguments);
        assert!(shown.starts_with(answer) && shown.contains(reason), "{arguments:?}: {shown}");
    }
    let told = json(data, &["access", "explain", "n1", "p1", "--action", "manage_care_team"]);
    assert_eq!((&told["allowed"], &told["reason"]), (&false.into(), &"scope_missing".into()));
    assert_eq!(told["place"]["relation"], "nurse");
    assert_eq!(printed(data, &["user", "role", "n1", "admin"]), "n1 is admin now\n");
    assert!(explained(&["n1", "health:p1"]).contains("administrator: "));
    let (code, sentence) = refused(data, &["user", "role", "p1", "nurse"]);
    assert_eq!(code, 1);
    assert!(sentence.contains("a patient is one from the beginning and stays one"), "{sentence}");
    let (code, sentence) = refused(data, &["access", "explain", "n1", "p1"]);
    assert_eq!(code, 2);
    assert!(sentence.contains("health:p1"), "{sentence}");
    assert_eq!(refused(data, &["access", "explain", "nobody", "health:p1"]).0, 1);
    assert_eq!(refused(data, &["care", "add", "p1", "n1", "--scopes", "all"]).0, 2);
}

#[test]
fn a_patient_is_erased_by_whoever_types_the_id_again() {
    let folder = folder();
    let data = folder.path();
    json(data, &["user", "add", "p1", "--role", "patient"]);
    let erase = |typed: &str| run_with(data, &["erase", "p1", "--json"], typed);
    for wrong in ["p2\n", ""] {
        let refused = erase(wrong);
        assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), String::new()));
        assert!(text(&refused.stderr).ends_with("healthmate: that is another id: nothing was erased\n"));
    }
    let erased = erase("p1\n");
    // The question stands apart from the answer, which is JSON alone.
    assert!(text(&erased.stderr).contains("Type the patient's id to erase p1"));
    let answer: Value = serde_json::from_slice(&erased.stdout).expect("JSON");
    assert_eq!((&answer["patient"], &answer["already"]), (&"p1".into(), &false.into()));
}

//! The real binary, as a person at a terminal meets it: its help, its refusals, and users, tokens and care teams
//! from adding to listing.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn healthmate(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    // Whoever runs the tests may have settings of their own.
    command.env_clear().env("COLUMNS", "100").current_dir(data).args(arguments);
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    healthmate(data, arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Runs a command that succeeds, with `--json`, and reads what it prints.
fn json(data: &Path, arguments: &[&str]) -> Value {
    let output = run(data, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{arguments:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Runs a command that fails; returns its exit code and its sentence.
fn refused(data: &Path, arguments: &[&str]) -> (i32, String) {
    let output = run(data, arguments);
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    (output.status.code().expect("no signal"), text(&output.stderr))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn help_reads_well() {
    let folder = folder();
    let help = |arguments: &[&str]| {
        let output = run(folder.path(), &[arguments, &["--help"]].concat());
        assert!(output.status.success());
        text(&output.stdout)
    };
    insta::assert_snapshot!("help", help(&[]));
    for command in [
        "serve", "status", "replay", "waveform", "watch", "user", "care", "access", "token", "config",
        "migrate", "schema",
    ] {
        insta::assert_snapshot!(format!("help-{command}"), help(&[command]));
    }
    for (command, action) in [
        ("user", "add"),
        ("care", "add"),
        ("care", "remove"),
        ("access", "explain"),
        ("user", "role"),
        ("token", "issue"),
        ("config", "check"),
    ] {
        insta::assert_snapshot!(format!("help-{command}-{action}"), help(&[command, action]));
    }
}

#[test]
fn help_says_healthmate_under_any_file_name() {
    let folder = folder();
    let other = folder.path().join("hm");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_healthmate"), &other).expect("linked");
    for (arguments, usage) in [
        (&["--help"][..], "Usage: healthmate <COMMAND>"),
        (&["user", "add", "--help"], "Usage: healthmate user add"),
    ] {
        let help = text(&Command::new(&other).args(arguments).output().expect("the binary runs").stdout);
        assert!(help.contains(usage), "{help}");
    }
}

#[test]
fn help_does_not_show_the_token_of_the_environment() {
    let folder = folder();
    let output = healthmate(folder.path(), &["watch", "--help"])
        .env("HEALTHMATE_TOKEN", "planted.token.here")
        .output()
        .expect("the binary runs");
    assert!(!text(&output.stdout).contains("planted"));
}

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

const PAST: &str = "--until lies in the past: to end it now, run `healthmate care remove p1 p1`";

#[test]
fn what_cannot_be_done_is_one_sentence_and_a_code() {
    let folder = folder();
    let data = folder.path();
    json(data, &["user", "add", "p1", "--role", "patient"]);
    for (arguments, code, sentence) in [
        (&["user", "add", "p1", "--role", "patient"][..], 1, "user p1 exists already"),
        (&["user", "add", "d1", "--role", "device"], 2, "a device needs --device-of, its patient"),
        (&["user", "add", "d1", "--role", "device", "--device-of", "p9"], 1, "there is no patient p9"),
        (
            &["user", "add", "n1", "--role", "nurse", "--device-of", "p1"],
            2,
            "--device-of is for devices, and this is a nurse",
        ),
        (&["user", "disable", "p9"], 1, "there is no user p9"),
        (&["care", "list", "p9"], 1, "there is no user p9"),
        (&["care", "add", "p1", "p1", "--until", "2001-01-01T00:00:00Z"], 2, PAST),
        (&["care", "remove", "p1", "n1"], 1, "n1 is not in the care team of p1"),
        (&["token", "issue", "p9"], 1, "there is no user p9"),
        (&["token", "inspect", "nonsense"], 1, "no token: The token is not a signed JWT."),
        (&["watch", "health:p1"], 2, "no token: give --token"),
        (&["replay", "none.csv", "--patient", "p1"], 2, "none.csv: No such file"),
    ] {
        let (got, said) = refused(data, arguments);
        assert_eq!(got, code, "{arguments:?}: {said}");
        assert!(said.starts_with(&format!("healthmate: {sentence}")), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_mistyped_data_folder_is_told_and_not_made() {
    let folder = folder();
    let data = folder.path();
    std::fs::create_dir(data.join("empty")).expect("made");
    std::fs::write(data.join("one.csv"), "t_ms,bpm\n0,60\n").expect("written");
    let (mistyped, empty) = ("no/such/folder", "empty");
    for place in [mistyped, empty] {
        for command in [
            "user list",
            "user disable p1",
            "user enable p1",
            "care add p1 n1",
            "care remove p1 n1",
            "care list p1",
            "token issue p1",
            "migrate --new-epoch",
        ] {
            let arguments: Vec<_> = command.split(' ').chain(["--data", place]).collect();
            let (code, said) = refused(data, &arguments);
            assert_eq!(code, 2, "{command}: {said}");
            let sentence = format!("healthmate: there is no database in {place}: name the data folder");
            assert!(said.starts_with(&sentence), "{command}: {said}");
            assert_eq!(said.lines().count(), 1, "{command}: {said}");
        }
        for command in ["watch health:p1 --as n1", "replay one.csv --patient p1"] {
            let arguments: Vec<_> = command.split(' ').chain(["--data", place]).collect();
            let secret = "a-secret-of-the-environment-a-secret";
            let output = healthmate(data, &arguments).env("HEALTHMATE_AUTH__JWT_SECRET", secret).output();
            let said = text(&output.expect("the binary runs").stderr);
            assert!(said.starts_with("healthmate: there is no database in"), "{command}: {said}");
        }
    }
    assert!(!data.join("no").exists(), "no folder was made");
    assert_eq!(std::fs::read_dir(data.join(empty)).expect("listed").count(), 0, "nothing was made");
    json(data, &["user", "add", "p1", "--role", "patient", "--data", mistyped]);
    json(data, &["migrate", "--data", empty]);
    for place in [mistyped, empty] {
        assert!(data.join(place).join("healthmate.db").exists(), "these two may make it");
    }
}

#[test]
fn wrong_usage_is_told_before_anything_is_touched() {
    let folder = folder();
    let data = folder.path();
    for arguments in [
        &["user", "add", "p 1", "--role", "patient"][..],
        &["user", "add", "p1", "--role", "wizard"],
        &["watch", "nonsense"],
        &["watch", "health:p1", "--since", "41"],
        &["watch", "health:p1", "--count", "0"],
        &["replay", "x.csv", "--patient", "p1", "--speed", "0"],
        &["token", "issue", "p1", "--ttl", "soon"],
        &["serv"],
    ] {
        assert_eq!(refused(data, arguments).0, 2, "{arguments:?}");
    }
    assert_eq!(std::fs::read_dir(data).expect("listed").count(), 0, "nothing was made");
}

#[test]
fn wrong_settings_stop_and_name_the_nearest_known_one() {
    let folder = folder();
    let data = folder.path();
    std::fs::write(data.join("wrong.toml"), "[server]\nlistn = \"127.0.0.1:1\"\n").expect("written");
    for command in ["config check", "config show", "serve", "user list", "migrate"] {
        let arguments: Vec<_> = command.split(' ').chain(["--config", "wrong.toml"]).collect();
        let (code, said) = refused(data, &arguments);
        assert_eq!(code, 2, "{command}: {said}");
        assert!(
            said.contains("server.listn") && said.contains("did you mean server.listen?"),
            "{command}: {said}"
        );
    }
    let output = run(data, &["config", "check", "--config", "wrong.toml", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&found["ok"], &found["problems"][0]["setting"]), (&false.into(), &"server.listn".into()));
}

#[test]
fn settings_are_shown_without_the_secret() {
    let folder = folder();
    let secret = "planted-secret-planted-secret-planted";
    for arguments in [&["config", "show"][..], &["config", "show", "--json"], &["config", "check"]] {
        let output = healthmate(folder.path(), arguments)
            .env("HEALTHMATE_AUTH__JWT_SECRET", secret)
            .env("HEALTHMATE_LOG__LEVEL", "debug")
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains("planted"), "{arguments:?}");
        assert!(arguments[1] == "check" || said.contains("debug"), "{arguments:?}: {said}");
    }
}

#[test]
fn the_schema_is_brought_up_to_date_and_its_steps_are_listed() {
    let folder = folder();
    let data = folder.path();
    let applied = |status: &Value| -> Vec<bool> {
        let steps = status["migrations"].as_array().expect("a list");
        steps.iter().map(|step| step["applied"].as_bool().expect("a flag")).collect()
    };
    let before = json(data, &["migrate", "--status"]);
    assert!(!applied(&before).is_empty() && !applied(&before).contains(&true));
    assert!(!data.join("healthmate-data").exists(), "asking makes nothing");
    assert!(before["epoch"].is_null());
    let first = json(data, &["migrate"]);
    assert!(first["epoch"].is_string());
    assert_eq!(json(data, &["migrate", "--status"]), first);
    assert!(!applied(&first).contains(&false));
    assert_eq!(json(data, &["migrate"])["epoch"], first["epoch"]);
    assert_ne!(json(data, &["migrate", "--new-epoch"])["epoch"], first["epoch"]);
    assert_eq!(applied(&json(data, &["migrate", "--status"])), applied(&first));
}

/// File modes do not bind root: where the tests run as root, another user asks.
#[test]
fn the_steps_are_listed_of_a_folder_that_cannot_be_written() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let folder = folder();
    let data = folder.path();
    let migrated = json(data, &["migrate"]);
    let program = data.join("program");
    std::fs::copy(env!("CARGO_BIN_EXE_healthmate"), &program).expect("copied");
    let store = data.join("healthmate-data");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    };
    // As a server leaves it that stopped, or a backup.
    for file in ["healthmate.db-wal", "healthmate.db-shm"] {
        drop(std::fs::remove_file(store.join(file)));
    }
    for file in std::fs::read_dir(&store).expect("listed") {
        mode(&file.expect("listed").path(), 0o444);
    }
    mode(&store, 0o555);
    for path in [data, &program] {
        mode(path, 0o755);
    }
    let mut ask = Command::new(&program);
    ask.env_clear().current_dir(data).args(["migrate", "--status", "--json"]);
    if std::fs::metadata(data).expect("there").uid() == 0 {
        ask.uid(65534).gid(65534);
    }
    let output = ask.output().expect("the binary runs");
    mode(&store, 0o755);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON"), migrated);
}

#[test]
fn the_documents_are_the_committed_ones() {
    let folder = folder();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api");
    for document in ["openapi", "asyncapi", "json-schema"] {
        let printed = text(&run(folder.path(), &["schema", document]).stdout);
        let printed: Value = serde_json::from_str(&printed).expect("JSON");
        let name = match document {
            "json-schema" => "protocol.schema.json",
            "asyncapi" => "asyncapi.json",
            _ => "openapi.json",
        };
        let file = std::fs::read_to_string(committed.join(name)).expect("committed");
        assert_eq!(printed, serde_json::from_str::<Value>(&file).expect("JSON"), "{document}");
    }
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

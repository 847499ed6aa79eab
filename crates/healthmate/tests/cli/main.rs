//! The real binary, as a person at a terminal meets it: its help, its refusals, and users, tokens and care teams
//! from adding to listing.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod people;

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
        (
            &["token", "inspect", "nonsense"],
            1,
            "no token: The token is neither a signed JWT nor an API token.",
        ),
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
            "user role p1 doctor",
            "access explain n1 health:p1",
            "keys show",
            "audit verify",
            "audit export",
            "erase p1 --yes",
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
        &["bench", "open", "--rates", "500,0"],
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

//! The real binary with hostile input: each refusal is one short sentence on stderr, the exit code is 2 where the command
//! line is wrong and 1 where it cannot be done, and no secret is repeated.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Stands for a secret: no output repeats it.
const SECRET: &str = "MARKERSECRET";

/// How long a refusal may be, in bytes.
const SHORT: usize = 600;

fn not_utf8() -> OsString {
    OsString::from_vec(b"folder-\xff\xfe".to_vec())
}

fn run_with(data: &Path, arguments: &[&OsStr], environment: &[(&str, OsString)], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    command.env_clear().env("COLUMNS", "100").envs(environment.iter().cloned()).current_dir(data);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // Whoever does not read it all has heard enough.
    let _ = child.stdin.take().expect("piped").write_all(stdin);
    child.wait_with_output().expect("ended")
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn people() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for line in ["user add p1 --role patient", "user add n1 --role nurse"] {
        let arguments = words(line);
        let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
        assert!(run_with(folder.path(), &arguments, &[], b"").status.success());
    }
    folder
}

/// The sentence of a refusal with this code.
fn sentence(output: &Output, code: i32, about: &dyn std::fmt::Debug) -> String {
    let said = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{about:?}: {said}");
    assert_eq!(output.stdout, b"", "{about:?}");
    assert!(said.starts_with("healthmate: ") && said.ends_with('\n'), "{about:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{about:?}: {said}");
    assert!(said.len() < SHORT && !said.trim_end().contains(char::is_control), "{about:?}: {said}");
    assert!(!said.contains(SECRET) && !said.contains("panicked"), "{about:?}: {said}");
    said
}

fn refused(data: &Path, arguments: &[OsString], code: i32) -> String {
    let given: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
    sentence(&run_with(data, &given, &[], b""), code, &arguments)
}

#[test]
fn wrong_arguments_are_refused_in_a_sentence() {
    let folder = people();
    let long = "a".repeat(100_000);
    for line in [
        // Nothing, or nothing that is known.
        "nope",
        "--nope",
        "user add",
        "user nope",
        "user add x --rolle nurse",
        "user add x --role nurse --role nurse",
        "erase p1 --yes=1",
        "schema nope",
        "audit export --format xml",
        // Ids, names and words.
        "user add ../../etc --role patient",
        "user add a\0b --role patient",
        "user add a\u{202e}b --role patient",
        "user add x --role PATIENT",
        "user add x --role patient --name a\nb",
        "access explain n1 health:../p1",
        "access explain n1 health:",
        "keys retire ../key",
        "care add p1 n1 --scopes vitals,,",
        "care add p1 n1 --relation friend;DROP",
        "audit verify --public-key zz",
        "audit verify --public-key 0x",
        // Numbers and times.
        "token issue p1 --ttl 99999999999999999999s",
        "token issue p1 --ttl 4294967296s",
        "token issue p1 --ttl 1e9s",
        "token issue p1 --ttl -1s",
        "token issue p1 --ttl 0s",
        "care add p1 n1 --until 99999-01-01T00:00:00Z",
        "care add p1 n1 --until tomorrow",
        "access explain n1 health:p1 --at 1e999",
        "replay /dev/null --patient p1 --speed 1e999",
        "replay /dev/null --patient p1 --speed NaN",
        "bench ingest --seconds 99999999999999999999",
        "serve --listen 127.0.0.1:99999",
        "serve --listen localhost",
        // Paths.
        "serve --config /dev/null/x",
        "user list --config .",
        "user list --config /nowhere",
        "user list --data nowhere/at/all",
        "replay / --patient p1",
        "replay nowhere --patient p1",
    ] {
        // What is no C string does not reach a program: a NUL is an error of whoever starts it.
        if line.contains('\0') {
            let started = Command::new(env!("CARGO_BIN_EXE_healthmate")).args(words(line)).output();
            assert_eq!(started.expect_err("no program").kind(), std::io::ErrorKind::InvalidInput);
            continue;
        }
        refused(folder.path(), &words(line), 2);
    }
    for (arguments, value) in [
        (["user", "add", "VALUE", "--role", "patient"], long.as_str()),
        (["user", "add", "x", "--role", "VALUE"], long.as_str()),
        (["user", "add", "x", "--role", "VALUE"], "\u{1b}[31m\r\n\n\nred"),
        (["user", "list", "--data", "nowhere", "VALUE"], long.as_str()),
    ] {
        let arguments = arguments.map(|word| OsString::from(word.replace("VALUE", value)));
        refused(folder.path(), &arguments, 2);
    }
}

#[test]
fn empty_values_are_refused() {
    let folder = people();
    for line in [
        "EMPTY",
        "user add EMPTY --role patient",
        "user add x --role EMPTY",
        "user add x --role patient --name EMPTY",
        "token issue p1 --ttl EMPTY",
        "token issue-api p1 --name EMPTY --scope read_measurements",
        "care add p1 n1 --scopes EMPTY",
        "care add p1 n1 --until EMPTY",
        "access explain n1 EMPTY",
        "audit verify --public-key EMPTY",
        "audit export --patient EMPTY",
        "keys retire EMPTY",
        "erase EMPTY",
        "serve --listen EMPTY",
        "user list --config EMPTY",
        "user list --data EMPTY",
        "schema EMPTY",
    ] {
        let arguments: Vec<_> = words(line)
            .into_iter()
            .map(|word| if word == "EMPTY" { OsString::new() } else { word })
            .collect();
        refused(folder.path(), &arguments, 2);
    }
}

/// Neither taken for another text, nor left out.
#[test]
fn what_is_not_utf8_is_refused() {
    let folder = people();
    for line in [
        "BYTES",
        "user add BYTES --role patient",
        "user add x --role BYTES",
        "user add x --role patient --name BYTES",
        "access explain n1 BYTES",
        "token inspect BYTES",
        "token revoke BYTES",
        "keys retire BYTES",
        "serve --listen BYTES",
        "serve --data BYTES",
        "user list --data BYTES",
        "user list --config BYTES",
    ] {
        let arguments: Vec<_> =
            words(line).into_iter().map(|word| if word == "BYTES" { not_utf8() } else { word }).collect();
        refused(folder.path(), &arguments, 2);
    }
    let list = [OsStr::new("user"), OsStr::new("list")];
    for name in ["HEALTHMATE_AUTH__JWT_SECRET", "HEALTHMATE_SERVER__DATA", "HEALTHMATE_STORAGE__KEYS"] {
        let output = run_with(folder.path(), &list, &[(name, not_utf8())], b"");
        assert!(sentence(&output, 2, &name).contains(&format!("{name}: is not UTF-8")));
    }
}

#[test]
fn wrong_settings_of_the_environment_name_the_variable_and_not_its_value() {
    let folder = people();
    let list = [OsStr::new("user"), OsStr::new("list")];
    for (name, value, code) in [
        ("HEALTHMATE_AUTH__JWT_SECRET", SECRET, 2),
        ("HEALTHMATE_AUTH__JWT_SECRET", "", 2),
        ("HEALTHMATE_STORAGE__KEYS", SECRET, 1),
        ("HEALTHMATE_SERVER__DATA", "", 2),
        ("HEALTHMATE_SERVER__SHARDS", "99999999999999999999", 2),
        ("HEALTHMATE_SERVER__LISTEN", "nowhere", 2),
        ("HEALTHMATE_SERVER__NOPE", SECRET, 2),
    ] {
        let output = run_with(folder.path(), &list, &[(name, value.into())], b"");
        assert!(sentence(&output, code, &(name, value)).contains(name), "{name}");
    }
}

/// A password belongs on stdin, and a token of anybody is a secret: where they stand in the wrong place, they are not
/// repeated either.
#[test]
fn no_secret_is_repeated() {
    let folder = people();
    let api = format!("hmt_00000000000000000000000000000000_{SECRET}");
    for (line, code) in [
        (format!("user password p1 {SECRET}"), 2),
        (format!("user password p1 --password={SECRET}"), 2),
        (format!("token inspect x {SECRET}"), 2),
        (format!("token inspect x --secret={SECRET}"), 2),
        (format!("token inspect {SECRET}"), 1),
        (format!("token inspect {SECRET}.{SECRET}.{SECRET}"), 1),
        (format!("token inspect {api}"), 1),
        (format!("token revoke {SECRET}"), 1),
        (format!("token revoke {api}"), 1),
        (format!("status --token {SECRET} --server nonsense"), 2),
        (format!("status --server ws://user:{SECRET}@127.0.0.1:1"), 2),
        (format!("watch health:p1 --token {SECRET} --server ws://["), 2),
        (format!("watch health:p1 --token x --server ws://user:{SECRET}@127.0.0.1:1"), 2),
        (format!("watch health:p1 --token x --server nonsense:{SECRET}@"), 2),
        (format!("replay nowhere --patient p1 --token {SECRET}"), 2),
    ] {
        refused(folder.path(), &words(&line), code);
    }
}

#[test]
fn what_comes_on_stdin_may_be_anything() {
    let folder = people();
    let data = folder.path();
    let huge = SECRET.repeat(500_000);
    for input in
        [&b"\xff\xfe\n"[..], b"", b"\0\0\0\0\0\0\0\0\n", huge.as_bytes(), SECRET.as_bytes(), b"\n\n\n"]
    {
        for (line, code) in [("token inspect -", 1), ("token revoke -", 1), ("user password nobody", 1)] {
            let arguments = words(line);
            let given: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
            let about = (line, &input[..input.len().min(20)]);
            sentence(&run_with(data, &given, &[], input), code, &about);
        }
    }
    let output = run_with(data, &[OsStr::new("erase"), OsStr::new("p1")], &[], b"\xff\n");
    assert_eq!(output.status.code(), Some(1));
    let output = run_with(data, &[OsStr::new("erase"), OsStr::new("p1")], &[], b"p2\n");
    assert_eq!(output.status.code(), Some(2), "another id is no yes");
    let list = run_with(data, &[OsStr::new("user"), OsStr::new("list")], &[], b"");
    assert!(String::from_utf8(list.stdout).expect("UTF-8").contains("p1"), "nobody was erased");
}

/// What a token proves itself with is in no answer: not as text, not as JSON, and not where it is refused.
#[test]
fn inspecting_a_token_shows_what_it_claims_and_not_what_proves_it() {
    let folder = people();
    let data = folder.path();
    let run = |line: &str, stdin: &[u8]| {
        let arguments = words(line);
        let given: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
        let output = run_with(data, &given, &[], stdin);
        let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        (output.status.code(), texts.concat())
    };
    let token = run("token issue n1 --ttl 1h", b"").1.trim().to_owned();
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let secret = std::fs::read_to_string(data.join("healthmate-data/jwt-secret")).expect("text");
    let other = format!("{head}.{claims}.AAAAAAAA{}", &signature[8..]);
    let cut = format!("{head}.{claims}.");
    for (token, verdict) in [
        (&token, "good: the server of this data folder takes it"),
        (&other, "refused: token_signature"),
        (&cut, "refused: token_"),
    ] {
        for line in ["token inspect -", "token inspect - --json", &format!("token inspect {token}")] {
            let (_, said) = run(line, token.as_bytes());
            let proof = token.rsplit('.').next().expect("parts");
            for secret in [proof, secret.trim(), signature, head, claims] {
                assert!(secret.is_empty() || !said.contains(secret), "{secret} in {line}: {said}");
            }
            assert!(line.ends_with("--json") || said.contains(verdict), "{line}: {said}");
            assert!(said.contains(r#""sub":"n1""#) && said.contains(r#""alg":"HS256""#), "{line}: {said}");
        }
    }
    assert!(run("user disable n1", b"").1.contains("n1"));
    let (code, said) = run("token inspect -", token.as_bytes());
    assert!(code == Some(0) && said.contains("good"), "who may use it is not the token's to say: {said}");
}

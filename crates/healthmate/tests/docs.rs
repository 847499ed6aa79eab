//! What the docs say of the repository is so: paths exist, defaults are the defaults.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).expect(path)
}

/// The paths a page names: targets of links to files, and words in backticks that begin with one of our folders.
fn paths_named<'a>(page: &'a str, folder: &str) -> Vec<(String, &'a str)> {
    let linked = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let linked = linked.filter(|target| !target.starts_with('#') && !target.contains("://"));
    let linked =
        linked.map(|target| (format!("{folder}/{}", target.split('#').next().unwrap_or_default()), target));
    let ours = ["crates/", "docs/", "web/", "sdk/", "fuzz/", "data/"];
    let quoted = page.split('`').skip(1).step_by(2).filter(|word| !word.contains(['*', '<', '\n', ' ']));
    let quoted = quoted.filter(|word| ours.iter().any(|start| word.starts_with(start)));
    linked.chain(quoted.map(|word| (word.to_owned(), word))).collect()
}

#[test]
fn every_path_that_the_docs_name_exists() {
    let inside = |folder: &str| {
        let files = std::fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder");
        let paths = files.map(|file| file.expect("read").path());
        let pages = paths.filter(|path| path.extension().is_some_and(|end| end == "md"));
        let names = pages.filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        names.map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    let folders = [".", "docs", "docs/adr", "deploy", "bench", "data", "fuzz", "sdk/typescript", "web"];
    let mut seen = 0;
    for page in folders.iter().flat_map(|folder| inside(folder)) {
        let text = read(&page);
        let folder = page.rsplit_once('/').map_or(".", |(folder, _)| folder);
        for (path, named) in paths_named(&text, folder) {
            assert!(Path::new(ROOT).join(&path).exists(), "{page} names {named}, which is not there");
            seen += 1;
        }
    }
    assert!(seen > 120, "only {seen} paths: the pages are read wrongly");
}

/// The commands of the page that signs people in, one after the other, as they stand there: against a server of their own.
#[cfg(unix)]
#[test]
fn the_commands_of_the_sign_in_page_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = read("docs/sign-in.md");
    let lines: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("curl ")).count(), 5, "{lines:#?}");
    let bin = env!("CARGO_BIN_EXE_healthmate");
    let data = folder.path().join("data");
    let command = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(folder.path()).env("HEALTHMATE_SERVER__DATA", &data);
        command
    };
    let mut server = command(bin);
    server.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Server(server.spawn().expect("it starts"));
    let mut said = BufReader::new(server.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let address = said.find_map(|line| Some(line.split_once("http://")?.1.to_owned()));
    let address = address.expect("it says where it listens");
    // The token that the page takes back, and a curl that fails where the server refuses.
    let script = format!(
        "set -euo pipefail\nhealthmate() {{ '{bin}' \"$@\"; }}\ncurl() {{ command curl --fail-with-body \"$@\"; }}\n\
         healthmate user add leaky --role nurse\nhealthmate token issue leaky > leaked.token\n{}\n",
        lines.join("\n").replace("127.0.0.1:8080", &address)
    );
    let mut bash = command("bash");
    bash.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut bash = bash.spawn().expect("bash runs");
    // The password is read from the terminal, or from here.
    bash.stdin.take().expect("piped").write_all(b"correct horse battery\n").expect("written");
    let output = bash.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    for part in [r#""id":"nurse-1""#, r#""patient":"patient-1""#, "revoked token"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

/// A process that is killed when the test ends, also when it fails.
#[cfg(unix)]
struct Server(Child);

#[cfg(unix)]
impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of `section.name` in the annotated default settings, as it is written there.
fn default_of<'a>(settings: &'a str, setting: &str) -> &'a str {
    let (section, name) = setting.split_once('.').expect("section.name");
    let (_, rest) = settings.split_once(&format!("\n[{section}]\n")).expect(section);
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let value = lines.filter_map(|line| line.split_once(" = ")).find(|(known, _)| *known == name);
    value.unwrap_or_else(|| panic!("there is no setting {setting}")).1
}

#[test]
fn the_limits_of_the_protocol_page_are_the_defaults() {
    let (page, settings) = (read("docs/protocol.md"), read("crates/server/config.default.toml"));
    let (_, limits) = page.split_once("\n## Limits\n").expect("the page has limits");
    let (limits, _) = limits.split_once("\n## ").expect("something follows");
    let mut seen = 0;
    for row in limits.lines().filter(|line| line.contains('_') && line.ends_with("` |")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (shown, setting) = (cells[2], cells[3].trim_matches('`'));
        let number = shown.split(' ').next().expect("never empty");
        assert_eq!(number, default_of(&settings, setting), "docs/protocol.md is wrong about {setting}");
        seen += 1;
    }
    assert!(seen >= 9, "only {seen} rows with a setting");
}

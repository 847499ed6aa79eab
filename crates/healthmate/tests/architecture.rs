//! The rooms of `docs/architecture.md` hold: who may use whom, what must stay unseen, and under which licences.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// One crate of the workspace, and what it may know.
struct Room {
    name: &'static str,
    /// The workspace's crates it may use, by their names without `healthmate-`.
    may_use: &'static [&'static str],
    /// The crates that must not be among its dependencies, however far down.
    must_not_see: &'static [&'static str],
}

/// What a crate without input and output must not see.
const PERFORMERS: &[&str] = &["tokio", "axum", "hyper", "rusqlite", "rustls", "tracing-subscriber"];

const ROOMS: &[Room] = &[
    Room { name: "protocol", may_use: &[], must_not_see: PERFORMERS },
    Room { name: "care", may_use: &["protocol"], must_not_see: PERFORMERS },
    Room { name: "session", may_use: &["protocol", "care"], must_not_see: PERFORMERS },
    Room { name: "ws", may_use: &[], must_not_see: &["axum", "rusqlite", "serde_json"] },
    Room { name: "storage", may_use: &["protocol", "care"], must_not_see: &["rusqlite", "axum", "hyper"] },
    Room {
        name: "storage-sqlite",
        may_use: &["protocol", "care", "storage"],
        must_not_see: &["axum", "hyper"],
    },
    Room { name: "hub", may_use: &["protocol", "ws"], must_not_see: &["rusqlite", "axum", "hyper"] },
    Room {
        name: "server",
        may_use: &["protocol", "care", "session", "ws", "hub", "storage", "storage-sqlite"],
        must_not_see: &[],
    },
    Room {
        name: "healthmate",
        may_use: &["protocol", "care", "storage", "storage-sqlite", "server"],
        must_not_see: &[],
    },
];

/// TLS is rustls: a second one would be a second set of bugs, and needs a C library at run time.
const NOWHERE: &[&str] = &["openssl", "openssl-sys", "native-tls"];

/// The workspace and all it stands on, as cargo resolved it for this machine.
struct Graph {
    /// A package's name and licence, by its id.
    packages: BTreeMap<String, (String, Option<String>)>,
    /// The ids a package needs to be built and run; its tests may need more.
    needs: BTreeMap<String, Vec<String>>,
    members: Vec<String>,
}

impl Graph {
    fn read() -> Self {
        let rustc = run(Command::new("rustc").arg("-vV"));
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        let text = run(Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--filter-platform", host])
            .current_dir(env!("CARGO_MANIFEST_DIR")));
        let metadata: Value = serde_json::from_str(&text).expect("JSON");
        let packages = list(&metadata["packages"]).iter().map(|package| {
            let licence = package["license"].as_str().map(str::to_owned);
            (word(&package["id"]), (word(&package["name"]), licence))
        });
        let needs = list(&metadata["resolve"]["nodes"]).iter().map(|node| {
            let built =
                |dependency: &&Value| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev");
            let needs = list(&node["deps"]).iter().filter(built).map(|dependency| word(&dependency["pkg"]));
            (word(&node["id"]), needs.collect())
        });
        Self {
            packages: packages.collect(),
            needs: needs.collect(),
            members: list(&metadata["workspace_members"]).iter().map(word).collect(),
        }
    }

    fn name(&self, id: &str) -> &str {
        &self.packages[id].0
    }

    fn member(&self, room: &str) -> &str {
        let named = |id: &&String| room_name(self.name(id)) == room;
        self.members.iter().find(named).unwrap_or_else(|| panic!("the workspace has no crate {room}"))
    }

    /// The names of everything `id` stands on.
    fn sees(&self, id: &str) -> BTreeSet<&str> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            open.extend(
                self.needs[id].iter().filter(|needed| seen.insert(needed.as_str())).map(String::as_str),
            );
        }
        seen.into_iter().map(|id| self.name(id)).collect()
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn word(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn room_name(package: &str) -> &str {
    package.strip_prefix("healthmate-").unwrap_or(package)
}

#[test]
fn every_crate_of_the_workspace_has_its_room() {
    let graph = Graph::read();
    let members: BTreeSet<&str> = graph.members.iter().map(|id| room_name(graph.name(id))).collect();
    assert_eq!(members, ROOMS.iter().map(|room| room.name).collect());
}

#[test]
fn no_room_uses_one_above_it() {
    let graph = Graph::read();
    for room in ROOMS {
        for needed in &graph.needs[graph.member(room.name)] {
            let used = room_name(graph.name(needed));
            let allowed = !graph.members.contains(needed) || room.may_use.contains(&used);
            assert!(allowed, "{} uses {used}: see the table in docs/architecture.md", room.name);
        }
    }
}

#[test]
fn no_room_sees_what_must_stay_unseen() {
    let graph = Graph::read();
    for room in ROOMS {
        let seen = graph.sees(graph.member(room.name));
        for unwanted in room.must_not_see.iter().chain(NOWHERE) {
            assert!(!seen.contains(unwanted), "{} sees {unwanted}", room.name);
        }
    }
    // The walk does reach far: what the server stands on is found from the top.
    let from_the_top = graph.sees(graph.member("healthmate"));
    assert!(["tokio", "axum", "rusqlite", "serde_json"].iter().all(|name| from_the_top.contains(name)));
}

/// The licences of `deny.toml`: one list, which `cargo deny` reads too.
fn allowed_licences() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deny.toml");
    let text = std::fs::read_to_string(path).expect("deny.toml is there");
    let (_, rest) = text.split_once("\n[licenses]\n").expect("it has licences");
    let (_, rest) = rest.split_once("allow = [").expect("it allows some");
    let (allowed, _) = rest.split_once(']').expect("the list ends");
    allowed.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be satisfied with the allowed licences. `AND` binds closer than `OR`.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // Old manifests write `MIT/Apache-2.0` for "or".
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let value = any_of(&mut rest, allowed);
    assert!(rest.is_empty(), "cannot read the licence {expression:?}");
    value
}

fn any_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut value = all_of(rest, allowed);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        value |= all_of(rest, allowed);
    }
    value
}

fn all_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut value = one(rest, allowed);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        value &= one(rest, allowed);
    }
    value
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let value = any_of(rest, allowed);
            *rest = rest.strip_prefix(&[")"]).expect("a bracket closes");
            value
        }
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, after @ ..] => {
            *rest = after;
            allowed.contains(*licence)
        }
        [] => panic!("a licence is missing"),
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let (graph, allowed) = (Graph::read(), allowed_licences());
    assert!(allowed.contains("MIT") && allowed.contains("Apache-2.0"), "{allowed:?}");
    for id in graph.needs.keys() {
        let (name, licence) = &graph.packages[id];
        let licence = licence.as_deref().unwrap_or_else(|| panic!("{name} names no licence"));
        assert!(
            satisfied(licence, &allowed),
            "{name} has the licence {licence}, which deny.toml does not allow"
        );
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for good in
        ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND ISC", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(satisfied(good, &allowed), "{good}");
    }
    for bad in
        ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "Apache-2.0", "GPL-3.0 OR MIT AND BSL-1.0"]
    {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}

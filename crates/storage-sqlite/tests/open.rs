//! Opening: what is made, what is kept, and what is refused with which sentence.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use healthmate_care::{By, CareRelation, Measurement, Metric, Role, SystemClock, User};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::{Directory, Measurements, Recording};
use healthmate_storage_sqlite::{OpenError, Options, SqliteStore, migration_status};
use rusqlite::Connection;

fn open(dir: &Path) -> Result<Arc<SqliteStore>, OpenError> {
    SqliteStore::open(dir, &Options::default(), Arc::new(SystemClock::default()))
}

fn beside(dir: &Path) -> Result<Arc<SqliteStore>, OpenError> {
    let options = Options { exclusive: false, ..Options::default() };
    SqliteStore::open(dir, &options, Arc::new(SystemClock::default()))
}

fn by() -> By {
    By::command_line(Timestamp::from_micros(0))
}

fn patient(name: &str) -> User {
    let id = UserId::new(name).expect("valid");
    User { id, role: Role::Patient, name: name.to_owned(), device_of: None, active: true }
}

/// A folder with a database that was closed.
fn closed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()).expect("opened"));
    folder
}

#[test]
fn folder_and_file_are_made_for_their_owner_and_a_clean_stop_leaves_no_journal() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("a/b");
    drop(open(&folder).expect("opened"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let rights = |path: &Path| fs::metadata(path).expect("made").permissions().mode() & 0o777;
        assert_eq!(rights(&folder), 0o700);
        assert_eq!(rights(&folder.join("healthmate.db")), 0o600, "also where the folder is open to others");
    }
    assert!(folder.join("healthmate.db").exists());
    assert!(!folder.join("healthmate.db-wal").exists());
}

#[test]
fn a_second_server_is_refused_until_the_first_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path()).expect("opened");
    let refused = open(folder.path()).expect_err("in use");
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    assert!(
        refused.to_string().contains("is in use by another healthmate server: stop that one"),
        "{refused}"
    );
    drop(first);
    open(folder.path()).expect("free again");
}

/// `healthmate user add` beside a running server: the server knows the user at once, also as an author.
#[tokio::test]
async fn a_command_beside_the_server_adds_a_user_whom_the_server_knows() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = open(folder.path()).expect("opened");
    let (p, q) = (patient("p"), patient("q"));
    let empty = |user: &User| Recording {
        patient: user.id.clone(),
        author: user.id.clone(),
        measurements: Vec::new(),
        idempotency: None,
        audit: None,
    };
    server.add_user(p.clone(), by()).await.expect("added");
    server.record(empty(&p)).await.expect("recorded");
    assert!(server.record(empty(&q)).await.is_err());
    let command = beside(folder.path()).expect("opened beside the server");
    command.add_user(q.clone(), by()).await.expect("added");
    command.set_active(&p.id, false, by()).await.expect("changed");
    drop(command);
    server.record(empty(&q)).await.expect("recorded");
    assert!(!server.user(&p.id).await.expect("read").expect("there").active);
    assert!(server.integrity_check().await.expect("read").is_empty());
}

/// `healthmate user disable` beside a running server: whoever asks for the version learns that access changed, on
/// either side.
#[tokio::test]
async fn two_processes_see_each_others_changes_of_the_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = open(folder.path()).expect("opened");
    let command = beside(folder.path()).expect("opened beside the server");
    let (p, q) = (patient("p"), patient("q"));
    let now = Timestamp::from_micros(0);
    let relation = CareRelation::new(p.id.clone(), q.id.clone(), now);
    let mut before = server.directory_version().await.expect("read");
    let both = [&server, &command];
    for turn in 0..5 {
        let writer = both[turn % 2];
        match turn {
            0 => writer.add_user(p.clone(), by()).await.expect("added"),
            1 => writer.add_user(q.clone(), by()).await.expect("added"),
            2 => writer.add_care_relation(relation.clone(), by()).await.expect("added"),
            3 => writer.set_active(&q.id, false, by()).await.expect("changed"),
            _ => writer.remove_care_relation(&p.id, &q.id, by()).await.expect("removed"),
        }
        let seen = server.directory_version().await.expect("read");
        assert!(seen > before, "change {turn} is noticed");
        assert_eq!(command.directory_version().await.expect("read"), seen);
        before = seen;
    }
}

#[test]
fn what_is_no_folder_or_no_database_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("written");
    let refused = open(&file).expect_err("a file");
    assert!(matches!(refused, OpenError::Folder { .. }), "{refused}");
    assert!(refused.to_string().starts_with("cannot make the data folder"), "{refused}");
    let refused = open(&file.join("below")).expect_err("below a file");
    assert!(matches!(refused, OpenError::Folder { .. }), "{refused}");
    fs::create_dir(folder.path().join("healthmate.db")).expect("made");
    for refused in [open(folder.path()).err(), migration_status(folder.path()).err()] {
        assert!(matches!(refused, Some(OpenError::NotADatabase { .. })), "{refused:?}");
    }
}

#[test]
fn a_text_or_somebody_elses_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("healthmate.db");
    let text = "a shopping list, long enough to be a header of a hundred bytes ".repeat(20);
    fs::write(&path, &text).expect("written");
    let refused = open(folder.path()).expect_err("no database");
    assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused}");
    assert!(refused.to_string().contains("is not a database: restore it from a backup"), "{refused}");
    assert_eq!(fs::read_to_string(&path).expect("there"), text);
    fs::remove_file(&path).expect("removed");
    let theirs = Connection::open(&path).expect("made");
    theirs.execute_batch("CREATE TABLE recipe (name TEXT)").expect("made");
    drop(theirs);
    let refused = open(folder.path()).expect_err("not ours");
    assert!(matches!(refused, OpenError::NotOurs { .. }), "{refused}");
    assert!(migration_status(folder.path()).is_err());
}

#[test]
fn a_newer_database_is_refused_with_both_versions_and_unchanged() {
    let folder = closed();
    let newest = migration_status(folder.path()).expect("read").len();
    let path = folder.path().join("healthmate.db");
    Connection::open(&path).expect("ours").pragma_update(None, "user_version", 99).expect("written");
    let before = fs::read(&path).expect("there");
    for refused in [open(folder.path()).err(), migration_status(folder.path()).err()] {
        let refused = refused.expect("newer");
        assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused}");
        let said = format!("has schema version 99 and this healthmate knows versions up to {newest}:");
        assert!(refused.to_string().contains(&said), "{refused}");
    }
    assert!(fs::read(&path).expect("there") == before, "the file was touched");
}

/// A folder with a database that holds measurements and was closed.
async fn closed_with_data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).expect("opened");
    let p = patient("p");
    store.add_user(p.clone(), by()).await.expect("added");
    let beat = |second: i64| Measurement {
        metric: Metric::HeartRate,
        value: 60.0,
        taken_at: Timestamp::from_micros(second * 1_000_000),
        client_id: None,
        device: None,
        original: None,
    };
    let (patient, author, measurements) = (p.id.clone(), p.id, (0..500).map(beat).collect());
    store
        .record(Recording { patient, author, measurements, idempotency: None, audit: None })
        .await
        .expect("recorded");
    folder
}

/// Also one page alone, wherever it is, and whether or not the last server left a journal.
#[tokio::test]
async fn a_damaged_database_is_refused_with_one_sentence_and_left_alone() {
    let folder = closed_with_data().await;
    let path = folder.path().join("healthmate.db");
    let journal = folder.path().join("healthmate.db-wal");
    assert!(!journal.exists(), "the stop was clean");
    let whole = fs::read(&path).expect("there");
    assert!(whole.len() > 20 * 4096, "there is data to damage");
    for (pages, unclean) in [(2..7, false), (2..7, true), (2..3, false), (6..7, false), (15..16, false)] {
        let mut bytes = whole.clone();
        bytes[pages.start * 4096..pages.end * 4096].iter_mut().for_each(|byte| *byte ^= 0xFF);
        fs::write(&path, &bytes).expect("written");
        if unclean {
            fs::write(&journal, [0; 64]).expect("written");
        }
        let refused = open(folder.path()).expect_err("damaged");
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        let sentence = refused.to_string();
        let end = "): keep a copy of the file and restore it from a backup";
        assert!(sentence.starts_with("the database ") && sentence.ends_with(end), "{sentence}");
        assert!(sentence.contains(" is damaged (") && !sentence.contains(['\n', '*']), "{sentence}");
        assert!(fs::read(&path).expect("there") == bytes, "the file was touched");
        let _ = fs::remove_file(&journal);
    }
    fs::write(&path, &whole).expect("written");
    open(folder.path()).expect("the undamaged file is served");
}

#[test]
fn the_status_of_migrations_makes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let all_applied = |dir: &Path| {
        let steps = migration_status(dir).expect("read");
        assert!(steps.iter().map(|step| step.version).eq(1..=steps.len() as u32), "each has its number");
        let applied = steps.iter().filter(|step| step.applied).count();
        assert!(applied == 0 || applied == steps.len());
        applied > 0
    };
    assert!(!all_applied(&folder.path().join("nowhere")));
    assert!(!all_applied(folder.path()));
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    let store = open(folder.path()).expect("opened");
    assert!(all_applied(folder.path()));
    drop(store);
    assert!(all_applied(folder.path()));
}

/// File modes do not bind root: the one who opens is another user, where the tests run as root.
#[cfg(unix)]
#[test]
fn a_read_only_folder_and_a_read_only_file_are_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    let folder = closed();
    let program = tempfile::tempdir().expect("a folder");
    let copy = program.path().join("opener");
    fs::copy(std::env::current_exe().expect("this test"), &copy).expect("copied");
    mode(program.path(), 0o755);
    mode(&copy, 0o755);
    let refusal = || {
        let mut opener = Command::new(&copy);
        opener.args(["--ignored", "--exact", "opener", "--nocapture"]).current_dir("/");
        opener.env("HEALTHMATE_TEST_FOLDER", folder.path()).stderr(Stdio::inherit());
        if fs::metadata(folder.path()).expect("there").uid() == 0 {
            use std::os::unix::process::CommandExt;
            opener.uid(65534).gid(65534);
        }
        String::from_utf8(opener.output().expect("run").stdout).expect("text")
    };
    for file in ["healthmate.db", "healthmate.lock"] {
        mode(&folder.path().join(file), if file == "healthmate.db" { 0o444 } else { 0o666 });
    }
    mode(folder.path(), 0o755);
    let text = refusal();
    assert!(text.contains("refused: cannot write the database"), "{text}");
    mode(&folder.path().join("healthmate.lock"), 0o444);
    mode(folder.path(), 0o555);
    let text = refusal();
    assert!(text.contains("refused: cannot write in the data folder"), "{text}");
    mode(folder.path(), 0o755);
    mode(&folder.path().join("healthmate.db"), 0o644);
    open(folder.path()).expect("writable again, and undamaged");
}

#[test]
#[ignore = "the program that the test of read-only folders runs as another user"]
fn opener() {
    let folder = std::env::var_os("HEALTHMATE_TEST_FOLDER").expect("run by its test");
    match open(Path::new(&folder)) {
        Ok(_) => println!("opened"),
        Err(error) => println!("refused: {error}"),
    }
}

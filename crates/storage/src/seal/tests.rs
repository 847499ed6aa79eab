use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use healthmate_care::{Clock, ManualClock};
use healthmate_protocol::{Timestamp, UserId};
use proptest::prelude::*;

use super::{DataKey, KeyRing, KeySource, KeySourceError, RingError, SealError, SealedColumn, WrappedKey};

fn clock() -> ManualClock {
    ManualClock::new("2026-11-23T07:00:00Z".parse().expect("valid"))
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("valid")
}

const COLUMN: SealedColumn = SealedColumn::UserName;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_sealed_opens(plain in prop::collection::vec(any::<u8>(), 0..300), row in "[a-z0-9]{0,20}") {
        let (clock, owner) = (clock(), user("anna"));
        let key = DataKey::new(1, &clock);
        for column in SealedColumn::ALL {
            let sealed = key.seal(&owner, *column, row.as_bytes(), &plain, &clock);
            prop_assert_eq!(sealed.len(), plain.len() + 45);
            prop_assert_eq!(&*key.open(&owner, *column, row.as_bytes(), &sealed).expect("opens"), &plain);
        }
    }

    #[test]
    fn it_opens_nowhere_else(row in "[a-z]{1,8}", other in "[a-z]{1,8}", plain in ".{0,40}") {
        prop_assume!(row != other);
        let (clock, owner) = (clock(), user("anna"));
        let key = DataKey::new(1, &clock);
        let sealed = key.seal(&owner, COLUMN, row.as_bytes(), plain.as_bytes(), &clock);
        let open = |key: &DataKey, owner: &str, column, row: &str| key.open_text(&user(owner), column, row.as_bytes(), &sealed);
        prop_assert_eq!(open(&key, "anna", COLUMN, &row), Ok(plain));
        prop_assert_eq!(open(&key, "anna", COLUMN, &other), Err(SealError::Refused));
        prop_assert_eq!(open(&key, "nora", COLUMN, &row), Err(SealError::Refused));
        for column in SealedColumn::ALL.iter().filter(|column| **column != COLUMN) {
            prop_assert_eq!(open(&key, "anna", *column, &row), Err(SealError::Refused));
        }
        let version_2 = DataKey::from_parts(2, key.secret);
        for another in [DataKey::new(1, &clock), version_2] {
            prop_assert_eq!(open(&another, "anna", COLUMN, &row), Err(SealError::Refused));
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_refused(plain in prop::collection::vec(any::<u8>(), 0..20)) {
        let (clock, owner) = (clock(), user("anna"));
        let key = DataKey::new(1, &clock);
        let sealed = key.seal(&owner, COLUMN, b"anna", &plain, &clock);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(key.open(&owner, COLUMN, b"anna", &flipped), Err(SealError::Refused));
        }
        for length in 0..sealed.len() {
            prop_assert_eq!(key.open(&owner, COLUMN, b"anna", &sealed[..length]), Err(SealError::Refused));
        }
    }

    #[test]
    fn a_wrapped_key_is_its_owners_and_its_versions(bit in 0_usize..(1 + 24 + 32 + 16) * 8) {
        let (clock, owner) = (clock(), user("anna"));
        let (ring, key) = (KeyRing::new(&clock), DataKey::new(3, &clock));
        let wrapped = ring.wrap(&owner, &key, &clock);
        prop_assert_eq!(&ring.unwrap(&owner, &wrapped).expect("unwraps").secret, &key.secret);
        prop_assert_eq!(ring.unwrap(&user("nora"), &wrapped).map(drop), Err(SealError::Refused));
        let version = WrappedKey { version: 4, ..wrapped.clone() };
        prop_assert_eq!(ring.unwrap(&owner, &version).map(drop), Err(SealError::Refused));
        let mut flipped = wrapped;
        flipped.bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(ring.unwrap(&owner, &flipped).map(drop), Err(SealError::Refused));
    }
}

#[test]
fn no_nonce_comes_twice() {
    let (clock, owner) = (clock(), user("anna"));
    let key = DataKey::new(1, &clock);
    let nonce = |_| key.seal(&owner, COLUMN, b"anna", b"the same", &clock)[5..29].to_vec();
    let nonces: HashSet<_> = (0..10_000).map(nonce).collect();
    assert_eq!(nonces.len(), 10_000);
}

#[test]
fn what_a_key_sealed_with_one_format_is_read_by_the_next_program() {
    // Bytes that an earlier program wrote: they must open for ever.
    let clock = clock();
    let ring = KeyRing::parse(GOLDEN_RING).expect("a ring");
    let wrapped =
        WrappedKey { ring_key: "k1".parse().expect("an id"), version: 1, bytes: hex(GOLDEN_WRAPPED) };
    let key = ring.unwrap(&user("anna"), &wrapped).expect("unwraps");
    assert_eq!(
        key.open_text(&user("anna"), COLUMN, b"anna", &hex(GOLDEN_SEALED)),
        Ok("Anna Meier".to_owned())
    );
    ring.check(&"k1".parse().expect("an id"), &hex(GOLDEN_CHECK)).expect("the key");
    assert_ne!(key.seal(&user("anna"), COLUMN, b"anna", b"Anna Meier", &clock), hex(GOLDEN_SEALED));
}

const GOLDEN_RING: &str = "k1 2026-11-23T07:00:00Z AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 active";
const GOLDEN_WRAPPED: &str = "01bd3b803682b56d8e23682ec8364507304a89bc8a8023af4be64ba945f75f076b90ab8baad66510d1b68da2addacadd00fbc670a7380844f2e58432d8b7f1bb778366f81bae332460";
const GOLDEN_SEALED: &str = "01000000010acbaee2b63111e620c40adad550348e0fa4a0886373af28b45d238af566deb87c7bb1674d7f963f08f543cc913aa8ab8e64";
const GOLDEN_CHECK: &str =
    "012f24171ba0a6168e93c23568abb8c836ac8e51b5cebd290c37c25a293b4aba67654911f06d34316c";

fn hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digits).collect()
}

#[test]
fn a_ring_is_its_text() {
    let clock = clock();
    let mut ring = KeyRing::new(&clock);
    let first = ring.active().clone();
    clock.advance_millis(1000);
    let second = ring.add(&clock);
    assert_eq!(ring.active(), &second);
    let text = ring.to_text();
    let read = KeyRing::parse(&text).expect("a ring");
    assert_eq!(read.to_text(), text);
    let keys: Vec<(String, Timestamp)> = read.keys().map(|(id, at)| (id.to_string(), at)).collect();
    assert_eq!(
        keys,
        [(first.to_string(), clock.now().plus_millis(-1000)), (second.to_string(), clock.now())]
    );
    // The environment has no lines.
    let one_line: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(KeyRing::parse(&one_line.join("; ")).expect("a ring").to_text(), text);
    let shown = format!("{ring:?} {:?}", DataKey::new(1, &clock));
    assert_eq!(shown, format!("[\"{first}\", \"{second}\"] DataKey(version 1, redacted)"));
}

#[test]
fn a_text_that_is_no_ring_is_refused_without_repeating_it() {
    let key = |rest: &str| format!("k1 2026-11-23T07:00:00Z {}{rest}", "A".repeat(43));
    let refused = |text: &str| KeyRing::parse(text).expect_err("no ring");
    assert_eq!(refused(""), RingError::Active(0));
    assert_eq!(refused(&key("")), RingError::Active(0));
    assert_eq!(
        refused(&format!("{}\n{}", key(" active"), key(""))),
        RingError::Twice("k1".parse().expect("an id"))
    );
    assert_eq!(
        refused(&format!("{};{}", key(" active"), key(" active").replace("k1", "k2"))),
        RingError::Active(2)
    );
    for line in
        [key(" in use"), key("A"), key(" active active"), "k1".to_owned(), key("").replace("k1", "k/1")]
    {
        let error = refused(&line);
        assert_eq!(error, RingError::Line(1));
        assert!(!error.to_string().contains("AAAA"), "{error}");
    }
}

#[test]
fn the_active_key_stays_and_others_leave() {
    let clock = clock();
    let mut ring = KeyRing::new(&clock);
    let first = ring.active().clone();
    assert_eq!(ring.remove(&first), Err(RingError::InUse(first.clone())));
    let wrapped = ring.wrap(&user("anna"), &DataKey::new(1, &clock), &clock);
    let check = ring.check_value(&first, &clock).expect("a value");
    let second = ring.add(&clock);
    assert!(ring.unwrap(&user("anna"), &wrapped).is_ok(), "an old key unwraps");
    assert_eq!(ring.check(&first, &check), Ok(()));
    assert_eq!(ring.check(&second, &check), Err(SealError::Refused));
    ring.remove(&first).expect("removed");
    assert_eq!(ring.active(), &second);
    assert_eq!(ring.unwrap(&user("anna"), &wrapped).map(drop), Err(SealError::NoRingKey(first.clone())));
    assert_eq!(ring.remove(&first), Err(RingError::NoKey(first)));
}

#[test]
fn the_file_is_made_once_for_its_owner_only_and_replaced_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data").join("key-ring");
    let (clock, source) = (clock(), KeySource::File(path.clone()));
    assert!(source.read().expect("nothing there").is_none());
    let mut ring = source.create(&clock).expect("made");
    assert_eq!(source.create(&clock).expect("there").to_text(), ring.to_text(), "of two both get the first");
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    ring.add(&clock);
    source.replace(&ring, &clock).expect("replaced");
    assert_eq!(source.read().expect("read").expect("there").to_text(), ring.to_text());
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path().join("data")).expect("listed").count(), 1, "no draft is left");
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key-ring");
    let source = KeySource::File(path.clone());
    source.create(&clock()).expect("made");
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
        let error = source.read().expect_err("refused").to_string();
        assert!(error.contains(&format!("has mode {mode:03o}")), "{error}");
    }
}

#[test]
fn a_setting_is_read_and_never_written() {
    let clock = clock();
    let source = KeySource::Text(KeyRing::new(&clock).to_text());
    assert!(source.read().expect("read").is_some());
    assert!(matches!(source.replace(&KeyRing::new(&clock), &clock), Err(KeySourceError::Fixed)));
    assert!(matches!(source.create(&clock), Err(KeySourceError::Fixed)));
    assert_eq!(format!("{source:?}"), "KeySource(the key ring of HEALTHMATE_STORAGE__KEYS)");
    let error = KeySource::Text("junk AAAA".to_owned().into()).read().expect_err("refused").to_string();
    assert!(error.contains("key 1 of the ring") && !error.contains("junk"), "{error}");
}

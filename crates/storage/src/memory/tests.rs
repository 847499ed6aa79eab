//! The in-memory store against the conformance suite.

use std::sync::Arc;

use super::MemoryStore;
use crate::Store;
use crate::conformance::{CHECKS, Failed, Harness, Outcome, model};

/// Reopening it gives the same store: it has nothing else to be opened from.
fn harness() -> Result<Harness, Failed> {
    let mut kept: Option<Arc<MemoryStore>> = None;
    Harness::new(Box::new(move |clock| {
        let store = kept.get_or_insert_with(|| Arc::new(MemoryStore::new(clock)));
        Ok(Arc::clone(store) as Arc<dyn Store>)
    }))
}

crate::conformance_tests!(harness);

#[test]
fn it_agrees_with_the_model() -> Outcome {
    model::run(128, harness)
}

/// The names of the functions inside the traits of `source`.
fn trait_methods(source: &str) -> Vec<&str> {
    let bodies = source.split("\npub trait ").skip(1).filter_map(|rest| rest.split("\n}").next());
    let lines = bodies.flat_map(str::lines).map(str::trim_start);
    let signatures =
        lines.filter_map(|line| line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")));
    signatures.filter_map(|signature| signature.split('(').next()).collect()
}

#[test]
fn the_suite_calls_every_method_of_every_trait() {
    let sources = [
        include_str!("../lib.rs"),
        include_str!("../log.rs"),
        include_str!("../measurements.rs"),
        include_str!("../directory.rs"),
        include_str!("../audit.rs"),
        include_str!("../credentials.rs"),
        include_str!("../erasure.rs"),
        include_str!("../break_glass.rs"),
        include_str!("../notifications.rs"),
    ];
    let methods = sources.map(trait_methods).concat();
    let suite = [
        include_str!("../conformance/audit.rs"),
        include_str!("../conformance/break_glass.rs"),
        include_str!("../conformance/notifications.rs"),
        include_str!("../conformance/credentials.rs"),
        include_str!("../conformance/directory.rs"),
        include_str!("../conformance/erasure.rs"),
        include_str!("../conformance/sign_ins.rs"),
        include_str!("../conformance/idempotency.rs"),
        include_str!("../conformance/listener.rs"),
        include_str!("../conformance/log.rs"),
        include_str!("../conformance/measurements.rs"),
        include_str!("../conformance/paging.rs"),
        include_str!("../conformance/retention.rs"),
        include_str!("../conformance/sample.rs"),
    ]
    .concat();
    assert!(methods.len() >= 18, "the traits are not read right: {methods:?}");
    for method in methods {
        assert!(suite.contains(&format!(".{method}(")), "no check calls {method}");
    }
}

#[test]
fn every_check_has_its_own_name() {
    let names: std::collections::BTreeSet<_> = CHECKS.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), CHECKS.len());
}

#[test]
fn every_public_check_is_on_the_list() {
    let sources = [
        ("audit", include_str!("../conformance/audit.rs")),
        ("break_glass", include_str!("../conformance/break_glass.rs")),
        ("notifications", include_str!("../conformance/notifications.rs")),
        ("credentials", include_str!("../conformance/credentials.rs")),
        ("directory", include_str!("../conformance/directory.rs")),
        ("erasure", include_str!("../conformance/erasure.rs")),
        ("sign_ins", include_str!("../conformance/sign_ins.rs")),
        ("idempotency", include_str!("../conformance/idempotency.rs")),
        ("listener", include_str!("../conformance/listener.rs")),
        ("log", include_str!("../conformance/log.rs")),
        ("measurements", include_str!("../conformance/measurements.rs")),
        ("paging", include_str!("../conformance/paging.rs")),
        ("retention", include_str!("../conformance/retention.rs")),
    ];
    let written = sources.iter().flat_map(|(area, source)| {
        let checks = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
        checks.filter_map(|check| check.split('(').next()).map(move |name| format!("{area}::{name}"))
    });
    let written: std::collections::BTreeSet<_> = written.collect();
    let listed: std::collections::BTreeSet<_> = CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(written, listed);
}

//! Holds `docs/metrics.md`, the alerts and the dashboard to the metrics there are.
//!
//! The table of the page is written from what a fresh [`Metrics`] encodes; `make generate` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use super::Metrics;

/// Past so many values, a label's are not listed.
const MANY: usize = 8;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).expect(name)
}

/// A metric as `/metrics` shows it.
#[derive(Default)]
struct Shown {
    kind: String,
    help: String,
    series: BTreeSet<String>,
    labels: BTreeMap<String, BTreeSet<String>>,
}

impl Shown {
    /// What the page calls it: the only series of a counter or gauge, the stem of a histogram's.
    fn name<'a>(&'a self, stem: &'a str) -> &'a str {
        if self.kind == "histogram" { stem } else { self.series.first().map_or(stem, String::as_str) }
    }
}

/// Every metric, by its stem, in the order of their names.
fn shown() -> BTreeMap<String, Shown> {
    let metrics = Metrics::new();
    // A family without fixed labels shows nothing before its first member.
    metrics.count_request("/v1/me", "GET", 200, 0.0);
    let (text, mut all, mut current) = (metrics.encode(), BTreeMap::<String, Shown>::new(), String::new());
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            name.clone_into(&mut current);
            help.clone_into(&mut all.entry(current.clone()).or_default().help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            kind.clone_into(&mut all.get_mut(name).expect("HELP comes first").kind);
        } else if !line.starts_with('#') {
            let metric = all.get_mut(&current).expect("HELP comes first");
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            metric.series.insert(name.to_owned());
            for (label, _, value) in matchers(labels.trim_end_matches('}')) {
                metric.labels.entry(label.to_owned()).or_default().insert(value.to_owned());
            }
        }
    }
    all
}

/// `label="value"` or `label=~"value"`, between commas: the label, what stands between, the value.
fn matchers(list: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    list.split("\",").filter_map(|matcher| {
        let (left, value) = matcher.split_once('"')?;
        let label = left.trim_end_matches(['=', '~', '!']);
        Some((label.trim(), left[label.len()..].trim(), value.trim_end_matches('"')))
    })
}

/// The alerts: name and expression, each on a line of its own.
fn alerts() -> Vec<(String, String)> {
    let text = read("deploy/alerts.yml");
    let of = |key: &str| {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        lines.map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    let (names, expressions) = (of("- alert:"), of("expr:"));
    assert_eq!(names.len(), expressions.len(), "an alert is a name and an expression");
    names.into_iter().zip(expressions).collect()
}

/// The expressions of the dashboard's panels.
fn dashboard() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| collect(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(&read("deploy/grafana/healthmate.json")).expect("JSON"), &mut found);
    found
}

/// The series that an expression names, each with its list of matchers.
fn named(expression: &str) -> Vec<(&str, &str)> {
    let starts = expression.match_indices("healthmate_").map(|(at, _)| &expression[at..]);
    let series = starts.map(|rest| {
        let end =
            rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(rest.len());
        let list = rest[end..].strip_prefix('{').and_then(|list| list.split_once('}'));
        (&rest[..end], list.map_or("", |(list, _)| list))
    });
    series.collect()
}

/// Fails unless every series, label and value that an expression names is there.
fn check(expression: &str, all: &BTreeMap<String, Shown>) -> usize {
    let found = named(expression);
    for (series, list) in &found {
        let metric = all.values().find(|metric| metric.series.contains(*series));
        let metric = metric.unwrap_or_else(|| panic!("there is no {series}: {expression}"));
        for (label, operator, value) in matchers(list).filter(|(label, ..)| *label != "instance") {
            let values = metric.labels.get(label);
            let values = values.unwrap_or_else(|| panic!("{series} has no label {label}: {expression}"));
            let exact = operator == "=";
            let words = value.split('|').filter(|word| exact || !word.contains(['.', '*', '$']));
            for word in words {
                assert!(values.contains(word), "{series} has no {label} {word}: {expression}");
            }
        }
    }
    found.len()
}

fn table(all: &BTreeMap<String, Shown>) -> String {
    let alerts = alerts();
    let mut out = String::from("| metric | type | labels | meaning | alerts |\n|---|---|---|---|---|\n");
    for (stem, metric) in all {
        let labels = metric.labels.iter().filter(|(label, _)| *label != "le").map(|(label, values)| {
            let open = stem.ends_with("http_requests") || values.len() > MANY;
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            if open { format!("`{label}`") } else { format!("`{label}`: {}", values.join(", ")) }
        });
        let over = alerts.iter().filter(|(_, expression)| {
            named(expression).iter().any(|(series, _)| metric.series.contains(*series))
        });
        let row = [
            format!("`{}`", metric.name(stem)),
            metric.kind.clone(),
            labels.collect::<Vec<_>>().join("; "),
            metric.help.clone(),
            over.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        ];
        writeln!(out, "| {} |", row.join(" | ")).expect("text");
    }
    out
}

#[test]
fn the_table_of_the_metrics_page_is_current() {
    let page = read("docs/metrics.md");
    let (before, rest) = page.split_once("<!-- generated:metrics -->").expect("the part begins");
    let (_, after) = rest.split_once("<!-- /generated -->").expect("the part ends");
    let fresh =
        format!("{before}<!-- generated:metrics -->\n\n{}\n<!-- /generated -->{after}", table(&shown()));
    if std::env::var_os("HEALTHMATE_GENERATE").is_some() {
        std::fs::write(path("docs/metrics.md"), &fresh).expect("written");
    } else {
        assert!(page == fresh, "docs/metrics.md is stale: run `make generate`");
    }
}

#[test]
fn alerts_dashboard_and_page_name_only_what_is_there() {
    let all = shown();
    let alerts: usize = alerts().iter().map(|(_, expression)| check(expression, &all)).sum();
    let panels: usize = dashboard().iter().map(|expression| check(expression, &all)).sum();
    assert!(alerts > 10 && panels > 15, "read wrongly: {alerts}, {panels}");
    let page = read("docs/metrics.md");
    let words = page.split('`').skip(1).step_by(2).filter(|word| word.contains('{'));
    assert!(words.map(|word| check(word, &all)).sum::<usize>() > 8);
}

#[test]
fn the_dashboard_shows_every_metric() {
    let expressions = dashboard().join(" ");
    for (stem, metric) in shown() {
        let drawn = metric.series.iter().any(|series| expressions.contains(series));
        assert!(drawn, "no panel shows {stem}");
    }
}

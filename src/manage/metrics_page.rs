//! The table of metrics in docs/management.md is the code's own. Written anew by
//! `LEVERET_WRITE_DOCS=1 cargo test --lib metrics_page`.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::metrics::NODE_FAMILIES;
use super::object_metrics::{CHANNELS, CONNECTIONS, EXCHANGES, Group, QUEUES, SUMS};

#[path = "../../tests/support/page.rs"]
mod page;

const PAGE: &str = "docs/management.md";
const HEADING: &str = "## The table of metrics\n";
const HEAD: &str = "\
Made from the tables of `src/manage/metrics.rs` and `src/manage/object_metrics.rs` by `LEVERET_WRITE_DOCS=1 cargo test --lib \
metrics_page`; the test fails where the page says something else.";

fn table(text: &mut String, title: &str) {
    let _ = write!(text, "\n### {title}\n\n| name | type | what it is | family |\n|---|---|---|---|\n");
}

fn row(text: &mut String, name: &str, kind: &str, help: &str, families: &[&str]) {
    let families: Vec<String> = families.iter().map(|family| format!("`{family}`")).collect();
    let families = if families.is_empty() { "–".to_owned() } else { families.join(", ") };
    let _ = writeln!(text, "| `{name}` | {kind} | {help} | {families} |");
}

fn objects<T>(text: &mut String, title: &str, groups: &[Group<T>]) {
    table(text, title);
    for group in groups {
        for metric in group.metrics {
            let own = metric.name.starts_with("leveret_");
            let name = if own { metric.name.to_owned() } else { format!("rabbitmq_{}", metric.name) };
            row(text, &name, metric.kind.as_str(), metric.help, group.detailed);
        }
    }
}

fn made() -> String {
    let mut text = format!("{HEADING}\n");
    for line in page::wrapped(HEAD) {
        let _ = writeln!(text, "{line}");
    }
    table(&mut text, "Of the node: `/metrics`, `/metrics/per-object`");
    for families in NODE_FAMILIES {
        let detailed: Vec<&str> = families.detailed.into_iter().collect();
        for family in families.families {
            row(&mut text, family.name, family.kind.as_str(), family.help, &detailed);
        }
    }
    table(&mut text, "Sums over all queues: `/metrics`");
    for metric in SUMS {
        row(&mut text, &format!("rabbitmq_{}", metric.name), metric.kind.as_str(), metric.help, &[]);
    }
    objects(&mut text, "Of each queue (`vhost`, `queue`): `/metrics/per-object`", QUEUES);
    objects(&mut text, "Of each exchange (`vhost`, `exchange`): `/metrics/per-object`", EXCHANGES);
    objects(&mut text, "Of each connection (`connection`): `/metrics/per-object`", CONNECTIONS);
    objects(&mut text, "Of each channel (`channel`): `/metrics/per-object`", CHANNELS);
    text
}

#[test]
fn the_page_has_the_metrics_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let found = fs::read_to_string(path).unwrap_or_default();
    let written = found.split(HEADING).next().unwrap_or_default();
    page::must_be(Path::new(PAGE), &format!("{written}{}", made()));
}

#[test]
fn no_name_is_there_twice_in_an_answer() {
    let node = NODE_FAMILIES.iter().flat_map(|families| families.families).map(|family| family.name);
    let sums = SUMS.iter().map(|metric| format!("rabbitmq_{}", metric.name));
    let mut seen = HashSet::new();
    assert!(node.map(str::to_owned).chain(sums).all(|name| seen.insert(name)));
    fn names<T>(groups: &[Group<T>]) -> Vec<&'static str> {
        groups.iter().flat_map(|group| group.metrics).map(|metric| metric.name).collect()
    }
    let objects = [names(QUEUES), names(EXCHANGES), names(CONNECTIONS), names(CHANNELS)].concat();
    let all: HashSet<&str> = objects.iter().copied().collect();
    assert_eq!(all.len(), objects.len());
}

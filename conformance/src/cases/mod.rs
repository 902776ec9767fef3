//! All cases, section by section of docs/semantics.md.

mod node_limits;
mod restarts;
mod s00;
mod s01;
mod s02;
mod s03;
mod s04;
mod s05;
mod s05_delayed;
mod s05_plugins;
mod s06;
mod s07;
mod s08;
mod s09;
mod s10;
mod s10_quorum;
mod s11;
mod s12;
mod s13;
mod s14;
mod s15;
mod s16;
mod s17;
mod s18;
mod s19;

use crate::runner::Case;

/// The sections with cases, in the order of the table.
pub(crate) const SECTIONS: &[(u32, &str)] = &[
    (0, "errors"),
    (1, "negotiation"),
    (2, "frames"),
    (3, "heartbeats"),
    (4, "channels"),
    (5, "exchanges"),
    (6, "bindings"),
    (7, "queue declare"),
    (8, "queue delete, purge, expiry"),
    (9, "publish and confirms"),
    (10, "consume, get, cancel"),
    (11, "ack, reject, recover"),
    (12, "ttl, length, dead-letter"),
    (13, "alarms"),
    (14, "transactions"),
    (15, "direct reply-to"),
    (16, "permissions"),
    (17, "policies"),
    (18, "limits"),
    (19, "firehose and events"),
];

const FILES: &[&[Case]] = &[
    s00::codes::CASES,
    s00::under_way::CASES,
    s01::login::CASES,
    s01::tune::CASES,
    s02::frames::CASES,
    s02::content::CASES,
    s02::tables::CASES,
    s03::CASES,
    s04::CASES,
    s05::declare::CASES,
    s05::routing::CASES,
    s05::matching::CASES,
    s05_plugins::CASES,
    s05_delayed::CASES,
    s06::CASES,
    s07::declare::CASES,
    s07::exclusive::CASES,
    s07::arguments::CASES,
    s08::CASES,
    s09::publish::CASES,
    s09::confirms::CASES,
    s10::consume::CASES,
    s10::delivering::CASES,
    s10::get::CASES,
    s10_quorum::CASES,
    s11::tags::CASES,
    s11::requeue::CASES,
    s11::counting::CASES,
    s11::retries::CASES,
    s11::waiting::CASES,
    s11::retry_delays::CASES,
    s12::ttl::CASES,
    s12::length::CASES,
    s12::priority::CASES,
    s12::dead_letter::CASES,
    s12::deaths::CASES,
    s13::CASES,
    s14::CASES,
    s15::CASES,
    s16::CASES,
    s17::CASES,
    s18::CASES,
    s19::firehose::CASES,
    s19::declarations::CASES,
    s19::clients::CASES,
    s19::administration::CASES,
    node_limits::CASES,
    restarts::CASES,
];

pub(crate) fn all() -> impl Iterator<Item = Case> {
    FILES.iter().flat_map(|cases| cases.iter().copied())
}

pub(crate) fn section(case: &Case) -> u32 {
    case.statement().0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_of_a_section() {
        let names: BTreeSet<&str> = all().map(|case| case.name).collect();
        assert_eq!(names.len(), all().count());
        for case in all() {
            let (section, statement) = case.statement();
            assert!(SECTIONS.iter().any(|(number, _)| *number == section), "{}", case.name);
            assert!(statement > 0, "{}", case.name);
        }
    }
}

//! What is said about a run: the table of each section, failures with their frames, and the verdict file.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::cases::{SECTIONS, section};
use crate::runner::{Case, Ran, Verdict};

/// A verdict file. It says nothing of time or place, so that two runs of one broker compare equal.
#[derive(Debug, Serialize)]
struct File<'a> {
    product: &'a str,
    version: &'a str,
    cases: BTreeMap<&'a str, Entry<'a>>,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    /// Why it failed or was skipped, or why two answers are expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

/// The verdict file of a run.
pub(crate) fn json(product: &str, version: &str, ran: &[Ran]) -> serde_json::Result<String> {
    let cases = ran.iter().map(|ran| (ran.case.name, entry(ran))).collect();
    serde_json::to_string_pretty(&File { product, version, cases }).map(|text| text + "\n")
}

fn entry(ran: &Ran) -> Entry<'_> {
    let (verdict, why) = match &ran.verdict {
        Verdict::Passed => ("passed", ran.case.difference.map(|difference| difference.why)),
        Verdict::Failed(_) => ("failed", None),
        Verdict::Skipped(why) => ("skipped", Some(why.as_str())),
    };
    Entry { verdict, answer: ran.answer, why }
}

/// All cases of a selection, one in a line.
pub(crate) fn list(cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        let _ = writeln!(text, "{:<44} {}", case.name, case.about);
        if let Some(two) = case.difference {
            let _ = writeln!(
                text,
                "{:<44}   RabbitMQ: {}; Leveret: {} ({})",
                "", two.rabbitmq, two.leveret, two.why
            );
        }
    }
    text
}

/// A line per section, then failures and skips with their reasons.
pub(crate) fn table(ran: &[Ran]) -> String {
    let mut text =
        format!("{:<32} {:>6} {:>6} {:>7} {:>7}\n", "section", "cases", "passed", "failed", "skipped");
    for (number, name) in SECTIONS {
        let of: Vec<&Ran> = ran.iter().filter(|ran| section(&ran.case) == *number).collect();
        if !of.is_empty() {
            text += &line(&format!("{number:>2} {name}"), &of);
        }
    }
    text += &line("all", &ran.iter().collect::<Vec<_>>());
    for ran in ran {
        match &ran.verdict {
            Verdict::Passed => {}
            Verdict::Skipped(reason) => {
                let _ = write!(text, "\nskipped {}: {reason}\n", ran.case.name);
            }
            Verdict::Failed(reason) => {
                let _ = write!(text, "\nFAILED {}: {}\n  {reason}\n", ran.case.name, ran.case.about);
                for frame in &ran.frames {
                    let _ = writeln!(text, "    {frame}");
                }
            }
        }
    }
    for ran in ran {
        if let (Some(two), Some(answer)) = (ran.case.difference, ran.answer) {
            let _ = write!(text, "\ndifference {}: {answer} ({})\n", ran.case.name, two.why);
        }
    }
    text
}

fn line(name: &str, of: &[&Ran]) -> String {
    let count = |wanted: fn(&Verdict) -> bool| of.iter().filter(|ran| wanted(&ran.verdict)).count();
    format!(
        "{name:<32} {:>6} {:>6} {:>7} {:>7}\n",
        of.len(),
        count(|verdict| matches!(verdict, Verdict::Passed)),
        count(|verdict| matches!(verdict, Verdict::Failed(_))),
        count(|verdict| matches!(verdict, Verdict::Skipped(_))),
    )
}

//! Every GET of the management interface after a little traffic, and whether its answer has the status and each field, with the
//! type, that RabbitMQ's has. The list of paths and RabbitMQ's fields are one file; what another broker leaves out is a second one, a
//! line and a reason each. The traffic is in `traffic`, what a field is in `field`.

mod field;
mod left_out;
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use self::field::{Fields, Kinds};
use self::left_out::LeftOut;
use self::traffic::Traffic;
use crate::connection::Target;
use crate::management::Management;

const FILE: &str = "verdicts/management-fields-rabbitmq-4.3.json";
const LEFT_OUT: &str = "verdicts/management-fields-left-out.txt";

/// Rates need samples, which RabbitMQ takes every five seconds: everything is asked for so many times, with traffic between, and
/// what any of the answers has counts. RabbitMQ gives some lists of a while ago: recording takes longer.
const ROUNDS: usize = 10;
const RECORDED_ROUNDS: usize = 24;
const PAUSE: Duration = Duration::from_millis(2500);

/// A path, and what RabbitMQ says there.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// `NODE`, `CONNECTION`, `CHANNEL` (of who publishes) and `CONSUMER` (a channel, too) stand for their names.
    path: String,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    fields: BTreeMap<String, Kinds>,
}

/// What was seen of a path: its last status, and the fields of all answers.
#[derive(Debug, Default)]
struct Seen {
    status: u16,
    fields: Fields,
}

impl Asked {
    /// What is not as it should be: the field and why. `(status)` is the status.
    fn wrong(&self, seen: &Seen) -> Vec<(&str, String)> {
        let mut wrong = Vec::new();
        if seen.status != self.status {
            wrong.push(("(status)", format!("{} instead of {}", seen.status, self.status)));
        }
        for (field, expected) in &self.fields {
            match seen.fields.0.get(field) {
                None => wrong.push((field, "is missing".to_owned())),
                Some(kinds) if !expected.allow(kinds) => {
                    wrong.push((field, format!("is {kinds} instead of {expected}")));
                }
                Some(_) => {}
            }
        }
        wrong
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Asks for all of them. Returns whether every answer has what RabbitMQ's has but for what is left out, or writes down what the
/// answers have.
pub(crate) fn compare(target: &Target, management: &(String, String), record: bool) -> Result<bool> {
    let path = file(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut asked: Vec<Asked> = serde_json::from_str(&text)?;
    let management = Management::new(management);
    let traffic = Traffic::begin(target, &management)?;
    let seen = look(&asked, &management, &traffic, record);
    traffic.end();
    let seen = seen?;
    if record {
        for (asked, seen) in asked.iter_mut().zip(seen) {
            (asked.status, asked.fields) = (seen.status, seen.fields.0);
        }
        let lines: Vec<String> = asked.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n")))?;
        let fields: usize = asked.iter().map(|asked| asked.fields.len()).sum();
        println!("{fields} fields of {} paths recorded in {}", asked.len(), path.display());
        return Ok(true);
    }
    let mut left_out = LeftOut::read(&fs::read_to_string(file(LEFT_OUT))?)?;
    let (mut fields, mut missing, mut wrong) = (0, 0, 0);
    for (asked, seen) in asked.iter().zip(&seen) {
        fields += asked.fields.len();
        for (field, why) in asked.wrong(seen) {
            if left_out.has(&asked.path, field) {
                missing += 1;
            } else {
                wrong += 1;
                println!("{} {field} {why}", asked.path);
            }
        }
    }
    for line in left_out.not_needed() {
        wrong += 1;
        println!("nothing is left out by: {line}");
    }
    println!("{fields} fields of {} paths: {missing} left out, {wrong} wrong", asked.len());
    Ok(wrong == 0)
}

/// Asks until all is there, or for as many rounds as it may take.
fn look(asked: &[Asked], management: &Management<'_>, traffic: &Traffic, record: bool) -> Result<Vec<Seen>> {
    let mut seen: Vec<Seen> = asked.iter().map(|_| Seen::default()).collect();
    for round in 0..if record { RECORDED_ROUNDS } else { ROUNDS } {
        traffic.burst()?;
        sleep(PAUSE);
        let mut is_all = true;
        for (asked, seen) in asked.iter().zip(&mut seen) {
            if !record && round > 0 && asked.wrong(seen).is_empty() {
                continue;
            }
            let answer = management.ask("GET", &traffic.named(&asked.path), None, String::new())?;
            seen.status = answer.status;
            if let Some(said) = &answer.said {
                seen.fields.add(said, &traffic.node);
            }
            is_all &= asked.wrong(seen).is_empty();
        }
        if !record && is_all {
            break;
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_file_can_be_read_and_holds_enough() {
        let asked: Vec<Asked> = serde_json::from_str(&fs::read_to_string(file(FILE)).unwrap()).unwrap();
        assert!(asked.len() >= 112);
        assert!(asked.iter().map(|asked| asked.fields.len()).sum::<usize>() >= 2500);
        LeftOut::read(&fs::read_to_string(file(LEFT_OUT)).unwrap()).unwrap();
    }

    #[test]
    fn a_missing_field_another_type_and_another_status_are_told() {
        let fields = [("a", "num"), ("b", "none|num"), ("c", "none"), ("d", "str")];
        let fields = fields.map(|(name, kinds)| (name.to_owned(), Kinds::from(kinds.to_owned())));
        let asked = Asked { path: "/x".to_owned(), status: 200, fields: fields.into() };
        let wrong = |status, said| {
            let mut seen = Seen { status, ..Seen::default() };
            seen.fields.add(&said, "n");
            let wrong = asked.wrong(&seen).into_iter().map(|(field, why)| format!("{field} {why}"));
            wrong.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(wrong(200, json!({"a": 1, "b": null, "c": "any", "d": "", "more": 1})), "");
        let all = "(status) 404 instead of 200, a is none instead of num, b is str instead of none|num, d is missing";
        assert_eq!(wrong(404, json!({"a": "undefined", "b": "1", "c": null})), all);
    }
}

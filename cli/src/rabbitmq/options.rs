//! The words of a command line, told apart as RabbitMQ's tools do: switches may stand anywhere, before the verb and behind it.
//! Which verbs there are is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

/// A switch, by its long name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switch {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Is there or not; `--no-NAME` says that it is not.
    Flag,
    Text,
    Integer,
}

/// A switch that is there or not.
pub(super) const fn flag(name: &'static str) -> Switch {
    Switch { name, short: None, kind: Kind::Flag }
}

/// A switch that is followed by a text.
pub(super) const fn text(name: &'static str) -> Switch {
    Switch { name, short: None, kind: Kind::Text }
}

/// A switch that is followed by a number.
pub(super) const fn integer(name: &'static str) -> Switch {
    Switch { name, short: None, kind: Kind::Integer }
}

impl Switch {
    pub(super) const fn or(self, short: char) -> Switch {
        Switch { short: Some(short), ..self }
    }
}

/// What listings take besides: `--no-table-headers`.
pub(super) const HEADERS: &[Switch] = &[flag("table-headers")];

/// What every verb takes. `longnames`, `erlang-cookie` and what concerns files of Erlang are without effect.
const OF_ALL: [Switch; 18] = [
    text("node").or('n'),
    flag("quiet").or('q'),
    flag("silent").or('s'),
    integer("timeout").or('t'),
    text("vhost").or('p'),
    flag("longnames").or('l'),
    text("formatter"),
    flag("help").or('?'),
    flag("dry-run"),
    text("erlang-cookie"),
    text("printer"),
    text("file"),
    text("script-name"),
    text("rabbitmq-home"),
    text("mnesia-dir"),
    text("data-dir"),
    text("plugins-dir"),
    text("enabled-plugins-file"),
];

/// A command line: words that are no switches, and the values of those that are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) arguments: Vec<String>,
    switches: BTreeMap<&'static str, String>,
    /// What is no switch, or has no value that makes sense, with that value.
    pub(super) invalid: Vec<(String, String)>,
}

impl Words {
    /// Reads a command line whose verb has these switches besides those of all.
    pub(super) fn read(line: &[String], own: &[Switch]) -> Words {
        let known: Vec<Switch> = own.iter().chain(&OF_ALL).copied().collect();
        let mut words = Words::default();
        let mut rest = line.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                words.arguments.extend(rest.by_ref().cloned());
            } else if !word.starts_with('-') || word == "-" || word.parse::<f64>().is_ok() {
                words.arguments.push(word.clone());
            } else {
                words.take(&known, word, &mut rest);
            }
        }
        words
    }

    fn take<'a>(
        &mut self,
        known: &[Switch],
        word: &str,
        rest: &mut (impl Iterator<Item = &'a String> + Clone),
    ) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let named = |wanted: &str| known.iter().find(|switch| switch.name == wanted).copied();
        let found = match name.strip_prefix("--") {
            Some(long) => named(long).map(|switch| (switch, true)).or_else(|| {
                let flag = named(long.strip_prefix("no-")?)?;
                (flag.kind == Kind::Flag).then_some((flag, false))
            }),
            None => known
                .iter()
                .find(|switch| switch.short.is_some_and(|short| name[1..] == *short.encode_utf8(&mut [0; 4])))
                .map(|switch| (*switch, true)),
        };
        let Some((switch, is_on)) = found else {
            self.invalid.push((name.to_owned(), value.unwrap_or_default()));
            return;
        };
        let value = match switch.kind {
            Kind::Flag => Some(is_on.to_string()),
            // The word behind it, unless that is a switch itself.
            Kind::Text | Kind::Integer => value.or_else(|| {
                let next = rest.clone().next()?;
                let is_value = !next.starts_with('-') || next.len() == 1 || next.parse::<f64>().is_ok();
                if is_value { rest.next().cloned() } else { None }
            }),
        };
        match value {
            Some(value) if switch.kind != Kind::Integer || value.parse::<i64>().is_ok() => {
                self.switches.insert(switch.name, value);
            }
            value => self.invalid.push((name.to_owned(), value.unwrap_or_default())),
        }
    }

    /// The same words for another verb and vhost, without arguments.
    pub(super) fn instead(&self, verb: &str, vhost: Option<&str>) -> Words {
        let mut switches = self.switches.clone();
        if let Some(vhost) = vhost {
            switches.insert("vhost", vhost.to_owned());
        }
        Words { arguments: vec![verb.to_owned()], switches, invalid: Vec::new() }
    }

    pub(super) fn is(&self, flag: &str) -> bool {
        self.text(flag) == Some("true")
    }

    /// Whether a flag was turned off.
    pub(super) fn is_not(&self, flag: &str) -> bool {
        self.text(flag) == Some("false")
    }

    pub(super) fn text(&self, switch: &str) -> Option<&str> {
        self.switches.get(switch).map(String::as_str)
    }

    pub(super) fn integer(&self, switch: &str) -> Option<i64> {
        self.text(switch)?.parse().ok()
    }

    /// How long the broker may take; None where nothing was said, or no end is wanted.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let seconds = u64::try_from(self.integer("timeout")?).ok()?;
        Some(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Words {
        let line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Words::read(&line, &[flag("table-headers"), integer("number").or('N')])
    }

    #[test]
    fn switches_stand_anywhere() {
        let words = read("-q list_queues --formatter=json -p shop name -t 5 --no-table-headers");
        assert_eq!(words.arguments, ["list_queues", "name"]);
        assert!(words.is("quiet") && words.is_not("table-headers") && !words.is("silent"));
        assert_eq!((words.text("formatter"), words.text("vhost")), (Some("json"), Some("shop")));
        assert_eq!(words.timeout(), Some(Duration::from_secs(5)));
        assert!(words.invalid.is_empty());
    }

    #[test]
    fn what_is_no_switch_or_has_no_value_is_told() {
        let words = read("v --nosuch -t soon -N --quiet --formatter");
        let told: Vec<&str> = words.invalid.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(told, ["--nosuch", "-t", "-N", "--formatter"]);
        assert_eq!(words.invalid[1].1, "soon");
        assert!(words.is("quiet"));
    }

    #[test]
    fn numbers_below_zero_and_what_follows_two_dashes_are_no_switches() {
        assert_eq!(read("v -1 -0.5 - -- --quiet").arguments, ["v", "-1", "-0.5", "-", "--quiet"]);
    }
}

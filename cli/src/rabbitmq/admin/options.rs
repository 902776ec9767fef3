//! The words of a line of rabbitmqadmin, and the switches of both tools that have this name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::{Broker, Failure, Where, encoded};

/// Where the management API is, and who asks, unless it is said.
const HOST: &str = "localhost";
const PORT: &str = "15672";
const GUEST: &str = "guest";

/// Switches that stand for themselves.
const FLAGS: [(&str, Option<char>); 15] = [
    ("quiet", Some('q')),
    ("sort-reverse", Some('R')),
    ("ssl", Some('s')),
    ("ssl-insecure", Some('k')),
    ("ssl-disable-hostname-verification", None),
    ("bash-completion", None),
    ("version", None),
    ("help", Some('h')),
    ("non-interactive", None),
    ("idempotently", None),
    ("use-tls", None),
    ("disable-default-proxies", None),
    ("if-empty", None),
    ("if-unused", None),
    ("insecure", None),
];
/// Switches of one letter that a value follows, and their names.
const SHORT: [(char, &str); 12] = [
    ('c', "config"),
    ('N', "node"),
    ('H', "host"),
    ('P', "port"),
    ('V', "vhost"),
    ('u', "username"),
    ('p', "password"),
    ('U', "base-uri"),
    ('f', "format"),
    ('S', "sort"),
    ('d', "depth"),
    ('t', "request-timeout"),
];

/// Switches that say where the broker is, who asks, and how it is told, wherever they stand.
const OF_ALL: [&str; 20] = [
    "config",
    "node",
    "host",
    "vhost",
    "username",
    "base-uri",
    "format",
    "sort",
    "sort-reverse",
    "depth",
    "request-timeout",
    "quiet",
    "ssl",
    "ssl-insecure",
    "path-prefix",
    "non-interactive",
    "table-style",
    "use-tls",
    "version",
    "help",
];

/// A line: its words, and its switches by their long names. The new tool has switches behind its words that are about what is
/// asked for.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) words: Vec<String>,
    before: BTreeMap<String, String>,
    behind: BTreeMap<String, String>,
}

impl Options {
    pub(super) fn read(line: &[String]) -> Result<Options, String> {
        let mut options = Options::default();
        let mut rest = line.iter().peekable();
        while let Some(word) = rest.next() {
            let Some(name) = word.strip_prefix('-').filter(|name| !name.is_empty()) else {
                options.words.push(word.clone());
                continue;
            };
            let (name, value) = match name.strip_prefix('-') {
                Some(long) => match long.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (long.to_owned(), None),
                },
                None => short(name)?,
            };
            let is_flag = FLAGS.iter().any(|(flag, _)| *flag == name);
            let value = match value {
                Some(value) => value,
                None if is_flag => "true".to_owned(),
                None => rest.next().cloned().ok_or_else(|| format!("--{name} requires an argument"))?,
            };
            let name = name.replace('_', "-");
            let is_object = !options.words.is_empty() && options.is_of_object(&name);
            let known = if is_object { &mut options.behind } else { &mut options.before };
            known.insert(name, value);
        }
        Ok(options)
    }

    /// Whether a switch behind the words so far is about what they ask for, and not about the broker or how it is told.
    fn is_of_object(&self, switch: &str) -> bool {
        let asks_for = |words: &[&str]| self.words.iter().any(|word| words.contains(&word.as_str()));
        match switch {
            "password" => asks_for(&["user", "users"]),
            "port" => asks_for(&["port_listener"]),
            _ => !OF_ALL.contains(&switch),
        }
    }

    /// A switch, wherever it stands.
    pub(super) fn text(&self, switch: &str) -> Option<&str> {
        self.behind.get(switch).or_else(|| self.before.get(switch)).map(String::as_str)
    }

    /// All switches of what is asked for.
    pub(super) fn of_objects(&self) -> impl Iterator<Item = (&String, &String)> {
        self.behind.iter()
    }

    /// A switch of what is asked for.
    pub(super) fn of_object(&self, switch: &str) -> Option<&str> {
        self.behind.get(switch).map(String::as_str)
    }

    pub(super) fn is(&self, flag: &str) -> bool {
        self.text(flag) == Some("true")
    }

    /// Whether something is said of what is asked for by switches.
    pub(super) fn has_switches_behind(&self) -> bool {
        self.behind.keys().any(|name| {
            !["format", "sort", "sort-reverse", "depth", "vhost", "quiet"].contains(&name.as_str())
        })
    }

    pub(super) fn host(&self) -> &str {
        self.before.get("host").map_or(HOST, String::as_str)
    }

    /// By the address and the login where one of them is said, and else as the other tools find the broker.
    pub(super) fn broker(&self) -> Result<Broker, Failure> {
        let said = |name: &str| self.before.get(name);
        let text = |name: &str, default: &'static str| said(name).map_or(default, String::as_str).to_owned();
        let is_said = ["host", "port", "username", "password"].iter().any(|name| said(name).is_some());
        let login = format!("{}:{}", encoded(&text("username", GUEST)), encoded(&text("password", GUEST)));
        let uri = match said("base-uri") {
            Some(uri) if uri.contains('@') => Some(uri.clone()),
            Some(uri) => Some(match uri.split_once("://") {
                Some((scheme, rest)) => format!("{scheme}://{login}@{rest}"),
                None => format!("http://{login}@{uri}"),
            }),
            None if is_said => {
                let scheme = if self.is("ssl") || self.is("use-tls") { "https" } else { "http" };
                Some(format!("{scheme}://{login}@{}:{}", self.host(), text("port", PORT)))
            }
            None => None,
        };
        let patience =
            self.text("request-timeout").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        Broker::find(&Where { uri, patience, ..Where::default() })
    }
}

/// A switch of one letter, with what stands right behind it.
fn short(name: &str) -> Result<(String, Option<String>), String> {
    let mut characters = name.chars();
    let letter = characters.next().unwrap_or_default();
    let rest: String = characters.collect();
    if let Some((flag, _)) = FLAGS.iter().find(|(_, short)| *short == Some(letter)) {
        return Ok(((*flag).to_owned(), None));
    }
    let known = SHORT.iter().find(|(short, _)| *short == letter);
    let (_, long) = known.ok_or_else(|| format!("no such option: -{letter}"))?;
    Ok(((*long).to_owned(), (!rest.is_empty()).then_some(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Options {
        Options::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn switches_of_both_tools_are_told_apart_from_words() {
        let old = read("-q -P 25672 --vhost=shop -f tsv list queues name durable=true");
        assert_eq!(old.words, ["list", "queues", "name", "durable=true"]);
        assert!(old.is("quiet") && !old.has_switches_behind());
        assert_eq!(
            (old.text("port"), old.text("vhost"), old.text("format")),
            (Some("25672"), Some("shop"), Some("tsv"))
        );
        let new = read("--port 1 health_check port_listener --port 5672");
        assert_eq!((new.of_object("port"), new.text("port")), (Some("5672"), Some("5672")));
        assert!(new.has_switches_behind());
    }

    #[test]
    fn a_switch_without_its_value_is_refused() {
        assert!(Options::read(&["list".to_owned(), "--format".to_owned()]).is_err());
        assert!(Options::read(&["-x".to_owned()]).is_err());
    }
}

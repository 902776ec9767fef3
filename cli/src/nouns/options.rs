//! Arguments that many verbs have: which broker is meant, how long it may take, what the output looks like, in which vhost, and whether
//! what destroys may go ahead.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::context;
use crate::broker::{Broker, Failure, Uri, Where};
use crate::output::{Column, Format, Style, Terminal, escaped, write_one};

/// Which broker is meant, and how much is said.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which broker")]
pub(super) struct Connect {
    /// The broker's data directory, whose control socket is for its user and root. By default LEVERET_DATA_DIR, then
    /// ./leveret-data, then /var/lib/leveret.
    // An id of its own: that of `serve`, which the environment sets, would be taken for this one.
    #[arg(id = "broker_data_dir", long = "data-dir", global = true, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// The management API over TCP, instead (LEVERET_URI does the same).
    #[arg(long, global = true, value_name = "http://USER@HOST:PORT", conflicts_with = "broker_data_dir")]
    uri: Option<String>,
    /// The broker of this context, as `leveret context add` named it (LEVERET_CONTEXT does the same).
    #[arg(long, global = true, value_name = "CONTEXT", conflicts_with_all = ["broker_data_dir", "uri"])]
    context: Option<String>,
    /// Who logs in, with --uri; guest by default.
    #[arg(long, global = true, value_name = "NAME")]
    username: Option<String>,
    /// A file whose first line is the password, with --uri. Otherwise it is taken from LEVERET_PASSWORD, or asked for.
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Seconds that an answer of the broker may take.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// Says nothing but what was asked for: no headings, no word of what was done.
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
}

impl Connect {
    pub(super) fn broker(&self) -> Result<Broker, Failure> {
        if let Some(uri) = &self.uri
            && Uri::parse(uri)?.password().is_some()
        {
            warn_of_argument("LEVERET_PASSWORD, --password-file or the prompt");
        }
        Broker::find(&place(
            self.context.as_deref(),
            Where {
                data_dir: self.data_dir.clone(),
                uri: self.uri.clone(),
                user: self.username.clone(),
                password_file: self.password_file.clone(),
                patience: Some(self.timeout),
                is_silent: false,
            },
        )?)
    }

    /// Says what was done.
    pub(super) fn say(&self, what: &str) -> Result<(), Failure> {
        if self.quiet { Ok(()) } else { self.print(what) }
    }

    /// Prints a line that was asked for; what would end it or move a terminal is written as text.
    pub(super) fn print(&self, line: &str) -> Result<(), Failure> {
        writeln!(io::stdout(), "{}", escaped(line)).map_err(Failure::output)
    }

    /// Prints one thing.
    pub(super) fn show(
        &self,
        shape: &Shape,
        columns: &'static [Column],
        item: &Value,
    ) -> Result<(), Failure> {
        let chosen = shape.chosen(columns)?;
        let style = shape.style(self.quiet, Format::Table);
        write_one(io::stdout().lock(), style, &chosen, item, shape.columns.is_empty())
            .map_err(Failure::output)
    }
}

/// Where the broker is, as it is said, or as the context says that is named, on the line or by the environment.
pub(super) fn place(named: Option<&str>, said: Where) -> Result<Where, Failure> {
    let is_said = said.data_dir.is_some() || said.uri.is_some();
    let environment = || std::env::var(context::ENVIRONMENT).ok().filter(|name| !name.is_empty());
    let name = named.map(str::to_owned).or_else(|| environment().filter(|_| !is_said));
    let Some(name) = name else { return Ok(said) };
    let kept = context::place(&name)?;
    let password_file = said.password_file.or(kept.password_file);
    Ok(Where { data_dir: kept.data_dir, uri: kept.uri, password_file, ..said })
}

/// Everybody can read the arguments of a running command.
pub(super) fn warn_of_argument(instead: &str) {
    eprintln!("leveret: others on this machine can see a password in the arguments; {instead} would hide it");
}

/// What the output looks like.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Shape {
    /// How it is written: by default a table on a terminal, and tsv into a pipe.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Which columns, by their names, in this order; all: every one. An unknown one is answered with those that there are.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
}

impl Shape {
    pub(super) fn chosen(&self, columns: &'static [Column]) -> Result<Vec<&'static Column>, Failure> {
        match &self.columns[..] {
            [] => Ok(columns.iter().filter(|column| column.is_usual).collect()),
            [all] if all == "all" => Ok(columns.iter().collect()),
            names => names.iter().map(|name| named(columns, name)).collect(),
        }
    }

    /// Whether all that is known is to be written, where the format can say it.
    pub(super) fn is_whole(&self) -> bool {
        self.columns.is_empty() && self.format == Some(Format::Json)
    }

    /// `piped` is the format where nobody looks at a terminal.
    pub(super) fn style(&self, is_quiet: bool, piped: Format) -> Style {
        let terminal = Terminal::of_output();
        Style {
            format: self.format.unwrap_or(if terminal.is_some() { Format::Table } else { piped }),
            headings: !is_quiet,
            width: terminal.map(|terminal| terminal.width),
            is_coloured: terminal.is_some_and(|terminal| terminal.is_coloured),
        }
    }
}

/// The column of a name.
pub(super) fn named(columns: &'static [Column], name: &str) -> Result<&'static Column, Failure> {
    columns.iter().find(|column| column.name == name).ok_or_else(|| {
        let known: Vec<&str> = columns.iter().map(|column| column.name).collect();
        Failure::usage(format!("there is no column '{name}'"))
            .advise(format!("There are: {}.", known.join(", ")))
    })
}

/// The vhost of one thing.
#[derive(Clone, Debug, Args)]
pub(super) struct InVhost {
    /// The vhost that it is in.
    #[arg(short = 'p', long, value_name = "VHOST", default_value = "/")]
    pub(super) vhost: String,
}

/// The vhost of many things.
#[derive(Clone, Debug, Args)]
pub(super) struct OfVhost {
    /// Those of this vhost alone.
    #[arg(short = 'p', long, value_name = "VHOST")]
    pub(super) vhost: Option<String>,
}

/// What destroys asks first.
#[derive(Clone, Debug, Args)]
pub(super) struct Confirm {
    /// Does not ask whether it is meant.
    #[arg(short, long)]
    pub(super) yes: bool,
}

impl Confirm {
    /// Goes on where it is meant.
    pub(super) fn ask(&self, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let input = io::stdin();
        if !input.is_terminal() {
            return Err(Failure::usage(format!("{question} Nobody is at a terminal to say yes"))
                .advise("Say so with --yes."));
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        let read = io::stderr().flush().and_then(|()| input.lock().read_line(&mut answer));
        read.map_err(|error| Failure::usage(format!("the answer cannot be read: {error}")))?;
        if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            Ok(())
        } else {
            Err(Failure::usage("nothing was done"))
        }
    }
}

/// A time that is longer than nothing and short enough to be waited for.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no number of seconds above 0, 1000000 at most");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if seconds > 0.0 && seconds <= 1e6 { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

/// A name and its value: a number, true, false, null, an object or a list as in JSON, or otherwise a text.
pub(super) fn argument(text: &str) -> Result<(String, Value), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("'{text}' is no NAME=VALUE, as in x-max-length=1000"))?;
    Ok((name.to_owned(), value_of(value)))
}

fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// An object in JSON.
pub(super) fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("an object is needed, as in '{\"max-length\": 1000}'".to_owned()),
        Err(error) => {
            Err(format!("this is no JSON ({error}); an object is needed, as in '{{\"max-length\": 1000}}'"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_above_nothing_and_not_for_ever() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "1e7", "x", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_are_json_where_they_can_be() {
        assert_eq!(argument("a=5"), Ok(("a".to_owned(), json!(5))));
        assert_eq!(argument("a=b=c"), Ok(("a".to_owned(), json!("b=c"))));
        assert_eq!(argument("a="), Ok(("a".to_owned(), json!(""))));
        assert_eq!(argument("a=\"5\""), Ok(("a".to_owned(), json!("5"))));
        assert!(argument("a").is_err());
    }
}

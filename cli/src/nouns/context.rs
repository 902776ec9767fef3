//! `leveret context`: brokers by names of one's own, so that nobody types addresses. They are kept in a file of the user's; passwords are
//! not in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::Done;
use super::options::{Confirm, Shape};
use crate::broker::{Failure, Kind, Uri, Where};
use crate::output::{self, Column, Format, Rows, column};

/// Which one is meant, by its name.
pub(super) const ENVIRONMENT: &str = "LEVERET_CONTEXT";
/// Below the user's folder for configuration.
const FILE: &str = "leveret/contexts.json";

#[derive(Debug, Args)]
pub struct Context {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the contexts.
    #[command(after_help = "Example:\n  leveret context list")]
    List {
        #[command(flatten)]
        shape: Shape,
    },
    /// Gives a broker a name, by which `--context NAME` finds it.
    #[command(
        after_help = "Examples:\n  leveret context add prod --uri http://ops@broker.example:15672 --password-file ~/.broker-password\n  \
        leveret context add local --data-dir /var/lib/leveret"
    )]
    Add {
        #[arg(value_name = "NAME")]
        name: String,
        /// The management API.
        #[arg(long, value_name = "http://USER@HOST:PORT", required_unless_present = "data_dir")]
        uri: Option<String>,
        /// A file whose first line is the password; it is read when the context is used.
        #[arg(long, value_name = "FILE", requires = "uri")]
        password_file: Option<PathBuf>,
        /// The data directory of a broker of this machine, instead.
        #[arg(long, value_name = "DIRECTORY", conflicts_with = "uri")]
        data_dir: Option<PathBuf>,
    },
    /// Forgets a context.
    #[command(after_help = "Example:\n  leveret context remove prod --yes")]
    Remove {
        #[arg(value_name = "CONTEXT")]
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

const COLUMNS: &[Column] = &[
    column("name", "name", "NAME", output::Kind::Text),
    column("uri", "uri", "URI", output::Kind::Text),
    column("data_dir", "data_dir", "DATA DIRECTORY", output::Kind::Text),
    column("password_file", "password_file", "PASSWORD FILE", output::Kind::Text),
];

type Contexts = BTreeMap<String, Map<String, Value>>;

impl Context {
    pub(super) fn run(self) -> Result<Done, Failure> {
        match self.verb {
            Verb::List { shape } => {
                let mut rows = Rows::new(
                    io::stdout().lock(),
                    shape.style(false, Format::Tsv),
                    shape.chosen(COLUMNS)?,
                    false,
                );
                for (name, mut context) in read()? {
                    context.insert("name".to_owned(), name.into());
                    rows.push(&context.into()).map_err(Failure::output)?;
                }
                rows.finish().map_err(Failure::output)?;
            }
            Verb::Add { name, uri, password_file, data_dir } => {
                if let Some(uri) = &uri
                    && Uri::parse(uri)?.password().is_some()
                {
                    return Err(Failure::usage("passwords are not kept in contexts").advise(
                        "Leave it out of the address, and give --password-file, or LEVERET_PASSWORD later.",
                    ));
                }
                let absolute = |path: Option<PathBuf>| path.map(std::path::absolute).transpose();
                let wrong = |error: io::Error| Failure::usage(format!("a path cannot be used: {error}"));
                let (password_file, data_dir) =
                    (absolute(password_file).map_err(wrong)?, absolute(data_dir).map_err(wrong)?);
                let mut context = Map::new();
                let mut keep_text = |name: &str, value: Option<&str>| {
                    context.extend(value.map(|value| (name.to_owned(), value.into())));
                };
                keep_text("uri", uri.as_deref());
                keep_text("password_file", password_file.as_deref().and_then(Path::to_str));
                keep_text("data_dir", data_dir.as_deref().and_then(Path::to_str));
                let mut contexts = read()?;
                contexts.insert(name.clone(), context);
                keep(&contexts)?;
                writeln!(
                    io::stdout(),
                    "The context '{name}' is kept: use it as in `leveret status --context {name}`."
                )
                .map_err(Failure::output)?;
            }
            Verb::Remove { name, confirm } => {
                let mut contexts = read()?;
                contexts.remove(&name).ok_or_else(|| unknown(&name))?;
                confirm.ask(&format!("Forget the context '{name}'?"))?;
                keep(&contexts)?;
                writeln!(io::stdout(), "The context '{name}' is forgotten.").map_err(Failure::output)?;
            }
        }
        Ok(Done::Yes)
    }
}

/// The broker of a context.
pub(super) fn place(name: &str) -> Result<Where, Failure> {
    let contexts = read()?;
    let context = contexts.get(name).ok_or_else(|| unknown(name))?;
    let text = |field: &str| context.get(field).and_then(Value::as_str);
    Ok(Where {
        data_dir: text("data_dir").map(PathBuf::from),
        uri: text("uri").map(str::to_owned),
        password_file: text("password_file").map(PathBuf::from),
        ..Where::default()
    })
}

/// The names of all; none where they cannot be read.
pub(super) fn names() -> Vec<String> {
    read().map(|contexts| contexts.into_keys().collect()).unwrap_or_default()
}

fn unknown(name: &str) -> Failure {
    Failure::new(Kind::NotFound, format!("there is no context '{name}'"))
        .advise("`leveret context list` has those that there are; `leveret context add` makes one.")
}

fn file() -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let folder = folder.ok_or_else(|| {
        Failure::usage("contexts are kept in the home directory, and HOME says none")
            .advise("Set HOME or XDG_CONFIG_HOME.")
    })?;
    Ok(folder.join(FILE))
}

fn read() -> Result<Contexts, Failure> {
    let file = file()?;
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::new()),
        Err(error) => return Err(unusable(&file, &error)),
    };
    serde_json::from_slice(&text).map_err(|error| unusable(&file, &error))
}

/// Writes them anew, whole or not at all.
fn keep(contexts: &Contexts) -> Result<(), Failure> {
    let file = file()?;
    let beside = file.with_extension(format!("json.{}", std::process::id()));
    let folder = file.parent().unwrap_or(&file);
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut opened = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
        opened.write_all(&serde_json::to_vec_pretty(contexts)?)?;
        opened.sync_all()?;
        std::fs::rename(&beside, &file)
    };
    write().map_err(|error: io::Error| {
        // What was begun is of no use; that it cannot be removed either changes nothing.
        let _ = std::fs::remove_file(&beside);
        unusable(&file, &error)
    })
}

fn unusable(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::usage(format!("the contexts in {} cannot be used: {error}", file.display()))
}

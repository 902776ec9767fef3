//! `leveret definitions`: all that is declared and administered, as a file, out of a broker and into one. What differs between two of
//! them is `difference`'s.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path as FilePath, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::Done;
use super::difference::{self, Difference};
use super::options::{Connect, OfVhost, Shape};
use super::status;
use crate::broker::{Failure, Path};
use crate::output::{Column, Format, Kind, Rows, column};

#[derive(Debug, Args)]
pub struct Definitions {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Writes all that is declared and administered to a file, or to standard output. Passwords are in it as hashes.
    #[command(after_help = "Example:\n  leveret definitions export definitions.json")]
    Export {
        file: Option<PathBuf>,
        #[command(flatten)]
        of: OfVhost,
    },
    /// Makes what a file says that is not there yet, and changes what it says otherwise. Nothing is deleted.
    #[command(
        after_help = "Examples:\n  leveret definitions import definitions.json --dry-run\n  leveret definitions import definitions.json"
    )]
    Import {
        /// Of this broker or of RabbitMQ; - is standard input.
        file: PathBuf,
        #[command(flatten)]
        of: OfVhost,
        /// Says what would be made, changed and left alone, and changes nothing.
        #[arg(long)]
        dry_run: bool,
        /// Imports nothing where something of it cannot be here.
        #[arg(long)]
        strict: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Shows what a file says and the broker does not have, and the other way round (exit code 1 where they differ).
    #[command(after_help = "Example:\n  leveret definitions diff definitions.json")]
    Diff {
        /// Of this broker or of RabbitMQ; - is standard input.
        file: PathBuf,
        #[command(flatten)]
        of: OfVhost,
        #[command(flatten)]
        shape: Shape,
    },
}

const PREVIEW: &[Column] = &[
    column("what", "what", "WHAT", Kind::Text),
    column("kind", "kind", "KIND", Kind::Text),
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
];

const DIFFERENCES: &[Column] = &[
    column("where", "where", "WHERE", Kind::Text),
    column("kind", "kind", "KIND", Kind::Text),
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
    column("broker", "broker", "BROKER", Kind::Arguments),
    column("file", "file", "FILE", Kind::Arguments),
];

impl Definitions {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::Export { file, of } => {
                let broker = connect.broker()?;
                let answer = broker.open(Method::GET, path(&of), Vec::new())?.accepted();
                let mut answer = answer.map_err(|failure| failure.about(described(&of)))?;
                match file {
                    None => copy(&mut answer, io::stdout().lock()).map_err(flattened)?,
                    Some(file) => {
                        let wrong = |error: io::Error| unusable(&file, &error);
                        let mut opened = BufWriter::new(create(&file).map_err(wrong)?);
                        copy(&mut answer, &mut opened).map_err(|failed| match failed {
                            Failed::Asked(failure) => failure,
                            Failed::Written(error) => wrong(error),
                        })?;
                        opened
                            .into_inner()
                            .map_err(|error| wrong(error.into_error()))?
                            .sync_all()
                            .map_err(wrong)?;
                        connect.say(&format!("The definitions are in {}.", file.display()))?;
                    }
                }
                Ok(Done::Yes)
            }
            Verb::Import { file, of, dry_run: true, shape, .. } => {
                let text = read(&file)?;
                let broker = connect.broker()?;
                let product = status::product(&broker.get(Path::api("overview"))?);
                if !product.starts_with("Leveret") {
                    // It would leave out what it does not understand, and import them.
                    return Err(Failure::usage(format!("{product} has no dry run of imports"))
                        .advise("`leveret definitions diff` shows what differs."));
                }
                let path = path(&of).query("dry_run", "true");
                let reply = broker.send_bytes(Method::POST, path, text)?.accepted();
                let preview = reply.map_err(|failure| failure.about(described(&of)))?.json()?;
                preview_rows(connect, &shape, &preview)
            }
            Verb::Import { file, of, strict, .. } => {
                let text = read(&file)?;
                let path = if strict { path(&of).query("strict", "true") } else { path(&of) };
                let reply = connect.broker()?.send_bytes(Method::POST, path, text)?.accepted();
                let reply = reply.map_err(|failure| failure.about(described(&of)))?;
                let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                for line in answer["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    eprintln!("leveret: left out: {line}");
                }
                connect.say(&format!("{} is imported.", file.display()))?;
                Ok(Done::Yes)
            }
            Verb::Diff { file, of, shape } => {
                let theirs: Value = serde_json::from_slice(&read(&file)?)
                    .map_err(|error| Failure::usage(format!("{} is no JSON: {error}", file.display())))?;
                let ours =
                    connect.broker()?.get(path(&of)).map_err(|failure| failure.about(described(&of)))?;
                let differences = difference::between(&ours, &theirs);
                rows(connect, &shape, DIFFERENCES, differences.iter().map(Difference::row))?;
                Ok(if differences.is_empty() { Done::Yes } else { Done::No })
            }
        }
    }
}

fn preview_rows(connect: &Connect, shape: &Shape, preview: &Value) -> Result<Done, Failure> {
    let of = |what: &'static str| {
        let things = preview[what]["things"].as_array().into_iter().flatten();
        things.map(move |thing| {
            let mut row = thing.clone();
            row["what"] = what.into();
            row
        })
    };
    rows(connect, shape, PREVIEW, of("made").chain(of("changed")))?;
    let left_out: Vec<&str> =
        preview["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for line in &left_out {
        eprintln!("leveret: would be left out: {line}");
    }
    if !connect.quiet {
        let (made, changed) = (&preview["made"]["total"], &preview["changed"]["total"]);
        let left_alone = &preview["left_alone"];
        eprintln!(
            "leveret: {made} would be made, {changed} changed, {left_alone} left alone; nothing was changed"
        );
    }
    Ok(Done::Yes)
}

fn rows(
    connect: &Connect,
    shape: &Shape,
    columns: &'static [Column],
    mut items: impl Iterator<Item = Value>,
) -> Result<(), Failure> {
    let style = shape.style(connect.quiet, Format::Tsv);
    let mut rows = Rows::new(io::stdout().lock(), style, shape.chosen(columns)?, shape.is_whole());
    let written = items.try_for_each(|item| rows.push(&item)).and_then(|()| rows.finish());
    written.map_err(Failure::output)
}

/// What went wrong with a copy: reading of the broker, or writing.
enum Failed {
    Asked(Failure),
    Written(io::Error),
}

fn flattened(failed: Failed) -> Failure {
    match failed {
        Failed::Asked(failure) => failure,
        Failed::Written(error) => Failure::output(error),
    }
}

fn copy(answer: &mut crate::broker::Body<'_>, mut out: impl Write) -> Result<(), Failed> {
    while let Some(piece) = answer.next_piece().map_err(Failed::Asked)? {
        out.write_all(&piece).map_err(Failed::Written)?;
    }
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(Failed::Written)
}

/// A file that nobody else may read: hashes of passwords are in it.
fn create(file: &FilePath) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create(true).truncate(true).mode(0o600).open(file)
}

fn read(file: &FilePath) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = if file == FilePath::new("-") {
        io::stdin().read_to_end(&mut text)
    } else {
        File::open(file).and_then(|mut opened| opened.read_to_end(&mut text))
    };
    read.map_err(|error| unusable(file, &error))?;
    Ok(text)
}

fn unusable(file: &FilePath, error: &io::Error) -> Failure {
    Failure::usage(format!("{} cannot be used: {error}", file.display()))
}

fn path(of: &OfVhost) -> Path {
    of.vhost.iter().fold(Path::api("definitions"), |path, vhost| path.segment(vhost))
}

fn described(of: &OfVhost) -> String {
    format!("the vhost '{}'", of.vhost.as_deref().unwrap_or("/"))
}

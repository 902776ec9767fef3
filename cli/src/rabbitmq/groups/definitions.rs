//! Definitions to a file and back. They are JSON; the other format is Erlang's own.

use std::fs;
use std::io::{self, Read};
use std::path::Path as File;

use hyper::Method;
use serde_json::Value;

use crate::broker::Path;
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::{Switch, flag, text};
use crate::rabbitmq::output::Output;
use crate::rabbitmq::verb::{Answer, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Invalid, SOFTWARE, UNAVAILABLE, Wrong};

const FORMAT: Switch = text("format");
/// Bytes that the broker takes at most.
const MOST: u64 = 20_000_000;

pub(super) const VERBS: &[Verb] = &[
    verb(
        "export_definitions",
        "<file_path | \"-\"> [--format <json | erlang>] [--timeout <timeout>]",
        "Writes definitions to a file, or to standard output",
        export,
    )
    .takes(1, 1)
    .with(&[FORMAT])
    .checks(|call| {
        has_format(call)?;
        let directory =
            File::new(call.argument(0)).parent().filter(|directory| !directory.as_os_str().is_empty());
        match directory {
            Some(directory) if !directory.is_dir() => {
                Err(Invalid::argument(&format!("Directory {} does not exist", directory.display())))
            }
            _ => Ok(()),
        }
    })
    .says(|call| match call.argument(0) {
        "-" => String::new(),
        file => format!("Exporting definitions in JSON to a file at \"{file}\" ..."),
    }),
    verb(
        "import_definitions",
        "<file_path> [--format <json | erlang>] [--skip-if-unchanged] [--timeout <timeout>]",
        "Imports definitions from a file, or from standard input",
        import,
    )
    .takes(0, 1)
    .with(&[FORMAT, flag("skip-if-unchanged")])
    .checks(|call| {
        has_format(call)?;
        match call.arguments() {
            [file] if !File::new(file).exists() => {
                Err(Invalid::argument(&format!("File {file} does not exist")))
            }
            _ => Ok(()),
        }
    })
    .says(|call| match call.arguments() {
        [file] => format!("Importing definitions in JSON from a file at \"{file}\" ..."),
        _ => "Importing definitions in JSON from standard input ...".to_owned(),
    }),
];

fn has_format(call: &Call<'_>) -> Result<(), Invalid> {
    match call.words.text("format") {
        None | Some("json" | "JSON" | "erlang" | "erl" | "Erlang") => Ok(()),
        Some(_) => Err(Invalid::argument("Format should be either json or erlang")),
    }
}

/// Erlang's own format is nothing that others read.
fn is_json(call: &Call<'_>) -> Result<(), Wrong> {
    match call.words.text("format") {
        None | Some("json" | "JSON") => Ok(()),
        Some(_) => {
            let what = "definitions are JSON here: Erlang's external term format is neither written nor read";
            Err(Wrong::error(SOFTWARE, what))
        }
    }
}

fn export(call: &Call<'_>) -> Answer {
    is_json(call)?;
    let reply = call.broker()?.send(Method::GET, Path::api("definitions"), None)?.accepted()?;
    let file = call.argument(0);
    if file == "-" {
        return Ok(Output::line(String::from_utf8_lossy(&reply.body)));
    }
    fs::write(file, &reply.body)
        .map_err(|error| Wrong::error(UNAVAILABLE, format!("{file} cannot be written: {error}")))?;
    Ok(Output::Nothing)
}

fn import(call: &Call<'_>) -> Answer {
    is_json(call)?;
    let cannot =
        |what: &str, error: &io::Error| Wrong::error(DATA_ERROR, format!("{what} cannot be read: {error}"));
    let definitions = match call.arguments() {
        [file] => fs::read(file).map_err(|error| cannot(file, &error))?,
        _ => {
            let mut read = Vec::new();
            let input = io::stdin().lock().take(MOST + 1).read_to_end(&mut read);
            input.map_err(|error| cannot("standard input", &error))?;
            read
        }
    };
    if let Err(error) = serde_json::from_slice::<Value>(&definitions) {
        return Err(Wrong::error(
            DATA_ERROR,
            format!("Failed to deserialise input (format: JSON) (error: {error})"),
        ));
    }
    let reply = call.broker()?.send_bytes(Method::POST, Path::api("definitions"), definitions)?.accepted()?;
    let left_out = if reply.body.is_empty() { Value::Null } else { reply.json()? };
    let left_out: Vec<&str> =
        left_out["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !left_out.is_empty() {
        let what = format!("Imported, but for what cannot be here:\n{}", left_out.join("\n"));
        return Err(Wrong::error(UNAVAILABLE, what));
    }
    if call.words.is("quiet") || call.words.is("silent") {
        return Ok(Output::Nothing);
    }
    Ok(Output::line(
        "Successfully started definition import. This process is asynchronous and can take some time. \
         Watch target node logs for completion.",
    ))
}

//! The password by which the caller logs in over TCP: from the address, the environment, a file, or the terminal.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::place::Uri;
use super::{Failure, Kind};

/// Who logs in where nobody says; the user of a fresh broker.
const GUEST: &str = "guest";

/// What Ctrl-C types where it does not interrupt.
const INTERRUPTION: char = '\u{3}';

/// The header `authorization`.
pub(super) fn header(
    uri: &Uri,
    environment: Option<String>,
    file: Option<&Path>,
    is_silent: bool,
) -> Result<HeaderValue, Failure> {
    let user = uri.user().unwrap_or(GUEST);
    let password = match (uri.password(), file) {
        (Some(password), None) => password.to_owned(),
        (_, Some(file)) => of_file(file)?,
        (None, None) => match environment {
            Some(password) => password,
            None if uri.user().is_none() => GUEST.to_owned(),
            None if is_silent => return Err(Failure::usage("a password is needed")),
            None => asked_for(&format!("Password of {user}: "))?,
        },
    };
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    let mut header = HeaderValue::from_str(&format!("Basic {encoded}"))
        .map_err(|error| Failure::usage(format!("the user and the password cannot be sent: {error}")))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The first line of a file.
pub(crate) fn of_file(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("the password cannot be read from {}: {error}", file.display()))
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Asks for a password on the terminal, which does not show what is typed.
pub(crate) fn asked_for(prompt: &str) -> Result<String, Failure> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(Failure::usage("a password is needed, and there is no terminal to ask on")
            .advise("Give it in LEVERET_PASSWORD, or in a file that --password-file names."));
    }
    let failed =
        |error: io::Error| Failure::new(Kind::Usage, format!("the password cannot be read: {error}"));
    let before = tcgetattr(&input).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    // Whoever interrupts in the middle would be left with a terminal that shows nothing: Ctrl-C is a letter meanwhile.
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&input, OptionalActions::Now, &silent).map_err(|error| failed(error.into()))?;
    eprint!("{prompt}");
    let mut line = String::new();
    let read = io::stderr().flush().and_then(|()| input.lock().read_line(&mut line));
    let restored = tcsetattr(&input, OptionalActions::Now, &before);
    read.map_err(failed)?;
    restored.map_err(|error| failed(error.into()))?;
    if line.contains(INTERRUPTION) {
        return Err(Failure::usage("nothing was done"));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

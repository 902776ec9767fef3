//! Arguments that many verbs have: which broker is meant, and how long it may take.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::broker::{Broker, Failure, Uri, Where};

/// Which broker is meant.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which broker")]
pub(super) struct Connect {
    /// The broker's data directory, whose control socket is for its user and root. By default LEVERET_DATA_DIR, then
    /// ./leveret-data, then /var/lib/leveret.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// The management API, over TCP (LEVERET_URI does the same).
    #[arg(long, global = true, value_name = "http://USER@HOST:PORT", conflicts_with = "data_dir")]
    uri: Option<String>,
    /// Who logs in, with --uri; guest by default.
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// A file whose first line is the password, with --uri. Otherwise it is taken from LEVERET_PASSWORD, or asked for.
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Seconds that an answer of the broker may take.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
}

impl Connect {
    pub(super) fn broker(&self) -> Result<Broker, Failure> {
        if let Some(uri) = &self.uri
            && Uri::parse(uri)?.password().is_some()
        {
            eprintln!(
                "leveret: others on this machine can see the password in the arguments; LEVERET_PASSWORD, --password-file or \
                 the prompt hide it"
            );
        }
        Broker::find(&Where {
            data_dir: self.data_dir.clone(),
            uri: self.uri.clone(),
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            patience: Some(self.timeout),
        })
    }
}

/// A time that is longer than nothing and short enough to be waited for.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no number of seconds above 0, 1000000 at most");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if seconds > 0.0 && seconds <= 1e6 { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

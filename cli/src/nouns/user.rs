//! `leveret user`.

use std::io::{self, BufRead};
use std::path::{Path as File, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, warn_of_argument};
use crate::broker::{Broker, Failure, Path, credentials};
use crate::output::{Column, Kind, column, further};

/// Where the password of a user that is made or changed may be.
const ENVIRONMENT: &str = "LEVERET_NEW_PASSWORD";

#[derive(Debug, Args)]
pub struct User {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists users with their tags.
    #[command(after_help = "Example:\n  leveret user list --format csv")]
    List {
        #[command(flatten)]
        list: ListOptions,
    },
    /// Adds a user. It may do nothing in any vhost yet: see `leveret permission set`.
    #[command(
        after_help = "Examples:\n  leveret user add billing                          (asks for the password)\n  \
        leveret user add billing --new-password-file /run/secrets/billing\n  leveret user add ops --tag monitoring"
    )]
    Add {
        #[arg(value_name = "USER")]
        user: String,
        /// administrator, monitoring, policymaker, management, or one of your own; several times for several.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Changes a user's password.
    #[command(after_help = "Example:\n  leveret user password billing")]
    Password {
        #[arg(value_name = "USER")]
        user: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Gives a user these tags and no others.
    #[command(after_help = "Example:\n  leveret user tags billing monitoring policymaker")]
    Tags {
        #[arg(value_name = "USER")]
        user: String,
        #[arg(value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Asks whether this is a user's password: exit code 1 where it is not.
    #[command(
        after_help = "Example:\n  leveret user authenticate billing --new-password-file /run/secrets/billing"
    )]
    Authenticate {
        #[arg(value_name = "USER")]
        user: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Deletes users. Their connections are closed, what they declared stays.
    #[command(after_help = "Example:\n  leveret user delete billing --yes")]
    Delete {
        #[arg(value_name = "USER", required = true)]
        users: Vec<String>,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Where the password comes from that a user has or is to have. By default it is asked for.
#[derive(Debug, Args)]
struct NewPassword {
    /// A file whose first line it is; - is standard input. Otherwise it is taken from LEVERET_NEW_PASSWORD, or asked for.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// The password itself, which others on this machine can see here.
    #[arg(long, value_name = "PASSWORD", conflicts_with = "new_password_file")]
    new_password: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("name", "name", "NAME", Kind::Text),
    column("tags", "tags", "TAGS", Kind::Words),
    further("hashing", "hashing_algorithm", "HASHING", Kind::Text),
    further("limits", "limits", "LIMITS", Kind::Arguments),
];

impl User {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { list } => return list.run(connect, COLUMNS, &Source::Listed(Path::api("users"))),
            Verb::Add { user, tags, password } => {
                let broker = connect.broker()?;
                if broker.send(Method::GET, path(&user), None)?.status == 200 {
                    let advice = format!(
                        "Change it with `leveret user password {user}` or `leveret user tags {user}`."
                    );
                    let what = format!("{} is there already", described(&user));
                    return Err(Failure::new(crate::broker::Kind::Refused, what).advise(advice));
                }
                let password = password.read(&user, true)?;
                let body = json!({"password": password, "tags": tags.join(",")});
                broker.send(Method::PUT, path(&user), Some(&body))?.accepted()?;
                connect.say(&format!("The user '{user}' is added."))?;
            }
            Verb::Password { user, password } => {
                let broker = connect.broker()?;
                let tags = look(&broker, &user)?["tags"].clone();
                let body = json!({"password": password.read(&user, true)?, "tags": tags});
                broker.send(Method::PUT, path(&user), Some(&body))?.accepted()?;
                connect.say(&format!("The password of the user '{user}' is changed."))?;
            }
            Verb::Tags { user, tags } => {
                let broker = connect.broker()?;
                let found = look(&broker, &user)?;
                let body = json!({
                    "password_hash": found["password_hash"], "hashing_algorithm": found["hashing_algorithm"],
                    "tags": tags.join(","),
                });
                broker.send(Method::PUT, path(&user), Some(&body))?.accepted()?;
                let words = if tags.is_empty() {
                    "no tags".to_owned()
                } else {
                    format!("the tags {}", tags.join(", "))
                };
                connect.say(&format!("The user '{user}' has {words}."))?;
            }
            Verb::Authenticate { user, password } => {
                let body = json!({"user": user, "password": password.read(&user, false)?});
                let path = Path::api("leveret/authenticate");
                let reply = connect.broker()?.send(Method::POST, path, Some(&body))?.accepted()?.json()?;
                if reply["authenticated"] != true {
                    let why = reply["reason"].as_str().unwrap_or("the broker refused");
                    eprintln!("leveret: the user '{user}' cannot log in: {why}");
                    return Ok(Done::No);
                }
                connect.say(&format!("The user '{user}' can log in."))?;
            }
            Verb::Delete { users, confirm } => {
                let broker = connect.broker()?;
                confirm.ask(&format!(
                    "Delete {}?",
                    users.iter().map(|user| described(user)).collect::<Vec<_>>().join(", ")
                ))?;
                for user in &users {
                    let reply = broker.send(Method::DELETE, path(user), None)?;
                    reply.accepted().map_err(|failure| failure.about(described(user)))?;
                    connect.say(&format!("Deleted {}.", described(user)))?;
                }
            }
        }
        Ok(Done::Yes)
    }
}

impl NewPassword {
    /// `is_new`: where it is typed, it is typed twice.
    fn read(&self, user: &str, is_new: bool) -> Result<String, Failure> {
        if let Some(password) = &self.new_password {
            warn_of_argument(&format!("{ENVIRONMENT}, --new-password-file or the prompt"));
            return Ok(password.clone());
        }
        match &self.new_password_file {
            Some(file) if file == File::new("-") => {
                let mut line = String::new();
                let read = io::stdin().lock().read_line(&mut line);
                read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            Some(file) => return credentials::of_file(file),
            None => {}
        }
        if let Ok(password) = std::env::var(ENVIRONMENT) {
            return Ok(password);
        }
        let kind = if is_new { "New password" } else { "Password" };
        let password = credentials::asked_for(&format!("{kind} of {user}: ")).map_err(|failure| {
            failure.advise(format!("Give it in {ENVIRONMENT}, or in a file that --new-password-file names."))
        })?;
        if is_new && credentials::asked_for("Once more: ")? != password {
            return Err(Failure::usage("these are two passwords").advise("Type the same one twice."));
        }
        Ok(password)
    }
}

fn look(broker: &Broker, user: &str) -> Result<Value, Failure> {
    broker.get(path(user)).map_err(|failure| failure.about(described(user)))
}

fn path(user: &str) -> Path {
    Path::api("users").segment(user)
}

fn described(user: &str) -> String {
    format!("the user '{user}'")
}

//! `leveret connection`: clients that are connected.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, OfVhost, Shape};
use crate::broker::{Broker, Failure, Path};
use crate::output::{Column, Kind, column, counted, further};

/// What clients are told where nobody says why they are closed.
const REASON: &str = "Closed from the command line";

#[derive(Debug, Args)]
pub struct Connection {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists connections.
    #[command(after_help = "Example:\n  leveret connection list --sort -channels --limit 20")]
    List {
        #[command(flatten)]
        of: OfVhost,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Shows a connection.
    #[command(after_help = "Example:\n  leveret connection show '127.0.0.1:51234 -> 127.0.0.1:5672'")]
    Show {
        #[arg(value_name = "CONNECTION")]
        connection: String,
        #[command(flatten)]
        shape: Shape,
    },
    /// Closes connections. Their clients are told why, and most of them come back.
    #[command(
        after_help = "Examples:\n  leveret connection close '127.0.0.1:51234 -> 127.0.0.1:5672' --reason 'please update'\n  \
        leveret connection close --user billing --yes"
    )]
    Close {
        #[arg(value_name = "CONNECTION", required_unless_present_any = ["user", "vhost"])]
        connections: Vec<String>,
        #[command(flatten)]
        of: Of,
        /// What their clients are told.
        #[arg(long, value_name = "TEXT", default_value = REASON)]
        reason: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Those of a user, of a vhost, or of a user in a vhost.
#[derive(Debug, Args)]
struct Of {
    /// All of this user.
    #[arg(long, value_name = "USER", conflicts_with = "connections")]
    user: Option<String>,
    /// All in this vhost; with --user those of the user in it.
    #[arg(short = 'p', long, value_name = "VHOST", conflicts_with = "connections")]
    vhost: Option<String>,
    /// Says which ones these are, and closes none.
    #[arg(long, conflicts_with = "connections")]
    dry_run: bool,
}

const COLUMNS: &[Column] = &[
    column("name", "name", "NAME", Kind::Text),
    column("user", "user", "USER", Kind::Text),
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("state", "state", "STATE", Kind::Text),
    column("channels", "channels", "CHANNELS", Kind::Count),
    column("received_rate", "recv_oct_details.rate", "BYTES IN", Kind::Rate),
    column("sent_rate", "send_oct_details.rate", "BYTES OUT", Kind::Rate),
    column("client", "client_properties.connection_name", "CALLED", Kind::Text),
    further("product", "client_properties.product", "PRODUCT", Kind::Text),
    further("version", "client_properties.version", "VERSION", Kind::Text),
    further("connected_at", "connected_at", "CONNECTED AT", Kind::Time),
    further("peer_host", "peer_host", "PEER HOST", Kind::Text),
    further("peer_port", "peer_port", "PEER PORT", Kind::Count),
    further("port", "port", "PORT", Kind::Count),
    further("protocol", "protocol", "PROTOCOL", Kind::Text),
    further("heartbeat", "timeout", "HEARTBEAT", Kind::Count),
    further("received", "recv_oct", "RECEIVED", Kind::Bytes),
    further("sent", "send_oct", "SENT", Kind::Bytes),
];

const DETAILS: &[Column] = &[
    column("name", "name", "NAME", Kind::Text),
    column("client", "client_properties.connection_name", "CALLED", Kind::Text),
    column("product", "client_properties.product", "PRODUCT", Kind::Text),
    column("version", "client_properties.version", "VERSION", Kind::Text),
    column("user", "user", "USER", Kind::Text),
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("state", "state", "STATE", Kind::Text),
    column("connected_at", "connected_at", "CONNECTED AT", Kind::Time),
    column("protocol", "protocol", "PROTOCOL", Kind::Text),
    column("channels", "channels", "CHANNELS", Kind::Count),
    column("heartbeat", "timeout", "HEARTBEAT", Kind::Count),
    column("received", "recv_oct", "RECEIVED", Kind::Bytes),
    column("received_rate", "recv_oct_details.rate", "BYTES IN", Kind::Rate),
    column("sent", "send_oct", "SENT", Kind::Bytes),
    column("sent_rate", "send_oct_details.rate", "BYTES OUT", Kind::Rate),
];

impl Connection {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { of, list } => {
                let path = of.vhost.map_or_else(
                    || Path::api("connections"),
                    |vhost| Path::api("vhosts").segment(&vhost).fixed("connections"),
                );
                return list.run(connect, COLUMNS, &Source::Listed(path));
            }
            Verb::Show { connection, shape } => {
                let found = connect.broker()?.get(path(&connection));
                let found = found.map_err(|failure| failure.about(described(&connection)))?;
                connect.show(&shape, DETAILS, &found)?;
            }
            Verb::Close { connections, of, reason, confirm } if connections.is_empty() => {
                let broker = connect.broker()?;
                let whose = of.described();
                if of.dry_run {
                    for name in of.names(&broker)? {
                        connect.print(&name)?;
                    }
                    return Ok(Done::Yes);
                }
                confirm.ask(&format!("Close all connections of {whose}?"))?;
                let mut path = Path::api("leveret/connections");
                for (name, value) in [("user", &of.user), ("vhost", &of.vhost)] {
                    path = value.iter().fold(path, |path, value| path.query(name, value));
                }
                let reply = broker.close(path, &reason)?.accepted()?.json()?;
                let closed = reply.get("closed").and_then(Value::as_u64).unwrap_or_default();
                connect.say(&format!("Closed {} of {whose}.", counted(closed, "connection")))?;
            }
            Verb::Close { connections, reason, confirm, .. } => {
                let broker = connect.broker()?;
                match &connections[..] {
                    [one] => confirm.ask(&format!("Close {}?", described(one)))?,
                    many => confirm.ask(&format!("Close {} connections?", many.len()))?,
                }
                for connection in &connections {
                    let reply = broker.close(path(connection), &reason)?;
                    reply.accepted().map_err(|failure| failure.about(described(connection)))?;
                    connect.say(&format!("Closed {}.", described(connection)))?;
                }
            }
        }
        Ok(Done::Yes)
    }
}

impl Of {
    fn described(&self) -> String {
        match (&self.user, &self.vhost) {
            (Some(user), Some(vhost)) => format!("the user '{user}' in vhost '{vhost}'"),
            (Some(user), None) => format!("the user '{user}'"),
            (None, vhost) => format!("vhost '{}'", vhost.as_deref().unwrap_or_default()),
        }
    }

    fn names(&self, broker: &Broker) -> Result<Vec<String>, Failure> {
        let mut open = broker.list(Path::api("connections").query("columns", "name,user,vhost"))?;
        let mut names = Vec::new();
        while let Some(connection) = open.next_item()? {
            let is = |field: &str, wanted: &Option<String>| {
                wanted.as_ref().is_none_or(|wanted| connection[field] == **wanted)
            };
            if is("user", &self.user) && is("vhost", &self.vhost) {
                names.extend(connection["name"].as_str().map(str::to_owned));
            }
        }
        Ok(names)
    }
}

fn path(connection: &str) -> Path {
    Path::api("connections").segment(connection)
}

fn described(connection: &str) -> String {
    format!("the connection '{connection}'")
}

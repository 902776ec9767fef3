//! What the operator says: arguments and environment, parsed once, checked, and passed down. Nothing else in the
//! program reads either.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::ids::{Name, QueueId};

/// An AMQP 0-9-1 broker that confirms a message once it is on disk.
#[derive(Debug, Parser)]
#[command(name = "leveret", version, about, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    serve: ServeConfig,
}

impl CommandLine {
    /// The verb to carry out; `serve` where none was given.
    #[must_use]
    pub fn verb(self) -> Verb {
        self.verb.unwrap_or(Verb::Serve(self.serve))
    }
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Runs the broker (also without a verb).
    Serve(ServeConfig),
    /// Reads a whole data directory and reports what is sound and what is not. The broker must be stopped.
    Verify(VerifyConfig),
    #[command(flatten)]
    Noun(leveret_cli::Noun),
    /// Does what a tool of RabbitMQ's does, by its name: `leveret as rabbitmqctl list_queues`. A link to this program that is called
    /// like the tool does the same.
    #[command(disable_help_flag = true)]
    As {
        /// rabbitmqctl, rabbitmq-diagnostics, rabbitmq-queues, rabbitmq-plugins, rabbitmq-upgrade, rabbitmqadmin or
        /// rabbitmq-server.
        #[arg(value_name = "TOOL")]
        tool: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
}

#[derive(Clone, Debug, Args)]
pub struct ServeConfig {
    /// Where to listen for AMQP clients: an address or a host's name, and a port. May be given several times, or as a
    /// list with commas; of a name all addresses are listened on.
    #[arg(
        long,
        env = "LEVERET_LISTEN",
        default_value = "127.0.0.1:5672",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub listen: Vec<ListenAddress>,
    /// Directory that holds everything durable; created where it does not exist.
    #[arg(long, env = "LEVERET_DATA_DIR", default_value = "./leveret-data", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,
    /// The same for the management API (HTTP without TLS: keep it on loopback). By default 127.0.0.1:15672, unless somebody
    /// else listens there.
    #[arg(long, env = "LEVERET_MANAGEMENT_LISTEN", value_name = "HOST:PORT", value_delimiter = ',')]
    pub management_listen: Vec<ListenAddress>,
    /// Where metrics are served for Prometheus, to whoever may connect, without a login. By default on 127.0.0.1:15692, if that
    /// port is free; off: nowhere.
    #[arg(long, env = "LEVERET_METRICS_LISTEN", value_name = "HOST:PORT", value_delimiter = ',',
          value_parser = parse_metrics_address)]
    pub metrics_listen: Option<Vec<MetricsAddress>>,
    /// Serves no management API but on the socket `control.sock` in the data directory.
    #[arg(long, env = "LEVERET_NO_MANAGEMENT", conflicts_with = "management_listen")]
    pub no_management: bool,
    /// A group of this machine, by name or number, whose members may administer the broker without a password over the socket
    /// `control.sock` in the data directory, as the broker's own user and root may.
    #[arg(long, env = "LEVERET_CONTROL_GROUP", value_name = "GROUP")]
    pub control_group: Option<String>,
    /// A further name by which the management API is asked for on a loopback address, that of a proxy say. Names that are not
    /// this machine's are refused there.
    #[arg(long, env = "LEVERET_MANAGEMENT_HOST", value_name = "NAME", value_delimiter = ',')]
    pub management_host: Vec<String>,
    /// Definitions (JSON, of this broker or of RabbitMQ) that are imported at the start, before clients are let in.
    #[arg(long, env = "LEVERET_LOAD_DEFINITIONS", value_name = "FILE")]
    pub load_definitions: Option<PathBuf>,
    /// Does not import definitions that were imported at the last start and are the same.
    #[arg(long, env = "LEVERET_SKIP_UNCHANGED_DEFINITIONS", requires = "load_definitions")]
    pub skip_unchanged_definitions: bool,
    /// User whom clients are that log in by the mechanism ANONYMOUS, without a password. It is offered only where this
    /// is given.
    #[arg(long, env = "LEVERET_ANONYMOUS_USER", value_name = "USER")]
    pub anonymous_user: Option<String>,
    /// How many AMQP connections may be open; more are closed at once. By default as many as the process may have files
    /// open, but for those that the store and the management API need.
    #[arg(long, env = "LEVERET_MAX_CONNECTIONS", value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,
    /// How log lines are written (to standard error).
    #[arg(long, env = "LEVERET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: a level, or tracing directives such as `info,leveret::store=debug`.
    #[arg(long, env = "LEVERET_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// Seconds after which a client is closed that takes nothing of what it is to be sent.
    #[arg(long, env = "LEVERET_SEND_TIMEOUT", value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub send_timeout: u32,
    /// How many shards own the queues; one per core by default.
    #[arg(long, env = "LEVERET_SHARDS", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub shards: Option<u16>,
    /// Memory for ready messages over all queues, in MiB; what is beyond lives on disk alone. Messages that are on disk
    /// anyway take an eighth of it at the most.
    #[arg(long, env = "LEVERET_MESSAGE_MEMORY", value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub message_memory: u32,
    /// Memory of the process, in MiB, above which publishers are blocked; consumers go on. By default 60 % of what the
    /// machine or its control group has; 0: no limit.
    #[arg(long, env = "LEVERET_MEMORY_LIMIT", value_name = "MIB")]
    pub memory_limit: Option<u32>,
    /// Free space on the data directory's disk, in MiB, below which publishers are blocked; consumers go on.
    #[arg(long, env = "LEVERET_DISK_FREE_LIMIT", value_name = "MIB", default_value_t = 200)]
    pub disk_free_limit: u32,
    /// Starts although confirmed messages are lost: takes what is missing from the data directory now for gone, once.
    #[arg(long)]
    pub accept_loss: bool,
}

/// Where metrics are served; None: nowhere.
pub type MetricsAddress = Option<ListenAddress>;

fn parse_metrics_address(text: &str) -> Result<MetricsAddress, String> {
    if text == "off" { Ok(None) } else { text.parse().map(Some) }
}

/// Where to listen: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: String,
    port: u16,
}

impl ListenAddress {
    /// All addresses that the host has. Asks the resolver where it is a name, and waits for its answer.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = (&*self.host, self.port).to_socket_addrs()?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(found)
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ListenAddress, String> {
        let (host, port) =
            text.rsplit_once(':').ok_or("a host and a port are needed, as in 127.0.0.1:5672")?;
        let port = port.parse().map_err(|_| format!("'{port}' is not a port (0 to 65535)"))?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(address)) if address.parse::<Ipv6Addr>().is_ok() => address,
            None if !host.is_empty() && !host.contains([':', ']']) => host,
            None if host.is_empty() => {
                return Err("a host is needed; 0.0.0.0 is all of IPv4, [::] all there is".to_owned());
            }
            _ => return Err(format!("'{host}' is no host; IPv6 addresses are written as in [::1]:5672")),
        };
        Ok(ListenAddress { host: host.to_owned(), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListenAddress { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[derive(Clone, Debug, Args)]
pub struct VerifyConfig {
    /// The data directory to read.
    #[arg(long, env = "LEVERET_DATA_DIR", default_value = "./leveret-data", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,
    /// Gives the messages of the unknown queue ID to a new durable classic queue of this name, instead of reading
    /// everything.
    #[arg(long, value_name = "ID=NAME", value_parser = parse_restore, conflicts_with = "drop")]
    pub restore: Option<(QueueId, Name)>,
    /// The vhost of the new queue.
    #[arg(long, value_name = "VHOST", default_value = "/", requires = "restore")]
    pub vhost: String,
    /// Deletes the messages of the unknown queue ID, instead of reading everything.
    #[arg(long, value_name = "ID", value_parser = parse_queue)]
    pub drop: Option<QueueId>,
    /// Copies what is sound in damaged journal files, message by message, into a new one; the damaged ones are kept as
    /// `.damaged`.
    #[arg(long, conflicts_with_all = ["restore", "drop"])]
    pub salvage: bool,
    /// Salvages also where confirmed messages are lost for good.
    #[arg(long, requires = "salvage")]
    pub accept_loss: bool,
}

/// What is to become of messages that are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They are those of a new durable classic queue of this name.
    Restore {
        queue: QueueId,
        vhost: Name,
        name: Name,
    },
    Drop {
        queue: QueueId,
    },
}

impl VerifyConfig {
    /// What is to become of messages that no queue is known for, where the operator says it.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        if let Some((queue, name)) = &self.restore {
            return Some(Decision::Restore {
                queue: *queue,
                vhost: self.vhost[..].into(),
                name: name.clone(),
            });
        }
        self.drop.map(|queue| Decision::Drop { queue })
    }
}

fn parse_queue(text: &str) -> Result<QueueId, String> {
    text.parse().map(QueueId).map_err(|_| format!("'{text}' is not the number of a queue"))
}

fn parse_restore(text: &str) -> Result<(QueueId, Name), String> {
    let (queue, name) = text.split_once('=').ok_or("give a number and a name, as in 7=orders")?;
    Ok((parse_queue(queue)?, name.into()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(arguments: &[&str]) -> Result<ServeConfig, clap::Error> {
        let all = ["leveret"].iter().chain(arguments);
        CommandLine::try_parse_from(all).map(|line| match line.verb() {
            Verb::Serve(config) => config,
            _ => panic!("{arguments:?} is not serve"),
        })
    }

    fn texts(addresses: &[ListenAddress]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn serve_is_the_default_verb_and_takes_its_flags_either_way() {
        for arguments in [&["--listen", "127.0.0.1:7000"][..], &["serve", "--listen", "127.0.0.1:7000"][..]] {
            let config = serve(arguments).unwrap();
            assert_eq!(texts(&config.listen), ["127.0.0.1:7000"]);
            assert_eq!(config.management_listen, [], "it is off unless it is asked for");
            assert_eq!(config.metrics_listen, None);
        }
        assert_eq!(texts(&serve(&[]).unwrap().listen), ["127.0.0.1:5672"]);
    }

    #[test]
    fn metrics_are_served_where_it_is_said_or_nowhere() {
        let addresses = |text| serve(&["--metrics-listen", text]).unwrap().metrics_listen.unwrap();
        assert_eq!(addresses("off"), [None]);
        assert_eq!(addresses("[::1]:7,localhost:8").iter().flatten().count(), 2);
        assert!(serve(&["--metrics-listen", "on"]).is_err());
    }

    #[test]
    fn several_addresses_and_names_are_taken() {
        let config = serve(&["--listen", "localhost:1,[::1]:2", "--listen", "0.0.0.0:3"]).unwrap();
        assert_eq!(texts(&config.listen), ["localhost:1", "[::1]:2", "0.0.0.0:3"]);
        assert_eq!(config.listen[1].resolve().unwrap(), ["[::1]:2".parse().unwrap()]);
        assert!(config.listen[0].resolve().unwrap().iter().all(|found| found.ip().is_loopback()));
    }

    #[test]
    fn what_is_no_address_is_refused_and_the_refusal_says_why() {
        for (text, why) in [
            ("7000", "a host and a port are needed"),
            (":7000", "a host is needed"),
            ("localhost:", "'' is not a port"),
            ("localhost:70000", "'70000' is not a port"),
            ("::1:7000", "IPv6 addresses are written as"),
            ("[::1]", "is not a port"),
            ("[localhost]:1", "IPv6 addresses are written as"),
        ] {
            let refused = serve(&["--listen", text]).unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        assert!(serve(&["--listen", "no-such-host.invalid:1"]).unwrap().listen[0].resolve().is_err());
    }
}

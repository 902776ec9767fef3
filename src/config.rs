//! What the operator says: arguments and environment, parsed once, checked, and passed down. Nothing else in the
//! program reads either.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
}

#[derive(Clone, Debug, Args)]
pub struct ServeConfig {
    /// Address and port to listen on for AMQP clients.
    #[arg(long, env = "LEVERET_LISTEN", default_value = "127.0.0.1:5672", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Directory that holds everything durable; created where it does not exist.
    #[arg(long, env = "LEVERET_DATA_DIR", default_value = "./leveret-data", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,
    /// Address and port to serve the management API on (HTTP without TLS: keep it on loopback). Not served by default.
    #[arg(long, env = "LEVERET_MANAGEMENT_LISTEN", value_name = "ADDRESS:PORT")]
    pub management_listen: Option<SocketAddr>,
    /// User whom clients are that log in by the mechanism ANONYMOUS, without a password. It is offered only where this
    /// is given.
    #[arg(long, env = "LEVERET_ANONYMOUS_USER", value_name = "USER")]
    pub anonymous_user: Option<String>,
    /// How log lines are written (to standard error).
    #[arg(long, env = "LEVERET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: a level, or tracing directives such as `info,leveret::store=debug`.
    #[arg(long, env = "LEVERET_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
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

#[derive(Clone, Debug, Args)]
pub struct VerifyConfig {
    /// The data directory to read.
    #[arg(long, env = "LEVERET_DATA_DIR", default_value = "./leveret-data", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_is_the_default_verb_and_takes_its_flags_either_way() {
        for arguments in [
            &["leveret", "--listen", "127.0.0.1:7000"][..],
            &["leveret", "serve", "--listen", "127.0.0.1:7000"][..],
        ] {
            let Verb::Serve(config) = CommandLine::try_parse_from(arguments).unwrap().verb() else {
                panic!("{arguments:?} is not serve")
            };
            assert_eq!(config.listen.port(), 7000);
            assert_eq!(config.management_listen, None, "it is off unless it is asked for");
        }
    }

    #[test]
    fn a_port_alone_is_refused() {
        assert!(CommandLine::try_parse_from(["leveret", "--listen", "7000"]).is_err());
    }
}

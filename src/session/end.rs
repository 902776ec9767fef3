//! Why a connection ended, and what it had done until then: what the server logs of it.

use std::fmt;

/// Why a connection ended. The server logs it; texts of the client are in it as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The client said connection.close.
    ClientClosed,
    /// The client closed its side of the socket without connection.close.
    SocketClosed,
    /// The first bytes were no protocol header of ours.
    OtherProtocol,
    /// Between the protocol header and connection.open, in milliseconds.
    HandshakeTimeout { after_ms: u64 },
    /// The text tells who, how and why.
    LoginRefused(String),
    /// We closed it with this text.
    Closed(String),
    /// Nothing was heard for two intervals of heartbeats.
    HeartbeatsMissed { interval_ms: u64 },
    /// The peer took nothing of what was to be sent for so long.
    NotRead { unsent: usize, after_ms: u64 },
    /// The broker stopped before anything was said.
    Stopped,
}

impl End {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        matches!(self, End::ClientClosed | End::SocketClosed | End::Stopped)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::ClientClosed => f.write_str("the client closed it"),
            End::SocketClosed => f.write_str("the client closed the socket without connection.close"),
            End::OtherProtocol => f.write_str("the client speaks another protocol than AMQP 0-9-1"),
            End::HandshakeTimeout { after_ms } => {
                write!(f, "handshake timeout: no connection.open within {after_ms} ms")
            }
            End::LoginRefused(why) => write!(f, "login refused: {why}"),
            End::Closed(text) => write!(f, "closed by the broker: {text}"),
            End::HeartbeatsMissed { interval_ms } => {
                write!(f, "missed heartbeats from the client, interval: {interval_ms} ms")
            }
            End::NotRead { unsent, after_ms } => write!(
                f,
                "the client took nothing of {unsent} bytes that wait to be sent for {after_ms} ms (see --send-timeout)"
            ),
            End::Stopped => f.write_str("the broker stops"),
        }
    }
}

/// What a connection has done so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Channels that were opened.
    pub channels: u64,
    /// Messages from the client.
    pub published: u64,
    /// Messages to the client, by consumers and gets.
    pub delivered: u64,
    /// Deliveries that were acked, rejected or requeued.
    pub settled: u64,
}

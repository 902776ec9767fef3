//! What the log says of connections: one line for each that ends, and why. Only the text and how often it is written is
//! decided here; why a connection ends is its session's.

use std::net::SocketAddr;

use tracing::{debug, info, warn};

use super::log_limit::LogLimit;
use crate::model::ids::{ConnectionId, Name};
use crate::session::Tally;

/// Clients come and go as often as they like, and as often as they like do something wrong.
static ENDED: LogLimit = LogLimit::new(1000);
static FAILED: LogLimit = LogLimit::new(200);

/// A connection that has ended.
pub(super) struct Ended {
    pub(super) connection: ConnectionId,
    pub(super) peer: SocketAddr,
    pub(super) reason: String,
    /// Nothing went wrong.
    pub(super) is_ordinary: bool,
    pub(super) user: Option<Name>,
    pub(super) vhost: Option<Name>,
    pub(super) tally: Tally,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) dropped_replies: u64,
}

/// Writes the line. What comes from the client is written as Rust writes a text, so that it stays on its line. A peer that
/// connects and says nothing, as load balancers do to see who is there, is no news.
pub(super) fn ended(ended: &Ended) {
    let Ended { peer, reason, tally, bytes_in, bytes_out, dropped_replies, .. } = ended;
    let connection = ended.connection.number();
    let (user, vhost) = (ended.user.as_deref().unwrap_or(""), ended.vhost.as_deref().unwrap_or(""));
    let Tally { channels, published, delivered, settled } = tally;
    macro_rules! line {
        ($level:ident, $kept_back:expr) => {
            $level!(
                connection, %peer, ?user, ?vhost, ?reason, channels, published, delivered, settled, bytes_in, bytes_out,
                dropped_replies, kept_back = $kept_back, "connection ended"
            )
        };
    }
    if *bytes_in == 0 && ended.is_ordinary {
        line!(debug, 0);
    } else if ended.is_ordinary {
        if let Some(kept_back) = ENDED.permit() {
            line!(info, kept_back);
        }
    } else if let Some(kept_back) = FAILED.permit() {
        line!(warn, kept_back);
    }
}

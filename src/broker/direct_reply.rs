//! Direct reply-to addresses (semantics.md section 15): which are open, and to whom they lead. The only part of what
//! ports share that is not the catalog's: an address opens and closes with its consumer, at once.

use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ConsumerNumber, Name};
use crate::model::sparse::ShrinkIfSparse;

use super::Map;

/// The pseudo-queue a client consumes from and names in reply-to.
pub(super) const PSEUDO_QUEUE: &str = "amq.rabbitmq.reply-to";

/// What every address starts with.
const PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Whether this name is in the form of an address.
pub(super) fn is_address(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}

/// The address of a consumer: it says nothing to whom it belongs and cannot be guessed without `seed`. `count` tells
/// apart the addresses that one consumer number has over time.
pub(super) fn address(seed: u64, connection: ConnectionId, consumer: ConsumerNumber, count: u64) -> Name {
    let secret = [b"reply-to".as_slice(), &seed.to_be_bytes()].concat();
    let whose = [&connection.0.to_be_bytes()[..], &consumer.0.to_be_bytes(), &count.to_be_bytes()].concat();
    format!("{PREFIX}{}", unguessable(&secret, &whose)).into()
}

/// 22 characters of URL-safe base64 that `what` and `secret` determine.
pub(super) fn unguessable(secret: &[u8], what: &[u8]) -> String {
    use base64::Engine;
    let digest = Sha256::new().chain_update(secret).chain_update(what).chain_update(secret).finalize();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest[..16])
}

/// All open addresses.
#[derive(Debug, Default)]
pub(super) struct DirectReplies {
    open: RwLock<Map<Name, (ConnectionId, ConsumerNumber)>>,
}

impl DirectReplies {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let DirectReplies { open } = self;
        into.in_use("view: addresses of direct replies", &*open.read());
    }

    pub(super) fn open(&self, address: Name, connection: ConnectionId, consumer: ConsumerNumber) {
        self.open.write().insert(address, (connection, consumer));
    }

    pub(super) fn close(&self, address: &str) {
        let mut open = self.open.write();
        open.remove(address);
        open.shrink_if_sparse();
    }

    /// Whose address this is; None where it is not open.
    pub(super) fn find(&self, address: &[u8]) -> Option<(ConnectionId, ConsumerNumber)> {
        let address = std::str::from_utf8(address).ok()?;
        self.open.read().get(address).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_differs_by_seed_connection_consumer_and_time() {
        let of = |seed, connection, consumer, count| {
            address(seed, ConnectionId(connection), ConsumerNumber(consumer), count)
        };
        let all = [of(1, 1, 1, 0), of(2, 1, 1, 0), of(1, 2, 1, 0), of(1, 1, 2, 0), of(1, 1, 1, 1)];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all[0].len(), PREFIX.len() + 22);
        assert!(is_address(all[0].as_bytes()) && !is_address(PSEUDO_QUEUE.as_bytes()));
    }
}

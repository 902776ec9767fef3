//! Direct reply-to addresses (semantics section 15): which are open, and to whom they lead. An address opens and closes with
//! its consumer, at once.

use parking_lot::RwLock;

use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ConsumerNumber, Name};
use crate::model::names::NameSource;
use crate::model::sparse::ShrinkIfSparse;

use crate::model::maps::Map;

/// The pseudo-queue a client consumes from and names in reply-to.
pub(super) const PSEUDO_QUEUE: &str = "amq.rabbitmq.reply-to";

/// What every address starts with.
const PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Whether this name is in the form of an address.
pub(super) fn is_address(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}

/// A new address: it says nothing of whom it belongs to, and only who was told it can write there.
pub(super) fn address(names: &mut NameSource) -> Name {
    names.name(PREFIX)
}

/// Whom an address leads to. It is one in its vhost alone.
#[derive(Debug)]
struct Addressee {
    vhost: Name,
    connection: ConnectionId,
    consumer: ConsumerNumber,
}

/// All open addresses.
#[derive(Debug, Default)]
pub(super) struct DirectReplies {
    open: RwLock<Map<Name, Addressee>>,
}

impl DirectReplies {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let DirectReplies { open } = self;
        into.in_use("ports: addresses of direct replies", &*open.read());
    }

    pub(super) fn open(
        &self,
        address: Name,
        vhost: Name,
        connection: ConnectionId,
        consumer: ConsumerNumber,
    ) {
        self.open.write().insert(address, Addressee { vhost, connection, consumer });
    }

    pub(super) fn close(&self, address: &str) {
        let mut open = self.open.write();
        open.remove(address);
        open.shrink_if_sparse();
    }

    /// Whose address this is; None where it is not open in this vhost.
    pub(super) fn find(&self, vhost: &str, address: &[u8]) -> Option<(ConnectionId, ConsumerNumber)> {
        let address = std::str::from_utf8(address).ok()?;
        let open = self.open.read();
        let found = open.get(address).filter(|addressee| &*addressee.vhost == vhost)?;
        Some((found.connection, found.consumer))
    }

    /// Whether it is an open address of this vhost.
    pub(super) fn has(&self, vhost: &str, address: &[u8]) -> bool {
        self.find(vhost, address).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::Seed;

    #[test]
    fn an_address_leads_somewhere_in_its_own_vhost_while_it_is_open() {
        let mut names = NameSource::new(Seed([1; 32]));
        let (one, other) = (address(&mut names), address(&mut names));
        assert!(is_address(one.as_bytes()) && !is_address(PSEUDO_QUEUE.as_bytes()));
        let replies = DirectReplies::default();
        let whose = (ConnectionId(1), ConsumerNumber(2));
        replies.open(one.clone(), "/".into(), whose.0, whose.1);
        assert_eq!(replies.find("/", one.as_bytes()), Some(whose));
        assert_eq!(replies.find("/", other.as_bytes()), None);
        assert_eq!(replies.find("other", one.as_bytes()), None);
        replies.close(&one);
        assert!(!replies.has("/", one.as_bytes()));
    }
}

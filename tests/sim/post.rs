//! What the owners send each other in the simulation, on its way. What a turn has to say leaves one item at a time, so
//! that others act in between.

use std::collections::VecDeque;

use leveret::model::consuming::Delivery;
use leveret::model::event::SessionEvent;
use leveret::model::ids::{ConnectionId, ShardIndex};
use leveret::server::owners::{Carrier, CatalogInput, ShardInput, StoreRequest};

/// Something on its way.
#[derive(Debug)]
pub(crate) enum Post {
    Shard(ShardIndex, ShardInput),
    Catalog(CatalogInput),
    Store(StoreRequest),
    Connection(ConnectionId, SessionEvent),
}

/// What one owner still has to post; until that is done, it does nothing else.
#[derive(Debug, Default)]
pub(crate) struct Outbox(pub(crate) VecDeque<Post>);

impl Carrier for Outbox {
    fn tell_shard(&mut self, shard: ShardIndex, input: ShardInput) {
        self.0.push_back(Post::Shard(shard, input));
    }

    fn tell_catalog(&mut self, inputs: impl Iterator<Item = CatalogInput>) {
        self.0.extend(inputs.map(Post::Catalog));
    }

    fn ask_store(&mut self, request: StoreRequest) {
        self.0.push_back(Post::Store(request));
    }

    fn tell_connections(&mut self, events: &mut Vec<(ConnectionId, SessionEvent)>) {
        self.0.extend(events.drain(..).map(|(connection, event)| Post::Connection(connection, event)));
    }

    fn reply_directly(&mut self, replies: &mut Vec<(ConnectionId, Delivery)>) {
        let event = |(connection, reply)| Post::Connection(connection, SessionEvent::Deliver(reply));
        self.0.extend(replies.drain(..).map(event));
    }
}

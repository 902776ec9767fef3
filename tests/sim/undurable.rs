//! What shards have asked the store to keep and have not heard to be durable: where they hold it back, nobody may be given it.

use std::collections::BTreeMap;

use leveret::model::event::SessionEvent;
use leveret::model::ids::{Position, QueueId, ShardIndex};
use leveret::model::op::Op;
use leveret::model::request::Reply;
use leveret::server::owners::{ShardInput, StoreRequest};

use crate::model::Violation;
use crate::post::Post;

/// Messages, and by which shard in which batch each was put.
#[derive(Debug, Default)]
pub(crate) struct Undurable(BTreeMap<(QueueId, Position), (ShardIndex, u64)>);

impl Undurable {
    /// Something arrives.
    pub(crate) fn note(&mut self, post: &Post) -> Result<(), Violation> {
        match post {
            Post::Store(StoreRequest::Ops { shard, sequence, ops, .. }) => {
                for op in ops {
                    if let Op::Put { queue, position, durable: true, .. } = op {
                        self.0.insert((*queue, *position), (*shard, *sequence));
                    }
                }
            }
            Post::Shard(shard, ShardInput::Durable { sequence }) => {
                self.0.retain(|_, (of, batch)| of != shard || *batch > *sequence);
            }
            Post::Connection(_, event) => {
                let delivery = match event {
                    SessionEvent::Deliver(delivery) => delivery,
                    SessionEvent::Reply(Reply::Got { delivery, .. }) => delivery,
                    _ => return Ok(()),
                };
                let (queue, position) = (delivery.queue.queue, delivery.position);
                if self.0.contains_key(&(queue, position)) {
                    return Err(format!(
                        "message {position} of queue {queue} is delivered though it is not durable"
                    ));
                }
            }
            Post::Store(_) | Post::Shard(..) | Post::Catalog(_) => {}
        }
        Ok(())
    }
}

//! Section 0: how errors are told (`codes`), and what is done with what was already under way (`under_way`).

pub(super) mod codes;
pub(super) mod under_way;

use crate::channel::Channel;
use crate::entity::Queue;
use crate::test::Test;
use crate::wire::Payload;

/// channel.flow, which is answered at once and changes nothing.
pub(super) fn flow() -> Payload {
    Payload::method(20, 20).bits(&[true])
}

/// Sends a passive declare that fails.
pub(super) fn provoke(test: &Test, channel: &Channel) -> String {
    let name = test.queue("missing");
    channel.send(Queue::new(&name).passive().payload());
    format!("NOT_FOUND - no {}", test.queue_text(&name))
}

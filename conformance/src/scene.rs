//! What cases of several sections begin with: a queue with messages in it, the same on both queue types. The single
//! methods are in `channel`.

use crate::channel::Channel;
use crate::entity::Queue;
use crate::outcome::{Step, Stop};
use crate::test::Test;

/// Runs a case on a classic queue, then on a quorum queue.
pub(crate) fn each_type(run: impl Fn(&'static str) -> Step) -> Step {
    for kind in ["classic", "quorum"] {
        run(kind).map_err(|stop| match stop {
            Stop::Fail(reason) => Stop::Fail(format!("{kind}: {reason}")),
            Stop::Skip(reason) => Stop::Skip(format!("{kind}: {reason}")),
        })?;
    }
    Ok(())
}

/// A queue of this type and of a name of its own, with these messages ready.
pub(crate) fn filled(test: &Test, channel: &Channel, kind: &str, bodies: &[&str]) -> Step<String> {
    let name = test.queue(kind);
    channel.declare(&Queue::of(kind, &name))?;
    fill(channel, &name, bodies)?;
    Ok(name)
}

/// Puts messages into an empty queue, and waits until they are ready.
pub(crate) fn fill(channel: &Channel, queue: &str, bodies: &[&str]) -> Step {
    for body in bodies {
        channel.put(queue, body);
    }
    channel.becomes(queue, u32::try_from(bodies.len()).unwrap_or(u32::MAX))
}

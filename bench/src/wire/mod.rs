//! AMQP as a client speaks it, over plain blocking sockets: frames come and go through `leveret-codec`, in batches.
//! Knows nothing of workloads or measuring.

mod connection;
mod inbox;
mod ring;

pub(crate) use connection::{Connection, Event, event};
pub(crate) use inbox::Inbox;
pub(crate) use ring::{Ring, Template, header_properties, plain_properties};

//! Leveret: an AMQP 0-9-1 broker whose confirms mean that the message is on disk. The map of the modules is in
//! ARCHITECTURE.md; this file only names them, lowest layer first.

pub mod config;
pub mod model;

pub mod queue;
pub mod routing;
pub mod store;

pub mod catalog;

pub mod port;
pub mod session;
pub mod shard;

pub mod server;

pub mod logging;
pub mod manage;

#[cfg(test)]
mod tests;

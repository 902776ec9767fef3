//! L1, the words every module shares: ids, names, messages, faults, settings, and the commands, events and
//! durable operations that modules exchange. Plain data and the small rules that belong to it. No behaviour of a
//! queue, a session or a store lives here, and nothing here knows a socket, a clock or a thread.

pub mod administration;
pub mod argument;
pub mod by_shard;
pub mod command;
pub mod consuming;
pub mod counters;
pub mod delay;
pub mod event;
pub mod fault;
pub mod growing;
pub mod holdings;
pub mod ids;
pub mod maps;
pub mod message;
pub mod names;
pub mod op;
pub mod peer;
pub mod port;
pub mod question;
pub mod request;
pub mod resource;
pub mod retry;
pub mod settings;
pub mod sparse;
#[cfg(test)]
pub(crate) mod testing;

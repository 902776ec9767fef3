//! L4, where the pure rooms meet the world: sockets, tasks, threads, timers, signals. Nothing here decides what a
//! message or a method means; it carries commands and events between owners, in order and in batches.

mod administrator;
mod allocator;
mod budget;
mod catalog_task;
mod clock;
mod connection_log;
mod connection_task;
mod connections;
mod descriptors;
mod guard;
mod hub;
mod inspect;
mod listener;
mod log_limit;
mod mailbox;
mod memory;
mod message_memory;
pub mod owners;
mod router;
mod run;
mod shard_task;
mod signals;
mod store_thread;
mod supervisor;
mod timer;
mod transport;
mod unwritten;

pub(crate) use log_limit::LogLimit;

pub use administrator::Administrator;
pub use guard::{Thresholds, UNLIMITED};
pub use inspect::{DecisionError, decide, verify};
pub use run::{Entrance, Face, RunningBroker, ServeError, serve, start};
pub use store_thread::StoreEnd;
pub use supervisor::{TaskEnd, panic_text};

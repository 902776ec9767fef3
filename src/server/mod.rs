//! L5, where the pure modules meet the world: sockets, tasks, threads, timers, signals. Nothing here decides what a
//! message or a method means; it carries commands and events between owners, in order and in batches.

mod accounts;
mod administrator;
mod allocator;
mod asking;
mod catalog_task;
mod client_listeners;
mod clock;
mod connection_log;
mod connection_task;
mod connections;
mod control_socket;
mod current_limits;
mod descriptors;
mod facts;
mod in_flight;
mod inspect;
mod listener;
mod local_client;
mod log_limit;
mod mailbox;
mod mailboxes;
mod memory;
mod message_memory;
pub mod owners;
mod process_log;
mod random;
mod reception;
mod resource_monitor;
mod router;
mod run;
mod serve_error;
mod services;
mod shard_task;
mod signals;
mod store_thread;
mod supervisor;
mod timer;
mod transport;
mod unwritten;

pub(crate) use log_limit::LogLimit;

pub use administrator::Administrator;
pub use client_listeners::{ListenersError, Reception};
pub use control_socket::{ControlClient, ControlError, ControlSocket};
pub use facts::Facts;
pub use inspect::{DecisionError, decide, verify};
pub use local_client::{LocalClient, LocalError, Published, Unsettled};
pub use process_log::{ProcessLog, RecentLines, SomeLines};
pub use resource_monitor::{Thresholds, UNLIMITED};
pub use run::{
    DefinitionsLoader, Management, ManagementListeners, ManagementServer, RunningBroker, serve, start,
};
pub use serve_error::ServeError;
pub use store_thread::StoreEnd;
pub use supervisor::{TaskEnd, panic_text};

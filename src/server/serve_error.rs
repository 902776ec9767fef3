//! Why a broker does not serve. What it then gives back is decided where it starts and stops.

use std::io;

use thiserror::Error;

use super::control_socket::ControlError;
use super::store_thread::StoreEnd;
use super::supervisor::TaskEnd;
use crate::store::OpenError;

/// Why the broker could not start, or had to stop. Each is one clear line.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot use the data directory {directory}: {source}")]
    Open { directory: String, source: OpenError },
    #[error("cannot listen on {address}: {source}; give another address with --listen")]
    Listen { address: String, source: io::Error },
    #[error(
        "cannot listen on {address} for the management API: {source}; give another address with --management-listen"
    )]
    ListenManagement { address: String, source: io::Error },
    #[error("cannot listen on {address} for metrics: {source}; give another address with --metrics-listen")]
    ListenMetrics { address: String, source: io::Error },
    #[error("cannot serve control.sock in the data directory: {0}")]
    Control(#[source] ControlError),
    #[error("cannot load the definitions of {file}: {why}")]
    Definitions { file: String, why: String },
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("stopped because the store failed: {0}; nothing was confirmed that was not on disk")]
    Store(#[from] StoreEnd),
    #[error("stopped because of a defect of the program: {0}; nothing was confirmed that was not on disk")]
    Defect(#[from] TaskEnd),
}

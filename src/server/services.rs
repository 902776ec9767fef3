//! What is listened for besides clients: the management API, also on a socket in the data directory, and metrics. Asked for, an
//! address must be had; otherwise the usual one is taken if it is free. Who answers there is the layer above.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::warn;

use super::control_socket::ControlSocket;
use super::listener;
use super::serve_error::ServeError;
use crate::config::{ListenAddress, ServeConfig};

/// Where the management API and metrics are served where nobody says.
const MANAGEMENT: &str = "127.0.0.1:15672";
const METRICS: &str = "127.0.0.1:15692";

/// Whether the management API is to be served. `by_default`: where nobody asks for it.
pub(super) fn is_managed(config: &ServeConfig, by_default: bool) -> bool {
    !config.management_listen.is_empty() || (by_default && !config.no_management)
}

/// Listens for the management API.
pub(super) fn management(config: &ServeConfig, by_default: bool) -> Result<Vec<TcpListener>, ServeError> {
    let asked = &config.management_listen;
    let service = Service {
        asked: (!asked.is_empty()).then(|| asked.clone()),
        by_default: is_managed(config, by_default).then_some(MANAGEMENT),
        option: "--management-listen, or --no-management",
        error: |address, source| ServeError::ListenManagement { address, source },
    };
    service.bind()
}

/// Listens for whoever reads metrics.
pub(super) fn metrics(config: &ServeConfig, by_default: bool) -> Result<Vec<TcpListener>, ServeError> {
    let asked = config.metrics_listen.as_ref();
    let service = Service {
        asked: asked.map(|asked| asked.iter().flatten().cloned().collect()),
        by_default: by_default.then_some(METRICS),
        option: "--metrics-listen, or off",
        error: |address, source| ServeError::ListenMetrics { address, source },
    };
    service.bind()
}

/// The socket of whoever administers the broker from this machine. Must be called with the data directory locked.
pub(super) fn control(config: &ServeConfig, by_default: bool) -> Result<Option<ControlSocket>, ServeError> {
    let group = config.control_group.as_deref();
    if !by_default && group.is_none() {
        return Ok(None);
    }
    match ControlSocket::bind(&config.data_dir, group) {
        Ok(socket) => Ok(Some(socket)),
        Err(why) if group.is_some() => Err(ServeError::Control(why)),
        Err(why) => {
            warn!(%why, "there is no control.sock in the data directory: commands on this machine cannot reach the broker by it");
            Ok(None)
        }
    }
}

/// What is listened for besides clients.
struct Service {
    /// Where somebody asks for it, which is to be had.
    asked: Option<Vec<ListenAddress>>,
    /// Where it is otherwise, if that can be had.
    by_default: Option<&'static str>,
    /// By which another address is given.
    option: &'static str,
    error: fn(String, io::Error) -> ServeError,
}

impl Service {
    fn bind(self) -> Result<Vec<TcpListener>, ServeError> {
        let Service { asked, by_default, option, error } = self;
        let is_asked = asked.is_some();
        let addresses =
            asked.unwrap_or_else(|| by_default.and_then(|at| at.parse().ok()).into_iter().collect());
        match listener::bind(&addresses) {
            Ok(listeners) => Ok(listeners),
            Err((address, source)) if is_asked => Err(error(address, source)),
            Err((address, source)) => {
                warn!(address, error = %source, "not listened on, for it cannot be had: give another address with {option}");
                Ok(Vec::new())
            }
        }
    }
}

/// What is listened on.
pub(super) fn addresses(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

pub(super) fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

//! L6, the management API: the broker's administration over HTTP, with the paths and the JSON of RabbitMQ's. A thin
//! layer: a request is read, checked for who asks and what it says, and becomes a [`Change`] or a look at the view; what
//! a change leads to is the broker's. It is not whole: what no table of `routes` names is 404. Metrics and pages for
//! people are not here.
//!
//! [`Change`]: crate::model::administration::Change

mod answer;
mod auth;
mod call;
mod channels;
mod columns;
mod connection;
mod connections;
mod exchanges;
mod fields;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guests;
mod json;
mod limits;
mod listing;
mod listing_body;
mod metrics;
mod metrics_server;
mod node;
mod node_info;
mod object_metrics;
mod of_connections;
mod overview;
mod page;
mod path;
mod percent;
mod permissions;
mod policies;
mod queue_json;
mod queues;
mod rates;
mod routes;
mod samples;
mod stats;
mod topic_permissions;
mod totals;
mod turns;
mod users;
mod vhosts;

use std::pin::Pin;

use tokio_util::sync::CancellationToken;

use crate::server::{Administrator, ManagementListeners};

/// Serves the management API until the token is cancelled, for [`crate::server::start`].
pub fn face(
    listeners: ManagementListeners,
    administrator: Administrator,
    stop: CancellationToken,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(connection::accept(listeners, administrator, stop))
}

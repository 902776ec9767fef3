//! L6, the management API: the broker's administration over HTTP, with the paths and the JSON of RabbitMQ's. A thin
//! layer: a request is read, checked for who asks and what it says, and becomes a [`Change`] or a look at the view; what
//! a change leads to is the broker's. It is not whole: what no table of `routes` names is 404. Pages for people
//! are not here.
//!
//! [`Change`]: crate::model::administration::Change

mod answer;
mod arranged;
mod attempts;
mod auth;
mod bindings;
mod call;
mod channels;
mod clients;
mod columns;
mod connection;
mod connections;
mod definitions;
mod definitions_file;
mod exchange_changes;
mod exchanges;
mod features;
mod fields;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guests;
mod health;
mod hosts;
mod import;
mod json;
mod limits;
mod listing;
mod listing_body;
mod log;
mod memory;
mod messages;
mod metric_text;
mod metrics;
#[cfg(test)]
mod metrics_page;
mod metrics_server;
mod node;
mod node_info;
mod object_columns;
mod object_metrics;
mod of_connections;
mod origin;
mod overview;
mod page;
mod parameters;
mod path;
mod percent;
mod permissions;
mod policies;
mod policy_preview;
mod properties;
mod queue_changes;
mod queue_json;
mod queue_order;
mod queues;
mod rates;
mod reception;
mod reset;
mod routes;
mod samples;
mod sort;
mod stats;
mod thresholds;
mod topic_permissions;
mod totals;
mod turns;
mod users;
mod vhosts;

use std::pin::Pin;

use tokio_util::sync::CancellationToken;

use crate::server::{Administrator, Management, ManagementListeners};

/// What is done for administrators, for [`crate::server::start`].
pub const MANAGEMENT: Management = Management { serve: face, load: import::load };

/// Serves the management API until the token is cancelled.
fn face(
    listeners: ManagementListeners,
    administrator: Administrator,
    stop: CancellationToken,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(connection::accept(listeners, administrator, stop))
}

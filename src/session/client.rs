//! What a client said of itself in connection.start-ok (semantics 1.7).

use std::sync::Arc;

use leveret_codec::table::{AMQPValue, FieldTable};

/// The client's properties and those of its capabilities that change what we send.
#[derive(Debug, Default)]
pub(super) struct ClientInfo {
    pub properties: Arc<FieldTable>,
    pub authentication_failure_close: bool,
    pub consumer_cancel_notify: bool,
    /// Understands connection.blocked and connection.unblocked.
    pub hears_blocked: bool,
}

impl ClientInfo {
    pub(super) fn new(properties: FieldTable) -> ClientInfo {
        let capable = |name: &str| {
            properties
                .inner()
                .get("capabilities")
                .and_then(AMQPValue::as_field_table)
                .and_then(|capabilities| capabilities.inner().get(name))
                .and_then(AMQPValue::as_bool)
                .unwrap_or(false)
        };
        ClientInfo {
            authentication_failure_close: capable("authentication_failure_close"),
            consumer_cancel_notify: capable("consumer_cancel_notify"),
            hears_blocked: capable("connection.blocked"),
            properties: Arc::new(properties),
        }
    }
}

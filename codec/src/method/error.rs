//! What can be wrong with the payload of a method frame.

use thiserror::Error;

use super::id::MethodId;
use crate::table::TableError;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MethodError {
    #[error("method frame of {0} bytes is too short for its method")]
    Truncated(usize),
    #[error("method {class}.{method}: {bytes} bytes follow its arguments", class = .id.class, method = .id.method)]
    Trailing { id: MethodId, bytes: usize },
    #[error("Malformed UTF-8 in shortstr")]
    Utf8,
    #[error("unknown method {class}.{method}", class = .0.class, method = .0.method)]
    Unknown(MethodId),
    #[error("method {class}.{method}: {error}", class = .id.class, method = .id.method)]
    Table { id: MethodId, error: TableError },
    #[error("method {class}.{method} could not be read", class = .0.class, method = .0.method)]
    Malformed(MethodId),
}

/// Refuses what follows the last argument, as RabbitMQ does.
pub(crate) fn nothing_left(rest: &[u8], id: MethodId) -> Result<(), MethodError> {
    if rest.is_empty() { Ok(()) } else { Err(MethodError::Trailing { id, bytes: rest.len() }) }
}

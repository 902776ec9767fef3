//! What the tests of several modules make.

use leveret_codec::table::{AMQPValue, FieldTable};

/// A table of these fields.
pub(crate) fn arguments(fields: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert((*name).into(), value.clone());
    }
    table
}

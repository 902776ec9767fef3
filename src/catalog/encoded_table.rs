//! A table of arguments as AMQP bytes: what is recorded, and what is kept of tables that are seldom looked at. As a map a
//! table of one argument takes some twenty times as much.

use leveret_codec::table::{self, FieldTable, TableError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedTable(Box<[u8]>);

impl EncodedTable {
    pub(crate) fn new(arguments: &FieldTable) -> EncodedTable {
        EncodedTable(table::encode(arguments).into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The table, or what is wrong with a recorded one.
    pub(crate) fn parse(&self) -> Result<FieldTable, TableError> {
        table::parse(&self.0)
    }

    /// The table of bytes that were made of one, or were parsed before.
    #[must_use]
    pub fn decode(&self) -> FieldTable {
        self.parse().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::arguments;
    use leveret_codec::table::AMQPValue;

    #[test]
    fn a_table_is_what_it_was() {
        let table = arguments(&[
            ("x-max-length", AMQPValue::LongInt(5)),
            ("x-overflow", AMQPValue::LongString("drop-head".into())),
        ]);
        assert_eq!(EncodedTable::new(&table).decode(), table);
        assert_eq!(EncodedTable::new(&FieldTable::default()).decode(), FieldTable::default());
    }
}

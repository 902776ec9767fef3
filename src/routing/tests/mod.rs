//! Tests of the module: the binding table and every exchange type through [`ExchangeRoutes`], held against naive
//! matchers; the walk over exchanges.

mod bindings;
mod headers;
mod internal_queues;
mod spreading;
mod texts;
mod topic;
mod walk;

use std::collections::BTreeSet;

use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{self, AMQPValue, FieldTable, ShortString};

use crate::model::ids::{Destination, QueueId, QueueRef, ShardIndex};

use super::{Effort, ExchangeRoutes};

fn queue_ref(number: u64) -> QueueRef {
    QueueRef { queue: QueueId(number), shard: ShardIndex::alone(0) }
}

fn queue(number: u64) -> Destination {
    Destination::Queue(queue_ref(number))
}

fn none() -> FieldTable {
    FieldTable::default()
}

fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert(ShortString::from(name), value);
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// The destinations a message reaches.
fn reached(routes: &ExchangeRoutes, key: &str, headers: &FieldTable) -> BTreeSet<Destination> {
    let raw = Properties::default().with(&[(Field::Headers, Some(table::encode(headers)))]);
    let mut found = BTreeSet::new();
    let properties = Properties::parse(&raw).expect("properties of our own making");
    routes.matches(key.as_bytes(), properties, 0, &mut Effort::default(), &mut |destination| {
        found.insert(destination);
    });
    found
}

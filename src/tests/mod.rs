//! Scenarios over catalog, ports and shards together: what clients see of declarations, publishes, confirms and dead letters.

mod access;
mod administration;
mod builders;
mod cc;
mod confirms;
mod consuming;
mod counters;
mod dead_letters;
mod events;
mod exchanges;
mod harness;
mod holding_back;
mod internal_queues;
mod masses;
mod policies;
mod publish;
mod questions;
mod queues;
mod recovery;
mod redeclare;
mod routes;
mod stored;
mod storms;
mod tracing;
mod turns;

//! Scenarios over the whole module: what clients see of declarations, publishes, confirms and dead letters.

mod access;
mod administration;
mod announcements;
mod confirms;
mod consuming;
mod copies;
mod dead_letters;
mod events;
mod exchanges;
pub(super) mod harness;
mod keepers;
mod masses;
mod policies;
mod publish;
mod queues;
mod recovery;
mod turns;

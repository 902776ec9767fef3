//! The command line as far as it speaks to a running broker: `leveret NOUN VERB`, and the tools that people script, by RabbitMQ's
//! names. What runs without a broker (`serve`, `verify`) is the crate `leveret`'s, which this one never imports: all that
//! it knows of a broker it is told over the management API.

pub mod broker;
pub mod nouns;
pub mod output;
pub mod rabbitmq;
pub mod usage;

pub use nouns::Noun;

//! What the methods of a channel do, a file per class (the acks of class basic are in `settling.rs`, its consumers
//! in `consumers.rs`).

mod basic;
mod channel;
mod confirm;
mod exchange;
mod publish;
mod queue;
mod tx;

pub(super) use tx::COMMIT;

//! Scenarios of a session: a client that speaks frames on one side, a scripted broker on the other. One file per
//! part of docs/semantics.md; the tools are in `peer.rs` and `port.rs`.

mod blocking;
mod channels;
mod closing;
mod consuming;
mod counting;
mod ending;
mod frames;
mod handshake;
mod methods;
mod peer;
mod port;
mod publishing;
mod random;
mod settling;
mod telling;
mod tx;
mod units;

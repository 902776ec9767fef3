//! Attacks on memory and time: what a client may do or leave undone so that the broker holds ever more, or keeps others
//! waiting. Each runs against a broker of its own with a limit on its memory; the process stays within its bound, and a
//! bystander goes on working. `docs/bounds.md` lists the quantities.
//!
//! With the other tests they are small, and no times are judged. As large as they get, and judged by times as well:
//! `ulimit -n 20000; LEVERET_ATTACKS=long cargo test --release --test attacks -- --nocapture --test-threads 1`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "attacks/alarms.rs"]
mod alarms;
#[path = "attacks/bystander.rs"]
mod bystander;
#[path = "attacks/client.rs"]
mod client;
#[path = "attacks/holding.rs"]
mod holding;
#[path = "attacks/soak.rs"]
mod soak;
#[path = "attacks/sockets.rs"]
mod sockets;
#[path = "attacks/stage.rs"]
mod stage;
#[path = "attacks/stalls.rs"]
mod stalls;
#[path = "support/mod.rs"]
mod support;
#[path = "attacks/unread.rs"]
mod unread;
#[path = "attacks/wire.rs"]
mod wire;

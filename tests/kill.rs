//! SIGKILL under load, again and again: confirmed publishers and acking consumers work on durable queues while the
//! broker is killed and started anew. Checked for every delivery (see [`ledger`]): nothing confirmed is lost, nothing
//! comes twice without the redelivered flag, nothing comes back after its ack was committed, and publishers keep
//! their order in each queue.
//!
//! `cargo test --test kill` kills a few times. The long form prints its figures:
//! `LEVERET_KILLS=100 cargo test --release --test kill -- --nocapture`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "kill/ledger.rs"]
mod ledger;
#[path = "support/mod.rs"]
mod support;
#[path = "kill/workers.rs"]
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::Ledger;
use support::Broker;

const PUBLISHERS: u32 = 4;
const QUEUES: u32 = 2;

#[test]
fn nothing_confirmed_is_lost_over_kills() {
    let kills: u32 =
        std::env::var("LEVERET_KILLS").ok().map_or(4, |text| text.parse().expect("a number of kills"));
    let seed: u64 = std::env::var("LEVERET_SEED").ok().map_or(1, |text| text.parse().expect("a seed"));
    let since = Instant::now();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut broker = Broker::start();
    let ledger = Arc::new(Ledger::default());
    runtime.block_on(workers::declare(&broker.uri(), QUEUES));

    let mut random = seed;
    for _ in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lifetime = Duration::from_millis(100 + (random >> 33) % 700);
        let crew = runtime.block_on(workers::Crew::start(&broker.uri(), &ledger, PUBLISHERS, QUEUES));
        std::thread::sleep(lifetime);
        broker.kill();
        runtime.block_on(crew.end());
        ledger.next_life();
        broker.restart();
    }
    runtime.block_on(workers::drain(&broker.uri(), &ledger, QUEUES));

    let figures = ledger.figures();
    println!("{kills} kills in {:.1} s, seed {seed}: {figures}", since.elapsed().as_secs_f64());
    assert_eq!(ledger.faults(), Vec::<String>::new(), "seed {seed}");
    assert!(figures.confirmed > 0 && figures.committed_acks > 0, "the crew did nothing: {figures}");
}

//! Nothing confirmed is lost silently, whatever happens to the files: a directory with known contents, one damage to one
//! file, and then: it opens (with the loss accepted, where one is reported), what is lost is at most what was damaged, all
//! of it is reported by the start and by `verify` alike, nothing else is gone, nothing that was settled comes again
//! without a word about it, and nothing panics.
//!
//! Three hundred damages run with the other tests. More, with figures:
//! `LEVERET_DAMAGES=10000 cargo test --release --test damage -- --nocapture`; `LEVERET_DAMAGE_SEED=n` begins with another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

#[path = "damage/blocks.rs"]
mod blocks;
#[path = "power_cut/disk.rs"]
#[allow(dead_code)]
mod disk;
#[path = "damage/harm.rs"]
mod harm;
#[path = "power_cut/model.rs"]
#[allow(dead_code)]
mod model;
#[path = "damage/oracle.rs"]
mod oracle;
#[path = "support/random.rs"]
mod random;
#[path = "damage/shape.rs"]
mod shape;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use harm::Harm;
use oracle::Verdict;
use random::Random;
use shape::Shape;

/// Damages that one directory is used for, each to a copy of its own.
const PER_SHAPE: u64 = 10;

/// What became of the damages of one kind.
#[derive(Debug, Default)]
struct Tally {
    damages: u64,
    /// Nothing was lost and nothing came again.
    harmless: u64,
    reported: u64,
    lost: u64,
    again: u64,
    wrong: u64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn one(shape: &Shape, harm: &Harm) -> Result<Verdict, String> {
    catch_unwind(AssertUnwindSafe(|| oracle::check(shape, harm))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

#[test]
fn what_is_damaged_is_said_and_nothing_else_is_lost() {
    let damages = number("LEVERET_DAMAGES", 300);
    let first_seed = number("LEVERET_DAMAGE_SEED", 1);
    let hook = std::panic::take_hook();
    // redb panics where it reads what it did not write; the store makes an error of that.
    std::panic::set_hook(Box::new(|_| ()));
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in first_seed..first_seed + damages.div_ceil(PER_SHAPE) {
        let shape = Shape::build(seed);
        let mut random = Random(seed ^ 0xdead);
        for _ in 0..PER_SHAPE {
            let harm = Harm::choose(&shape, &mut random);
            let tally = tallies.entry(harm.kind()).or_default();
            tally.damages += 1;
            match one(&shape, &harm) {
                Ok(verdict) => {
                    tally.harmless += u64::from(verdict.lost == 0 && verdict.again == 0);
                    tally.reported += u64::from(verdict.reported);
                    tally.lost += verdict.lost;
                    tally.again += verdict.again;
                }
                Err(why) => {
                    tally.wrong += 1;
                    failures.push(format!("seed {seed}, {shape}, {harm}: {why}"));
                }
            }
        }
    }
    std::panic::set_hook(hook);
    println!("damage: damages, harmless, reported, messages lost, come again, WRONG");
    for (kind, tally) in &tallies {
        let Tally { damages, harmless, reported, lost, again, wrong } = tally;
        println!("{kind:40} {damages:6} {harmless:6} {reported:6} {lost:6} {again:6} {wrong:6}");
    }
    let shown = failures.len().min(20);
    assert!(
        failures.is_empty(),
        "{} of {damages} (LEVERET_DAMAGE_SEED):\n{}",
        failures.len(),
        failures[..shown].join("\n")
    );
}

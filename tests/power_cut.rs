//! The promise of the store, tried: cut the power at any moment, and everything that was committed is there, whole
//! and in order, nothing that was settled comes back, and the commit under way is there whole or not at all. The
//! whole store runs on the simulated disk, rotation, copying forward and removal of files included.
//!
//! A thousand cuts run with the other tests. More, with figures:
//! `LEVERET_POWER_CUTS=20000 cargo test --release --test power_cut power_cuts -- --nocapture`; `LEVERET_POWER_CUT_SEED=n` begins
//! with another seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

// Parts of both are for tests/damage.rs alone.
#[path = "power_cut/disk.rs"]
#[allow(dead_code)]
mod disk;
#[path = "power_cut/model.rs"]
#[allow(dead_code)]
mod model;
#[path = "support/random.rs"]
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use disk::{SimulatedDisk, Trouble};
use leveret::store::disk::Disk;
use leveret::store::{OpenError, Recovered, RedbStore, Store, StoreError, StoreOptions, open_on, verify_on};
use model::{Model, Workload};
use random::Random;

/// Files so small that every few commits begin one, and one that is emptied at the first occasion. Every commit goes to
/// the journal.
const OPTIONS: StoreOptions = StoreOptions {
    file_bytes: 120_000,
    cache_bytes: 256 << 10,
    quiet_commits: 2,
    log_bytes: 0,
    salt: 7,
    accept_loss: false,
};
/// The same with a log so small that it begins anew every few commits.
const LOGGED: StoreOptions = StoreOptions { log_bytes: 64 << 10, ..OPTIONS };
/// Cuts that one directory lives through.
const CUTS_PER_LIFE: u64 = 20;

#[derive(Debug, Default)]
struct Figures {
    cuts: u64,
    /// Cuts that came while the store was being opened.
    cuts_opening: u64,
    commits: u64,
    messages: u64,
    /// Commits under way at a cut that were there afterwards.
    kept_under_way: u64,
    journal_files: u64,
}

fn open(disk: &SimulatedDisk, options: &StoreOptions) -> Result<(RedbStore, Recovered), OpenError> {
    open_on(Arc::new(disk.clone()), options)
}

/// How the store was stopped before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Clean,
    Unclean,
    /// The power went while it was closed, or marked as open.
    Either,
}

/// One directory that loses power again and again.
struct Life {
    random: Random,
    disk: SimulatedDisk,
    workload: Workload,
    /// What was committed.
    model: Model,
    /// The same with the commit under way.
    under_way: Option<Model>,
    stop: Stop,
    figures: Figures,
}

impl Life {
    fn new(seed: u64) -> Life {
        Life {
            random: Random(seed),
            disk: SimulatedDisk::default(),
            workload: Workload::new(seed ^ 0xabcd),
            model: Model::default(),
            under_way: None,
            stop: Stop::Clean,
            figures: Figures::default(),
        }
    }

    fn live(&mut self, cuts: u64, lying: bool) -> Result<(), String> {
        for _ in 0..cuts {
            let soon = self.random.percent(30);
            let cut_after = Some(self.random.between(1, if soon { 30 } else { 600 }));
            self.disk.trouble(Trouble { cut_after, lying, ..Trouble::default() });
            self.until_the_cut()?;
            self.figures.cuts += 1;
            self.figures.journal_files = self.figures.journal_files.max(self.disk.names().len() as u64);
            self.disk = self.disk.after_power_cut(&mut self.random);
        }
        self.reopen().map(drop)
    }

    /// Opens, commits, now and then closes, until the power goes.
    fn until_the_cut(&mut self) -> Result<(), String> {
        loop {
            let Some(mut store) = self.reopen()? else { return Ok(()) };
            while !self.random.percent(3) {
                if !self.commit(&mut store) {
                    return Ok(());
                }
                if self.random.percent(3) && store.checkpoint().is_err() {
                    return Ok(());
                }
                if self.random.percent(5) {
                    let compared = compare(&self.model, &mut store, &mut self.random);
                    if self.disk.is_off() {
                        return Ok(());
                    }
                    compared?;
                }
            }
            self.stop = Stop::Either;
            if Box::new(store).close().is_err() {
                return Ok(());
            }
            self.stop = Stop::Clean;
        }
    }

    /// Opens the store and compares; None where the power went meanwhile.
    fn reopen(&mut self) -> Result<Option<RedbStore>, String> {
        // Most lives have a log; a directory has to be readable with and without.
        let logged = StoreOptions { salt: self.random.next(), ..LOGGED };
        let options = if self.random.percent(80) { logged } else { OPTIONS };
        let (mut store, recovered) = match open(&self.disk, &options) {
            Ok(opened) => opened,
            Err(_) if self.disk.is_off() => {
                self.figures.cuts_opening += 1;
                if self.stop == Stop::Clean {
                    self.stop = Stop::Either;
                }
                return Ok(None);
            }
            Err(error) => return Err(format!("could not be opened: {error}")),
        };
        if self.stop != Stop::Either && recovered.clean != (self.stop == Stop::Clean) {
            return Err(format!("stopped {:?}, found clean: {}", self.stop, recovered.clean));
        }
        self.stop = Stop::Unclean;
        let mut differences = Vec::new();
        for (at, model) in std::iter::once(&self.model).chain(&self.under_way).enumerate() {
            let mut model = model.clone();
            model.restart(recovered.clean);
            let compared = model
                .compare_recovered(&recovered)
                .and_then(|()| compare(&model, &mut store, &mut self.random));
            if self.disk.is_off() {
                self.figures.cuts_opening += 1;
                return Ok(None);
            }
            match compared {
                Ok(()) => {
                    self.figures.kept_under_way += at as u64;
                    self.model = model;
                    self.under_way = None;
                    return Ok(Some(store));
                }
                Err(difference) => differences.push(difference),
            }
        }
        Err(differences.join("; or: "))
    }

    /// Whether the power is still on.
    fn commit(&mut self, store: &mut RedbStore) -> bool {
        let (ops, catalog) = self.workload.commit(&self.model);
        let mut after = self.model.clone();
        after.apply(&ops, &catalog);
        if store.commit(ops.clone(), catalog.clone()).is_err() {
            assert!(self.disk.is_off(), "an error without a cause");
            self.under_way = Some(after);
            return false;
        }
        self.figures.commits += 1;
        self.figures.messages += after.messages().saturating_sub(self.model.messages());
        self.model = after;
        !self.disk.is_off()
    }
}

/// In one order or the other: what the first one reads, the second one may find in memory.
fn compare(model: &Model, store: &mut RedbStore, random: &mut Random) -> Result<(), String> {
    if random.percent(50) {
        model.compare_lookups(store, random)?;
        return model.compare(store, random);
    }
    model.compare(store, random)?;
    model.compare_lookups(store, random)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn power_cuts_lose_nothing_that_was_committed() {
    let cuts = number("LEVERET_POWER_CUTS", 1000);
    let first_seed = number("LEVERET_POWER_CUT_SEED", 1);
    let mut all = Figures::default();
    let mut seed = first_seed;
    while all.cuts < cuts {
        let mut life = Life::new(seed);
        if let Err(why) = life.live(CUTS_PER_LIFE, false) {
            panic!("seed {seed} (LEVERET_POWER_CUT_SEED), cut {}: {why}", life.figures.cuts);
        }
        all.cuts += life.figures.cuts;
        all.cuts_opening += life.figures.cuts_opening;
        all.commits += life.figures.commits;
        all.messages += life.figures.messages;
        all.kept_under_way += life.figures.kept_under_way;
        all.journal_files = all.journal_files.max(life.figures.journal_files);
        seed += 1;
    }
    println!("seeds {first_seed}..{seed}: {all:?}; lost 0");
    assert!(all.cuts_opening > 0 && all.kept_under_way > 0 && all.journal_files > 4, "{all:?}");
}

/// The control: a disk that lies about syncing must be found out, or the test above proves nothing.
#[test]
fn a_disk_that_lies_is_found_out() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let lost = (1..=20).filter(|&seed| {
        let life = catch_unwind(AssertUnwindSafe(|| Life::new(seed).live(5, true)));
        !matches!(life, Ok(Ok(())))
    });
    let lost = lost.count();
    std::panic::set_hook(quiet);
    assert!(lost >= 10, "only {lost} of 20 lives with a lying disk were found out");
}

/// How far a workload came.
struct Failed {
    error: StoreError,
    under_way: Option<Model>,
    store: Option<RedbStore>,
}

impl Failed {
    fn with(error: StoreError) -> Box<Failed> {
        Box::new(Failed { error, under_way: None, store: None })
    }
}

/// How what a store holds is held against the model.
type Compare = fn(&Model, &mut RedbStore, &mut Random) -> Result<(), String>;

/// A small workload that meets rotation, copying forward and removal.
fn small_workload(
    disk: &SimulatedDisk,
    options: &StoreOptions,
    compare: Compare,
    model: &mut Model,
) -> Result<(), Box<Failed>> {
    let (mut store, recovered) = open(disk, options).map_err(|error| match error {
        OpenError::Store(error) => Failed::with(error),
        other => Failed::with(StoreError::Damaged(other.to_string())),
    })?;
    model.restart(recovered.clean);
    let mut workload = Workload::new(7);
    for _ in 0..12 {
        let (ops, catalog) = workload.commit(model);
        let mut after = model.clone();
        after.apply(&ops, &catalog);
        match store.commit(ops.clone(), catalog.clone()) {
            Ok(()) => *model = after,
            Err(error) => {
                return Err(Box::new(Failed { error, under_way: Some(after), store: Some(store) }));
            }
        }
        let settled = store.checkpoint();
        let compared =
            settled.and_then(|_| compare(model, &mut store, &mut Random(1)).map_err(StoreError::Damaged));
        if let Err(error) = compared {
            return Err(Box::new(Failed { error, under_way: None, store: Some(store) }));
        }
    }
    Box::new(store).close().map_err(Failed::with)
}

#[test]
fn every_operation_may_fail_once() {
    for options in [OPTIONS, LOGGED] {
        let (operations, errors, full) = every_operation_fails_once(&options, Model::compare);
        assert!(errors > operations / 2 && full > errors / 2, "{errors} errors, {full} of {operations}");
    }
}

/// Most of what fails then is read, and read once more, or in another way.
#[test]
fn every_lookup_may_fail_once() {
    let (operations, errors, _) = every_operation_fails_once(&OPTIONS, Model::compare_lookups);
    assert!(errors > operations / 4, "{errors} errors of {operations}");
}

/// How many operations there are, how many of them led to an error, and to one that says that the disk is full.
fn every_operation_fails_once(options: &StoreOptions, compare: Compare) -> (u64, u64, u64) {
    let healthy = SimulatedDisk::default();
    assert!(small_workload(&healthy, options, compare, &mut Model::default()).is_ok());
    let operations = healthy.operations();
    let (mut errors, mut full) = (0, 0);
    for at in 0..operations {
        let disk = SimulatedDisk::default();
        disk.trouble(Trouble { fail_at: Some(at), full: true, ..Trouble::default() });
        let mut model = Model::default();
        let mut under_way = None;
        if let Err(failed) = small_workload(&disk, options, compare, &mut model) {
            errors += 1;
            full += u64::from(matches!(failed.error, StoreError::NoSpace));
            if let Some(mut store) = failed.store {
                let refused = store.commit(vec![], vec![]);
                assert!(matches!(refused, Err(StoreError::Latched(_))), "operation {at}: {refused:?}");
            }
            under_way = failed.under_way;
        }
        let (mut store, recovered) =
            open(&disk, options).unwrap_or_else(|error| panic!("operation {at}: {error}"));
        let sound = std::iter::once(model).chain(under_way).any(|mut model| {
            model.restart(recovered.clean);
            model.compare_recovered(&recovered).is_ok()
                && model.compare(&mut store, &mut Random(1)).is_ok()
                && model.compare_lookups(&mut store, &mut Random(1)).is_ok()
        });
        assert!(sound, "operation {at} of {operations}");
    }
    (operations, errors, full)
}

/// Before a start repairs anything, and after it.
#[test]
fn verify_finds_nothing_wrong_after_power_cuts() {
    let verify = |disk: &SimulatedDisk| verify_on(&(Arc::new(disk.clone()) as Arc<dyn Disk>)).unwrap();
    for seed in 99..109 {
        let mut life = Life::new(seed);
        for _ in 0..10 {
            life.disk.trouble(Trouble { cut_after: Some(life.random.between(1, 300)), ..Trouble::default() });
            life.until_the_cut().unwrap();
            life.disk = life.disk.after_power_cut(&mut life.random);
            let report = verify(&life.disk);
            assert!(report.is_sound(), "seed {seed}: {report}");
            let (_, recovered) = open(&SimulatedDisk::holding(&life.disk.files()), &LOGGED).unwrap();
            assert_eq!(report.queues.values().sum::<u64>(), recovered.messages, "seed {seed}: {report}");
            assert_eq!(report.catalog, recovered.catalog, "seed {seed}");
        }
        life.reopen().unwrap();
        let report = verify(&life.disk);
        assert!(report.is_sound(), "seed {seed}: {report}");
        assert_eq!(report.queues.values().sum::<u64>(), life.model.messages());
    }
}

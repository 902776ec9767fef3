//! Runs cases side by side, each on connections of its own, and says how each one ended.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::connection::Target;
use crate::outcome::{Step, Stop};
use crate::test::Test;

/// One promise, and how to see whether it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// `s7_03_exclusive_locked`: the statement of docs/semantics.md, and a word on it.
    pub(crate) name: &'static str,
    /// What must be so, in one line.
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Test<'_>) -> Step,
    pub(crate) difference: Option<Difference>,
    /// Disturbs all others on the broker, so it runs when they are done.
    pub(crate) alone: bool,
}

/// Two brokers answer this case differently on purpose; either answer is expected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    pub(crate) rabbitmq: &'static str,
    pub(crate) leveret: &'static str,
    pub(crate) why: &'static str,
}

impl Case {
    /// `sN_NN_...` to (N, NN).
    pub(crate) fn statement(&self) -> (u32, u32) {
        let mut parts = self.name.trim_start_matches('s').split('_').map(str::parse);
        let mut number = || parts.next().and_then(Result::ok).unwrap_or_default();
        (number(), number())
    }

    pub(crate) const fn differs(
        mut self,
        rabbitmq: &'static str,
        leveret: &'static str,
        why: &'static str,
    ) -> Case {
        self.difference = Some(Difference { rabbitmq, leveret, why });
        self
    }

    pub(crate) const fn alone(mut self) -> Case {
        self.alone = true;
        self
    }
}

/// The table of a section: each function with a line on what it shows, and what is special about it
/// ([`Case::differs`], [`Case::alone`]).
macro_rules! cases {
    ($($run:ident: $about:literal $(, $special:ident($($argument:literal),*))*;)*) => {
        pub(crate) const CASES: &[crate::runner::Case] = &[$(
            crate::runner::Case {
                name: stringify!($run),
                about: $about,
                run: $run,
                difference: None,
                alone: false,
            }$(.$special($($argument),*))*,
        )*];
    };
}
pub(crate) use cases;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// A case that ran.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) case: Case,
    pub(crate) verdict: Verdict,
    /// Which answer was seen, where two are expected.
    pub(crate) answer: Option<&'static str>,
    /// The last frames, of a case that failed.
    pub(crate) frames: Vec<String>,
    pub(crate) took: Duration,
}

/// Runs the cases on `jobs` threads, then those that have to be alone, and returns them in the order given.
pub(crate) fn run(cases: &[Case], target: &Target, jobs: usize) -> Vec<Ran> {
    let (alone, together): (Vec<_>, Vec<_>) =
        cases.iter().copied().enumerate().partition(|(_, case)| case.alone);
    let mut done = run_side_by_side(together, target, jobs);
    done.extend(run_side_by_side(alone, target, 1));
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, ran)| ran).collect()
}

fn run_side_by_side(cases: Vec<(usize, Case)>, target: &Target, jobs: usize) -> Vec<(usize, Ran)> {
    let waiting = Mutex::new(VecDeque::from(cases));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                // Not in the head of the loop, which would keep the lock while the case runs.
                let next = || locked(&waiting).pop_front();
                while let Some((at, case)) = next() {
                    let ran = run_one(case, target);
                    locked(&done).push((at, ran));
                }
            });
        }
    });
    std::mem::take(&mut *locked(&done))
}

fn run_one(case: Case, target: &Target) -> Ran {
    let start = Instant::now();
    let test = Test::new(target);
    let ended = catch_unwind(AssertUnwindSafe(|| (case.run)(&test)))
        .unwrap_or_else(|_| Err(Stop::Fail("the case panicked".into())));
    let cleaned = test.clean_up();
    let answer = test.answer();
    let verdict = match (ended, cleaned) {
        (Err(Stop::Skip(reason)), _) => Verdict::Skipped(reason),
        (Err(Stop::Fail(reason)), _) => Verdict::Failed(reason),
        (Ok(()), Err(Stop::Fail(reason) | Stop::Skip(reason))) => {
            Verdict::Failed(format!("cleaning up: {reason}"))
        }
        (Ok(()), Ok(())) => judge(case, answer),
    };
    let frames = if matches!(verdict, Verdict::Failed(_)) { test.trace.lines() } else { vec![] };
    Ran { case, verdict, answer, frames, took: start.elapsed() }
}

/// A documented difference wants one of its two answers to have been seen.
fn judge(case: Case, answer: Option<&'static str>) -> Verdict {
    match (case.difference, answer) {
        (None, None) => Verdict::Passed,
        (Some(two), Some(answer)) if [two.rabbitmq, two.leveret].contains(&answer) => Verdict::Passed,
        (_, answer) => Verdict::Failed(format!("an answer that is not documented: {answer:?}")),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

//! What every attack happens on: a broker with a limit on its memory, a bystander who goes on working, and somebody who
//! reads how much memory the process has. In `cargo test` attacks are small, and so are their bounds; in the long form
//! they are as large as they were when they first brought a broker down, and the bystander's times count.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::bystander::Bystander;
use crate::support::{Broker, free_port, leveret};

/// What a broker with a limit of 300 MiB may hold at the most, in MiB.
const MOST_MIB: u64 = 400;
/// The slowest of a hundred round trips of a bystander.
const SLOWEST: Duration = Duration::from_millis(50);
/// How long what an attack has left behind may stay.
const AFTERMATH: Duration = Duration::from_secs(30);

/// Memory is the machine's: one attack at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// `LEVERET_ATTACKS=long`: as large as they get.
pub(crate) fn is_long() -> bool {
    std::env::var("LEVERET_ATTACKS").is_ok_and(|value| value == "long")
}

/// A size by form.
pub(crate) fn sized<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// An attack and what it may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack<'a> {
    pub(crate) name: &'a str,
    /// Further arguments of the broker.
    pub(crate) arguments: &'a [&'a str],
    /// A command that becomes the broker, whose command comes behind it.
    pub(crate) wrapper: &'a [&'a str],
    /// MiB from which publishers are blocked.
    pub(crate) limit: &'a str,
    /// In the short form: MiB by which the broker may grow.
    pub(crate) growth: u64,
    /// In the long form: MiB that the broker may have.
    pub(crate) most: u64,
}

impl<'a> Attack<'a> {
    pub(crate) fn new(name: &'a str, growth: u64) -> Attack<'a> {
        Attack { name, arguments: &[], wrapper: &[], limit: sized("100", "300"), growth, most: MOST_MIB }
    }

    pub(crate) fn with(self, arguments: &'a [&'a str]) -> Attack<'a> {
        Attack { arguments, ..self }
    }

    /// The attack; an error says how it succeeded.
    pub(crate) fn carry_out(self, attack: impl FnOnce(&Stage) -> Result<(), String>) {
        self.stage(None::<fn(u16)>, attack);
    }

    /// An attack on what somebody left in the broker, which gets its port. The broker is started again in between, so
    /// that what the preparation took of its memory is not mistaken for what the attack takes.
    pub(crate) fn carry_out_after(
        self,
        preparation: impl FnOnce(u16),
        attack: impl FnOnce(&Stage) -> Result<(), String>,
    ) {
        self.stage(Some(preparation), attack);
    }

    fn stage(self, preparation: Option<impl FnOnce(u16)>, attack: impl FnOnce(&Stage) -> Result<(), String>) {
        let outcome = {
            let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            catch_unwind(AssertUnwindSafe(|| self.measure(preparation, attack)))
        };
        let outcome = outcome.unwrap_or_else(|_| vec!["it panicked".into()]);
        assert!(outcome.is_empty(), "attack {} succeeds: {}", self.name, outcome.join("; "));
    }

    /// The broker to be. In the short form its allocator keeps what was freed for 10 ms rather than for a second: what
    /// counts is what the broker holds, and a small attack holds little against what an allocator keeps of it.
    fn command(self) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => leveret(),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(env!("CARGO_BIN_EXE_leveret"));
                command
            }
        };
        if !is_long() {
            command.env("MIMALLOC_PURGE_DELAY", "10");
        }
        command
    }

    fn measure(
        self,
        preparation: Option<impl FnOnce(u16)>,
        attack: impl FnOnce(&Stage) -> Result<(), String>,
    ) -> Vec<String> {
        let management = free_port();
        let (limit, listen) = (self.limit, format!("127.0.0.1:{management}"));
        let mut arguments = vec!["--memory-limit", limit, "--management-listen", &listen];
        arguments.extend(self.arguments);
        let mut broker = Broker::start_by(self.command(), &arguments);
        if let Some(prepare) = preparation {
            prepare(broker.port());
            assert!(broker.terminate(), "the broker ends after the preparation");
            broker.restart();
        }
        let bystander = Bystander::start(broker.port());
        while bystander.rounds() < 20 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let stage = Stage { before: memory(&broker, "VmRSS"), broker, management, bystander };
        let since = Instant::now();
        let mut wrong: Vec<String> = attack(&stage).err().into_iter().collect();
        let Stage { before, broker, bystander, .. } = stage;
        let (peak, now) = (memory(&broker, "VmHWM"), memory(&broker, "VmRSS"));
        let most = sized(before + self.growth, self.most);
        if peak > most {
            wrong.push(format!("{peak} MiB, which may be {most}"));
        }
        match bystander.stop() {
            Ok(seen) => {
                let (p99, slowest) = (seen.percentile(99), seen.percentile(100));
                println!(
                    "attack {}: {before} MiB before, {peak} at the most, {now} in the end (bound {most}); bystander {} \
                     round trips, p99 {:.1?}, slowest {:.1?} after {:.1?}, blocked {:.1?}; {:.1?}",
                    self.name,
                    seen.count(),
                    p99,
                    slowest,
                    seen.slowest_at,
                    seen.blocked,
                    since.elapsed()
                );
                if is_long() && p99 > SLOWEST {
                    wrong.push(format!("a bystander's p99 was {p99:.1?}"));
                }
            }
            Err(unserved) => wrong.push(unserved),
        }
        wrong
    }
}

pub(crate) struct Stage {
    /// MiB of the process before the attack.
    pub(crate) before: u64,
    pub(crate) broker: Broker,
    /// Where the management API listens.
    pub(crate) management: u16,
    pub(crate) bystander: Bystander,
}

impl Stage {
    pub(crate) fn port(&self) -> u16 {
        self.broker.port()
    }

    /// MiB of the process now.
    pub(crate) fn memory(&self) -> u64 {
        memory(&self.broker, "VmRSS")
    }

    /// MiB of it that are not of files, as the broker's own.
    pub(crate) fn own_memory(&self) -> u64 {
        memory(&self.broker, "RssAnon")
    }

    /// How many sockets the broker's process has open.
    pub(crate) fn sockets(&self) -> usize {
        let descriptors =
            std::fs::read_dir(format!("/proc/{}/fd", self.broker.pid())).expect("the broker runs");
        let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    /// Waits until something is so, which it has to be soon after an attack.
    pub(crate) fn soon(&self, what: &str, is_so: impl Fn(&Stage) -> bool) -> Result<Duration, String> {
        let since = Instant::now();
        while !is_so(self) {
            if since.elapsed() > AFTERMATH {
                return Err(format!("after {AFTERMATH:?} not yet: {what} ({} MiB)", self.memory()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(since.elapsed())
    }

    /// Waits until publishers are served.
    pub(crate) fn publishers_are_served(&self) -> Result<Duration, String> {
        let before = self.bystander.rounds();
        self.soon("publishers are served", |stage| stage.bystander.rounds() > before + 5)
    }

    /// Lets time pass, as attackers who have done their worst do, until the broker does not grow any more.
    pub(crate) fn linger(&self) {
        let step = sized(Duration::from_millis(100), Duration::from_secs(1));
        let (mut most, mut calm) = (self.memory(), 0);
        for _ in 0..100 {
            std::thread::sleep(step);
            let now = self.memory();
            calm = if now > most { 0 } else { calm + 1 };
            most = most.max(now);
            if calm == 4 {
                return;
            }
        }
    }
}

/// A line of the process's status, in MiB.
fn memory(broker: &Broker, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).expect("the broker runs");
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let kib = found.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.expect("a size in kB") / 1024
}

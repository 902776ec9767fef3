//! What the signals of the operating system lead to. All that would end a process and can be caught are caught: one sent
//! by accident (a terminal that closes, a tool that asks to rotate logs) must not be a kill.

use std::future::poll_fn;
use std::io;
use std::ops::RangeInclusive;
use std::task::Poll;

use rustix::process::Signal as Known;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::log_limit::LogLimit;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    Stop,
    /// Asks to read the configuration again.
    Reread,
    Ignore,
}

/// Those by which a defect of the program shows (SIGSEGV, SIGABRT ...) are left as they are. Where a file would grow
/// beyond what it may (SIGXFSZ), the write fails and is dealt with there.
const SIGNALS: [(Known, &str, Reaction); 15] = [
    (Known::TERM, "SIGTERM", Reaction::Stop),
    (Known::INT, "SIGINT", Reaction::Stop),
    (Known::QUIT, "SIGQUIT", Reaction::Stop),
    (Known::POWER, "SIGPWR", Reaction::Stop),
    (Known::XCPU, "SIGXCPU", Reaction::Stop),
    (Known::HUP, "SIGHUP", Reaction::Reread),
    (Known::USR1, "SIGUSR1", Reaction::Ignore),
    (Known::USR2, "SIGUSR2", Reaction::Ignore),
    (Known::PIPE, "SIGPIPE", Reaction::Ignore),
    (Known::ALARM, "SIGALRM", Reaction::Ignore),
    (Known::VTALARM, "SIGVTALRM", Reaction::Ignore),
    (Known::PROF, "SIGPROF", Reaction::Ignore),
    (Known::IO, "SIGIO", Reaction::Ignore),
    (Known::STKFLT, "SIGSTKFLT", Reaction::Ignore),
    (Known::XFSZ, "SIGXFSZ", Reaction::Ignore),
];
/// They have numbers and no names. The C library keeps some of the first for itself.
const REAL_TIME: RangeInclusive<i32> = 32..=64;

static IGNORED: LogLimit = LogLimit::new(5);
static REREAD: LogLimit = LogLimit::new(5);

/// The signals that are caught. They stay caught for the life of the process.
pub(super) struct Signals(Vec<(Signal, String, Reaction)>);

impl Signals {
    /// Catches them: from now on none of them ends the process.
    pub(super) fn catch() -> io::Result<Signals> {
        let mut caught = Vec::new();
        for (number, name, reaction) in SIGNALS {
            let kind = SignalKind::from_raw(number.as_raw());
            caught.push((signal(kind)?, name.to_owned(), reaction));
        }
        for number in REAL_TIME {
            // Those that the C library uses cannot be had, and are never sent by others.
            if let Ok(signal) = signal(SignalKind::from_raw(number)) {
                caught.push((signal, format!("real-time signal {number}"), Reaction::Ignore));
            }
        }
        Ok(Signals(caught))
    }

    /// Does as they say until one of them, or somebody else, says stop.
    pub(super) async fn obey(mut self, stop: CancellationToken) {
        loop {
            let next = poll_fn(|context| {
                let arrived = self.0.iter_mut().find_map(|(signal, name, reaction)| {
                    signal.poll_recv(context).is_ready().then(|| (name.clone(), *reaction))
                });
                arrived.map_or(Poll::Pending, Poll::Ready)
            });
            let (name, reaction) = tokio::select! {
                next = next => next,
                () = stop.cancelled() => return,
            };
            match reaction {
                Reaction::Stop => {
                    info!("{name}: stopping");
                    stop.cancel();
                    return;
                }
                Reaction::Reread => {
                    if let Some(kept_back) = REREAD.permit() {
                        info!(kept_back, "{name}: nothing is configured in a file, so nothing is read again");
                    }
                }
                Reaction::Ignore => {
                    if let Some(kept_back) = IGNORED.permit() {
                        info!(kept_back, "{name}: ignored");
                    }
                }
            }
        }
    }
}

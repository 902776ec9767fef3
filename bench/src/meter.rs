//! What a process used, read from /proc: CPU time, memory, bytes handed to the disk.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// What was used from [`Meter::start`] on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    /// CPU seconds of the generator.
    pub(crate) own_cpu: f64,
    /// Of the broker; None without its process id.
    pub(crate) broker: Option<BrokerUsage>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BrokerUsage {
    /// CPU seconds.
    pub(crate) cpu: f64,
    /// The most memory seen, in bytes.
    pub(crate) memory: Memory,
    /// Bytes handed to the disk; None where that may not be read.
    pub(crate) written: Option<u64>,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
}

#[derive(Debug)]
pub(crate) struct Meter {
    pid: Option<u32>,
    started: Instant,
    own_cpu: f64,
    before: Option<Reading>,
    most: Memory,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    cpu: f64,
    written: Option<u64>,
}

impl Meter {
    /// Begins to measure; `pid` is the broker.
    pub(crate) fn start(pid: Option<u32>) -> Result<Meter> {
        let mut meter = Meter {
            pid,
            started: Instant::now(),
            own_cpu: own_cpu_seconds(),
            before: pid.map(read).transpose()?,
            most: Memory::default(),
        };
        meter.sample()?;
        Ok(meter)
    }

    /// Looks at the memory; call it some times per second.
    pub(crate) fn sample(&mut self) -> Result<()> {
        if let Some(pid) = self.pid {
            let now = memory(pid)?;
            self.most.resident = self.most.resident.max(now.resident);
            self.most.anonymous = self.most.anonymous.max(now.anonymous);
        }
        Ok(())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn stop(mut self) -> Result<Usage> {
        let seconds = self.elapsed().as_secs_f64();
        self.sample()?;
        let broker = match (self.pid, self.before) {
            (Some(pid), Some(before)) => {
                let after = read(pid)?;
                let written = after.written.zip(before.written);
                Some(BrokerUsage {
                    cpu: after.cpu - before.cpu,
                    memory: self.most,
                    written: written.map(|(after, before)| after.saturating_sub(before)),
                })
            }
            _ => None,
        };
        Ok(Usage { seconds, own_cpu: own_cpu_seconds() - self.own_cpu, broker })
    }
}

/// What the process has in memory now.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let status = read_proc(pid, "status")?;
    let kilobytes = |name| field(&status, name).map(|kilobytes| kilobytes * 1024);
    Ok(Memory {
        resident: kilobytes("VmRSS:").with_context(|| format!("process {pid} has no memory: did it end?"))?,
        anonymous: kilobytes("RssAnon:").unwrap_or(0),
    })
}

fn read(pid: u32) -> Result<Reading> {
    let written = read_proc(pid, "io").ok().and_then(|io| field(&io, "write_bytes:"));
    Ok(Reading { cpu: cpu_seconds(pid)?, written })
}

fn cpu_seconds(pid: u32) -> Result<f64> {
    let ticks = cpu_ticks(&read_proc(pid, "stat")?).context("/proc/PID/stat has an unknown form")?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The same for this process, to the nanosecond: it may have used very little.
fn own_cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn read_proc(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}

/// User and system time, all threads, ended ones too. The name before them may hold blanks and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11);
    Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
}

/// The number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_an_awkward_name() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 900 0 0 0 123 45 6 7 20 0 9 0 100 1000 200";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("17 (a) S 1"), None);
    }

    #[test]
    fn fields_are_taken_by_their_whole_name() {
        let status = "VmHWM:\t  99 kB\nVmRSS:\t  12 kB\nRssAnon:\t 7 kB\n";
        assert_eq!(field(status, "VmRSS:"), Some(12));
        assert_eq!(field("wchar: 5\nwrite_bytes: 4096\n", "write_bytes:"), Some(4096));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[test]
    fn a_meter_sees_this_very_process_work() {
        let mut meter = Meter::start(Some(std::process::id())).unwrap();
        let mut sum = 0u64;
        while meter.elapsed() < Duration::from_millis(100) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        meter.sample().unwrap();
        let usage = meter.stop().unwrap();
        let broker = usage.broker.unwrap();
        assert!(usage.own_cpu > 0.0 && broker.cpu > 0.0 && usage.seconds >= 0.1);
        assert!(broker.memory.resident >= broker.memory.anonymous && broker.memory.anonymous > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Meter::start(Some(u32::MAX)).is_err());
    }
}

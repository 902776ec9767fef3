//! The machine a comparison ran on, as far as /proc tells.

use std::fs;

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// Bytes of memory.
    pub(crate) memory: u64,
    pub(crate) kernel: String,
}

impl Machine {
    pub(crate) fn this_one() -> Machine {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            processor: value(&processors, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: value(&memory, "MemTotal").and_then(kilobytes).unwrap_or(0) * 1024,
            kernel: kernel.trim().to_owned(),
        }
    }
}

/// What stands behind `name` and a colon, in the first line that begins with it.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn kilobytes(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name() {
        assert_eq!(value("a: 1\nmodel name\t: X 9\n", "model name"), Some("X 9"));
        assert_eq!(kilobytes("24 kB"), Some(24));
        assert!(Machine::this_one().cores > 0);
    }
}

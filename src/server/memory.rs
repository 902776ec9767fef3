//! How much memory the process has of its own, and how much the machine or its container lets it have.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the kernel shows control groups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Of what there is, by default, how much may be used before publishers are blocked: as RabbitMQ's watermark.
const WATERMARK_PERCENT: u64 = 60;

/// The memory of the process. The kernel's file about it is held open: clients may take all the descriptors there are.
#[derive(Debug)]
pub(super) struct OwnMemory(io::Result<File>);

impl OwnMemory {
    pub(super) fn open() -> OwnMemory {
        OwnMemory(File::open("/proc/self/statm"))
    }

    /// Bytes of resident memory that are the process's own: not those of files it has mapped.
    pub(super) fn resident(&self) -> io::Result<u64> {
        let mut text = [0; 256];
        let file = self.0.as_ref().map_err(|error| io::Error::from(error.kind()))?;
        let length = file.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..length]);
        let mut pages = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
        match (pages.next(), pages.next()) {
            (Some(Ok(resident)), Some(Ok(shared))) => {
                Ok(resident.saturating_sub(shared).saturating_mul(rustix::param::page_size() as u64))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/self/statm is not as expected")),
        }
    }
}

/// The bound where none is given, in bytes; None where nothing is known of the machine.
pub(super) fn default_limit() -> Option<u64> {
    Some(available()? / 100 * WATERMARK_PERCENT)
}

/// Bytes that the machine or its control group lets the process have; None where nothing is known of the machine.
pub(super) fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let container = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| container(&text));
    [machine, container].into_iter().flatten().min()
}

/// MemTotal of /proc/meminfo, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The tightest bound on the way from the process's control group to the root (version 2), or that of version 1.
fn container(groups: &str) -> Option<u64> {
    let root = Path::new(CGROUPS);
    let limit = |file: &Path| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let unified = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let ours = root.join(unified.unwrap_or_default());
    let bounds = ours.ancestors().take_while(|group| group.starts_with(root));
    bounds
        .filter_map(|group| limit(&group.join("memory.max")))
        .chain(limit(&root.join("memory/memory.limit_in_bytes")))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_a_machine_has_more() {
        let own = OwnMemory::open();
        let first = own.resident().unwrap();
        assert!(first > 100_000, "{first}");
        assert!(default_limit().unwrap() > first);
        assert!(own.resident().unwrap() > 100_000, "it can be read again");
    }

    #[test]
    fn the_machine_says_kibibytes() {
        assert_eq!(total("MemFree:   1 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
        assert_eq!(total("nothing"), None);
    }
}

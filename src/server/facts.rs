//! What is so of this process and of the machine that it runs on, for administrators who ask: what it listens on, how much memory,
//! disk and files it has. Looked up when somebody asks; nothing is decided by it here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fs, process, thread};

use super::clock::Clock;
use super::descriptors;
use super::memory::{self, OwnMemory};
use crate::model::ids::Timestamp;

/// What a running broker is.
pub struct Facts {
    pub(super) clock: Clock,
    pub(super) started: Timestamp,
    pub(super) memory: OwnMemory,
    /// Where its data are.
    pub data_dir: PathBuf,
    /// Where clients come in, administrators, and who reads metrics.
    pub listeners: Vec<SocketAddr>,
    pub management: Vec<SocketAddr>,
    pub metrics: Vec<SocketAddr>,
    /// The socket of whoever administers it from this machine.
    pub control: Option<PathBuf>,
    /// How many clients may be connected.
    pub most_connections: u64,
    /// Says which broker this is, also after a restart: those with the same data are the same.
    pub identity: String,
}

impl Facts {
    /// The broker's time, in milliseconds since the epoch: it never goes back.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// For how many milliseconds the broker has been running.
    #[must_use]
    pub fn uptime(&self) -> u64 {
        self.now().0.saturating_sub(self.started.0)
    }

    /// Bytes of memory that are the process's own; 0 where that cannot be looked up.
    #[must_use]
    pub fn memory_used(&self) -> u64 {
        self.memory.resident().unwrap_or(0)
    }

    /// Bytes of memory that the machine or its control group lets the process have; None where nothing is known of it.
    #[must_use]
    pub fn memory_total(&self) -> Option<u64> {
        memory::available()
    }

    /// Bytes that are free on the disk of the data; 0 where that cannot be looked up.
    #[must_use]
    pub fn disk_free(&self) -> u64 {
        rustix::fs::statvfs(&self.data_dir).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// How many files the journal has, the catalog's among them, and their bytes; 0 where that cannot be looked up.
    #[must_use]
    pub fn journal(&self) -> (u64, u64) {
        let files = fs::read_dir(&self.data_dir).into_iter().flatten().flatten();
        let files = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "redb"));
        let sizes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
        sizes.fold((0, 0), |(files, bytes), len| (files + 1, bytes + len))
    }

    /// How many files the process has open, and how many it may have.
    #[must_use]
    pub fn files(&self) -> (u64, u64) {
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        (open as u64, descriptors::limit() as u64)
    }

    #[must_use]
    pub fn process_id(&self) -> u32 {
        process::id()
    }

    /// How many threads may run at a time.
    #[must_use]
    pub fn processors(&self) -> u64 {
        thread::available_parallelism().map_or(1, |count| count.get() as u64)
    }
}

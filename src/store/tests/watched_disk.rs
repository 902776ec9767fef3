//! A folder of which it is counted how much is read, and of which a file can be made unreadable for a while.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::store::disk::{Disk, DiskFile, Folder};

#[derive(Debug, Default)]
struct Watch {
    bytes_read: AtomicU64,
    /// The file that cannot be read, and how many reads fail.
    failing: Mutex<Option<(String, u64)>>,
}

/// The folder; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct WatchedDisk {
    folder: Arc<Folder>,
    watch: Arc<Watch>,
}

#[derive(Debug)]
struct WatchedFile {
    name: String,
    file: Arc<dyn DiskFile>,
    watch: Arc<Watch>,
}

impl WatchedDisk {
    pub(super) fn new(path: &Path) -> WatchedDisk {
        WatchedDisk { folder: Arc::new(Folder::create(path).unwrap()), watch: Arc::default() }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.watch.bytes_read.load(Ordering::Relaxed)
    }

    /// So many reads of a file fail from now on.
    pub(super) fn fail_reads(&self, name: &str, reads: u64) {
        *self.watch.failing.lock() = Some((name.to_owned(), reads));
    }

    /// How many of them have not been asked for.
    pub(super) fn failures_left(&self) -> u64 {
        self.watch.failing.lock().as_ref().map_or(0, |(_, reads)| *reads)
    }

    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(WatchedFile { name: name.to_owned(), file, watch: Arc::clone(&self.watch) })
    }
}

impl Disk for WatchedDisk {
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.folder.lock()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        // A file is created under another name than it has later.
        self.folder.create(name).map(|file| self.file(name.trim_end_matches(".tmp"), file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.folder.open(name).map(|file| self.file(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn sync(&self) -> io::Result<()> {
        self.folder.sync()
    }
}

impl DiskFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some((name, left)) = &mut *self.watch.failing.lock()
            && *name == self.name
            && *left > 0
        {
            *left -= 1;
            return Err(io::Error::other("this file cannot be read"));
        }
        self.watch.bytes_read.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

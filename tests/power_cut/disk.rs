//! A disk that exists in memory, forgets what was not synced when its power is cut, and can be made to fail one
//! operation, to lie about syncing, or to hold blocks that cannot be read. What is written on it is not its business.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use leveret::store::disk::{Disk, DiskFile};

use crate::random::Random;

/// What survives of a write survives in pieces of this size.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => image.resize(*len, 0),
        Change::Write { offset, data } => {
            let end = offset + data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset..end].copy_from_slice(data);
        }
    }
}

/// A file's content, as it is seen and as it is on the platter.
#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, usize),
    Rename(String, String),
    Remove(String),
}

type Names = BTreeMap<String, usize>;
/// Files by name, with their bytes.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

fn apply_name(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Link(name, file) => drop(names.insert(name.clone(), *file)),
        NameChange::Remove(name) => drop(names.remove(name)),
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// The power goes with this many changes from now.
    pub(crate) cut_after: Option<u64>,
    /// This operation from now, reads too, fails; the ones after it do not.
    pub(crate) fail_at: Option<u64>,
    /// How it fails.
    pub(crate) full: bool,
    /// Syncing does nothing.
    pub(crate) lying: bool,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    names: Names,
    synced_names: Names,
    unsynced_names: Vec<NameChange>,
    trouble: Trouble,
    off: bool,
    locked: bool,
    operations: u64,
    /// Part of a file that cannot be read, whatever the file is called by then.
    unreadable: Option<(usize, Range<usize>)>,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state().off
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// A disk that holds these files, synced.
    pub(crate) fn holding(files: &Files) -> SimulatedDisk {
        let contents = files.values().map(|bytes| Content {
            seen: bytes.clone(),
            synced: bytes.clone(),
            unsynced: Vec::new(),
        });
        let names: Names = files.keys().cloned().zip(0..).collect();
        SimulatedDisk(Arc::new(Mutex::new(State {
            files: contents.collect(),
            synced_names: names.clone(),
            names,
            ..State::default()
        })))
    }

    /// All files as they are seen now.
    pub(crate) fn files(&self) -> Files {
        let state = self.state();
        state.names.iter().map(|(name, &file)| (name.clone(), state.files[file].seen.clone())).collect()
    }

    /// Makes reading of this part of a file fail.
    pub(crate) fn break_blocks(&self, name: &str, part: Range<usize>) {
        let mut state = self.state();
        state.unreadable = state.names.get(name).map(|&file| (file, part));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// The disk after the power came back: what was synced, and of the rest a random part, sector by sector.
    pub(crate) fn after_power_cut(&self, random: &mut Random) -> SimulatedDisk {
        let state = self.state();
        let mut names = state.synced_names.clone();
        let surviving = random.below(state.unsynced_names.len() + 1);
        state.unsynced_names[..surviving].iter().for_each(|change| apply_name(&mut names, change));
        let chance = random.pick(&[0, 10, 50, 90, 100]);
        let files: Vec<Content> = state.files.iter().map(|file| survive(file, chance, random)).collect();
        SimulatedDisk(Arc::new(Mutex::new(State {
            files,
            synced_names: names.clone(),
            names,
            ..State::default()
        })))
    }
}

fn survive(file: &Content, chance: u64, random: &mut Random) -> Content {
    let mut image = file.synced.clone();
    for change in &file.unsynced {
        match change {
            Change::SetLen(_) if random.percent(chance) => apply(&mut image, change),
            Change::SetLen(_) => (),
            Change::Write { offset, data } => {
                let mut at = 0;
                while at < data.len() {
                    let end = data.len().min(at + SECTOR - (offset + at) % SECTOR);
                    if random.percent(chance) {
                        let part = Change::Write { offset: offset + at, data: data[at..end].to_vec() };
                        apply(&mut image, &part);
                    }
                    at = end;
                }
            }
        }
    }
    Content { seen: image.clone(), synced: image, unsynced: Vec::new() }
}

impl State {
    /// Counts an operation; an error where it is to fail, or the power is off.
    fn operate(&mut self, changes: bool) -> io::Result<()> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        if let Some(left) = &mut self.trouble.fail_at {
            *left = left.wrapping_sub(1);
            if *left == u64::MAX {
                self.trouble.fail_at = None;
                return Err(if self.trouble.full {
                    io::ErrorKind::StorageFull.into()
                } else {
                    io::Error::other("this operation was to fail")
                });
            }
        }
        if let Some(left) = self.trouble.cut_after.as_mut().filter(|_| changes) {
            *left = left.saturating_sub(1);
            self.off = *left == 0;
        }
        Ok(())
    }

    /// The last operation before the cut may still reach the platter, but nobody hears of it.
    fn answer(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power went off")) } else { Ok(()) }
    }

    fn change_names(&mut self, change: NameChange) -> io::Result<()> {
        self.operate(true)?;
        apply_name(&mut self.names, &change);
        self.unsynced_names.push(change);
        self.answer()
    }
}

impl Disk for SimulatedDisk {
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut state = self.state();
        if std::mem::replace(&mut state.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Lock(self.clone()))))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(Content::default());
        state.change_names(NameChange::Link(name.to_owned(), file))?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.operate(false)?;
        let file = state.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state().change_names(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().change_names(NameChange::Remove(name.to_owned()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.operate(false)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate(true)?;
        if !state.off && !state.trouble.lying {
            state.synced_names = state.names.clone();
            state.unsynced_names.clear();
        }
        state.answer()
    }
}

struct Lock(SimulatedDisk);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl SimulatedFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate(true)?;
        if let (Change::Write { offset, data }, Some((file, part))) = (&change, &state.unreadable)
            && *file == self.file
            && *offset <= part.start
            && part.end <= offset + data.len()
        {
            // A block that is written as a whole lies somewhere else from then on.
            state.unreadable = None;
        }
        let content = &mut state.files[self.file];
        apply(&mut content.seen, &change);
        content.unsynced.push(change);
        state.answer()
    }
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.operate(false)?;
        Ok(state.files[self.file].seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate(false)?;
        let offset = offset as usize;
        if let Some((file, part)) = &state.unreadable
            && *file == self.file
            && offset < part.end
            && part.start < offset + out.len()
        {
            return Err(io::Error::other("this block cannot be read"));
        }
        let content = state.files[self.file].seen.get(offset..offset + out.len());
        out.copy_from_slice(content.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen(len as usize))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write { offset: offset as usize, data: data.to_vec() })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate(true)?;
        if !state.off && !state.trouble.lying {
            let Content { synced, unsynced, .. } = &mut state.files[self.file];
            for change in unsynced.drain(..) {
                apply(synced, &change);
            }
        }
        state.answer()
    }
}

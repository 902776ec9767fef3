//! A file that is only read, but looks writable: what is written stays in memory. Opening a database writes a
//! little, and so does repairing it; sealed files and `verify` must not change what is on disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::DiskFile;

const PAGE: usize = 4096;

#[derive(Debug)]
pub(super) struct Overlay {
    base: Arc<dyn DiskFile>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// How much of the base still shows through.
    base_len: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Overlay {
    pub(super) fn new(base: Arc<dyn DiskFile>) -> io::Result<Overlay> {
        let len = base.len()?;
        Ok(Overlay { base, state: Mutex::new(State { len, base_len: len, pages: BTreeMap::new() }) })
    }

    /// What stands at `offset` without what was written; zeros behind the end.
    fn read_base(&self, base_len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(base_len.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (from_base, zeros) = out.split_at_mut(there);
        zeros.fill(0);
        if from_base.is_empty() { Ok(()) } else { self.base.read(offset, from_base) }
    }
}

/// The parts of `offset..offset + len` by page: number, start within the page, range of the buffer.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let start = usize::try_from(at % PAGE as u64).unwrap_or(0);
        let range = done..len.min(done + PAGE - start);
        done = range.end;
        Some((at / PAGE as u64, start, range))
    })
}

impl DiskFile for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_base(state.base_len, offset, out)?;
        if state.pages.is_empty() {
            return Ok(());
        }
        for (page, start, range) in parts(offset, out.len()) {
            if let Some(written) = state.pages.get(&page) {
                let len = range.len();
                out[range].copy_from_slice(&written[start..start + len]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if len < state.len {
            state.base_len = state.base_len.min(len);
            state.pages.split_off(&len.div_ceil(PAGE as u64));
            let start = usize::try_from(len % PAGE as u64).unwrap_or(0);
            if let Some(page) = state.pages.get_mut(&(len / PAGE as u64)) {
                page[start..].fill(0);
            }
        }
        state.len = len;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        for (page, start, range) in parts(offset, data.len()) {
            if !state.pages.contains_key(&page) {
                let mut fresh = Box::new([0; PAGE]);
                self.read_base(state.base_len, page * PAGE as u64, &mut fresh[..])?;
                state.pages.insert(page, fresh);
            }
            if let Some(written) = state.pages.get_mut(&page) {
                let len = range.len();
                written[start..start + len].copy_from_slice(&data[range]);
            }
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Disk, Folder};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_overlay_is_a_file_that_leaves_its_base_alone(
            steps in proptest::collection::vec((0u64..20_000, 0usize..9000, any::<bool>()), 0..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let disk = Folder::create(folder.path()).unwrap();
            let original: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
            let base = disk.create("base").unwrap();
            base.write(0, &original).unwrap();
            let overlay = Overlay::new(Arc::clone(&base)).unwrap();
            let mut naive = original.clone();
            for (step, (offset, len, cut)) in steps.into_iter().enumerate() {
                if cut {
                    overlay.set_len(offset).unwrap();
                    naive.resize(usize::try_from(offset).unwrap(), 0);
                } else {
                    let data = vec![u8::try_from(step).unwrap() + 1; len];
                    overlay.write(offset, &data).unwrap();
                    let offset = usize::try_from(offset).unwrap();
                    naive.resize(naive.len().max(offset + len), 0);
                    naive[offset..offset + len].copy_from_slice(&data);
                }
                let mut read = vec![0; naive.len()];
                prop_assert_eq!(overlay.len().unwrap(), naive.len() as u64);
                overlay.read(0, &mut read).unwrap();
                prop_assert!(read == naive);
            }
            let mut read = vec![0; original.len()];
            base.read(0, &mut read).unwrap();
            prop_assert!(read == original);
        }
    }
}

//! A lock for readers and a writer that comes back at once: the catalog changes the view in steps, with hardly a moment in
//! between. parking_lot's lock is not fair by itself: who was waiting would find it taken again each time, for as long as
//! there are steps.

use std::ops::{Deref, DerefMut};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A value that many read and one changes. Readers who wait while it is changed have it before it is changed again.
#[derive(Debug, Default)]
pub(crate) struct FairLock<T>(RwLock<T>);

impl<T> FairLock<T> {
    pub(crate) fn new(value: T) -> FairLock<T> {
        FairLock(RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read()
    }

    pub(crate) fn write(&self) -> Changing<'_, T> {
        Changing(self.0.write())
    }
}

/// The value, while it is changed.
pub(crate) struct Changing<'a, T>(RwLockWriteGuard<'a, T>);

impl<T> Drop for Changing<'_, T> {
    /// Hands the lock to those who wait, if somebody does.
    fn drop(&mut self) {
        RwLockWriteGuard::bump(&mut self.0);
    }
}

impl<T> Deref for Changing<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Changing<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether somebody who waits to read while the value is changed has read it before it is changed again at once.
    fn a_reader_comes_in_between() -> bool {
        let lock = FairLock(RwLock::new(0));
        let mut first = lock.write();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| *lock.read());
            // Long enough for it to wait for the lock.
            std::thread::sleep(Duration::from_millis(50));
            *first = 1;
            drop(first);
            *lock.write() = 2;
            reader.join().is_ok_and(|read| read == 1)
        })
    }

    #[test]
    fn who_waits_has_its_turn_before_the_next_change() {
        let in_between = (0..7).filter(|_| a_reader_comes_in_between()).count();
        assert!(in_between >= 4, "{in_between} of 7, and a reader that is late is no fault of the lock");
    }
}

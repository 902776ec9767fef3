//! Parts of a queue that are made when they are first needed: there may be very many queues, and most of them have no
//! message, no consumer and no dead letter most of the time. A part that is not there reads as an empty one. When it goes
//! again is said in `idle.rs`.

use std::ops::{Deref, DerefMut};

/// What a queue can be without.
pub(super) trait Part: Default + 'static {
    /// What is read where there is none.
    fn none() -> &'static Self;
}

/// A part that costs a pointer until something is written to it.
#[derive(Debug)]
pub(super) struct OnFirstUse<T>(Option<Box<T>>);

impl<T> Default for OnFirstUse<T> {
    fn default() -> Self {
        OnFirstUse(None)
    }
}

impl<T: Part> Deref for OnFirstUse<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::none())
    }
}

impl<T: Part> DerefMut for OnFirstUse<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(make)
    }
}

#[cold]
fn make<T: Default>() -> Box<T> {
    Box::default()
}

impl<T> OnFirstUse<T> {
    /// The part, where it is there.
    pub(super) fn made(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Takes it away.
    pub(super) fn take_away(&mut self) -> Option<Box<T>> {
        self.0.take()
    }
}

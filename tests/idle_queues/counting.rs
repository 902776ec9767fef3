//! An allocator that counts the bytes that a thread has asked for and not given back.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub(crate) struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that this thread has asked for and not given back, what the allocator itself takes for them not included.
pub(crate) fn live() -> isize {
    LIVE.get()
}

fn count(bytes: usize) {
    // No allocation has more bytes than half of the address space. A thread that ends may have lost its count.
    _ = LIVE.try_with(|live| live.set(live.get() + bytes.cast_signed()));
}

fn discount(bytes: usize) {
    _ = LIVE.try_with(|live| live.set(live.get() - bytes.cast_signed()));
}

// SAFETY: all is left to the system's allocator, and what is counted is not part of any promise.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the promises that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        discount(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        discount(layout.size());
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

//! What the allocator keeps of what was freed. mimalloc keeps freed pages for the work of the next second, which is much of
//! what makes it fast (ARCHITECTURE.md has the figures), and gives them back when somebody allocates later on: a broker
//! that rests after a peak would keep all of it, and its alarm of memory would not end.
#![allow(
    unsafe_code,
    reason = "the one place where it is needed: the allocator is asked through its C interface"
)]

/// Gives all pages back to the system in which nothing is used any more, as far as this thread can tell: those of the
/// whole process that are free, and its own. What others have freed among another thread's that thread has to see to.
/// Takes milliseconds where there is much.
pub(super) fn give_back() {
    // SAFETY: it may be called at any time and by any thread; it touches only what is free. Where mimalloc is not what
    // the program allocates with (in tests), it has nothing to do.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

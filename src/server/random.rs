//! Where chance comes from: the only file that asks for randomness. Everybody else is told.

use crate::model::names::Seed;

/// What nobody can guess: it makes the salts of this process, and the records of its log, unlike any other's.
pub(super) fn random_number() -> u64 {
    rand::random()
}

/// What the names of one connection grow from. It comes from the operating system's chance, by way of a generator that
/// gives nothing of one seed away to who knows another.
pub(super) fn random_seed() -> Seed {
    Seed(rand::random())
}

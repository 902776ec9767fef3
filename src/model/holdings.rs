//! What an owner holds: of each of its collections the name, the length, and the room it takes. Every owner lists all of
//! them in a method `holdings`, which takes its fields apart without `..`, so that whoever adds a collection is asked what
//! becomes of it. Nothing here decides how much is too much: the simulation does (tests/sim), which requires after every
//! scenario that nothing is left of what has gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use bytes::{Bytes, BytesMut};

/// What keeps something alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum While {
    /// It is on its way or waits for an answer: nothing is left of it once all is quiet.
    InTransit,
    /// A client is connected, or a message is in a queue.
    InUse,
    /// A queue, an exchange or a binding is declared.
    Declared,
}

/// One collection of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Its owner and what it is.
    pub name: &'static str,
    pub held: While,
    /// How many items (or bytes, of buffers) it has.
    pub len: usize,
    /// For how many it has room.
    pub capacity: usize,
}

/// A list of collections, of one owner or of several.
#[derive(Clone, Debug, Default)]
pub struct Holdings(Vec<Holding>);

impl Holdings {
    /// Adds one that is empty whenever nothing is on its way.
    pub fn in_transit(&mut self, name: &'static str, collection: &impl Collection) {
        self.add(name, While::InTransit, collection);
    }

    /// Adds one that is empty without clients and messages.
    pub fn in_use(&mut self, name: &'static str, collection: &impl Collection) {
        self.add(name, While::InUse, collection);
    }

    /// Adds one that is empty where nothing is declared.
    pub fn declared(&mut self, name: &'static str, collection: &impl Collection) {
        self.add(name, While::Declared, collection);
    }

    fn add(&mut self, name: &'static str, held: While, collection: &impl Collection) {
        let (len, capacity) = collection.size();
        self.0.push(Holding { name, held, len, capacity });
    }

    pub fn iter(&self) -> impl Iterator<Item = &Holding> {
        self.0.iter()
    }
}

/// Something that holds things.
pub trait Collection {
    /// How many it has, and for how many it has room.
    fn size(&self) -> (usize, usize);
}

/// A count of what is held elsewhere.
impl Collection for usize {
    fn size(&self) -> (usize, usize) {
        (*self, *self)
    }
}

/// The items in use, and the room, of something that keeps places free.
impl Collection for (usize, usize) {
    fn size(&self) -> (usize, usize) {
        *self
    }
}

impl<T> Collection for Option<T> {
    fn size(&self) -> (usize, usize) {
        (usize::from(self.is_some()), 1)
    }
}

impl<T> Collection for Vec<T> {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.capacity())
    }
}

impl<T> Collection for VecDeque<T> {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.capacity())
    }
}

impl<K, V, S> Collection for HashMap<K, V, S> {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.capacity())
    }
}

impl<T, S> Collection for HashSet<T, S> {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.capacity())
    }
}

impl<K, V> Collection for BTreeMap<K, V> {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.len())
    }
}

impl<T> Collection for BTreeSet<T> {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.len())
    }
}

impl Collection for BytesMut {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.capacity())
    }
}

impl Collection for Bytes {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.len())
    }
}

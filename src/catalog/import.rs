//! What is known of an import of definitions while it is carried out. How it is carried out is in `importing`.

use std::collections::{HashSet, VecDeque};
use std::vec;

use crate::model::administration::ImportItem;
use crate::model::ids::Name;

/// How an import went: what could not be carried out, in words. An error says the same of a strict one, of which nothing was carried
/// out.
pub type Imported = Result<Vec<String>, String>;

/// An import that is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportNumber(pub(super) u64);

#[derive(Debug)]
pub(super) struct Import {
    pub(super) number: ImportNumber,
    /// Nothing is carried out where something cannot be.
    pub(super) strict: bool,
    /// Those that are to be checked, and those that were and are to be carried out.
    pub(super) unchecked: vec::IntoIter<ImportItem>,
    pub(super) checked: VecDeque<ImportItem>,
    /// What those that were checked make.
    pub(super) made: HashSet<Made>,
    pub(super) failed: Vec<String>,
}

/// Something that an import makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Made {
    Vhost(Name),
    User(Name),
    Exchange(Name, Name),
    Queue(Name, Name),
}

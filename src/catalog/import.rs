//! What is known of an import of definitions while it is carried out. How it is carried out is in `importing`, whether its items can
//! be in `imported_things`.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::model::administration::{ImportItem, LeftOut};
use crate::model::growing::Growing;
use crate::model::ids::Name;
use crate::model::settings::QueueType;
use crate::routing::ExchangeRoutes;

/// How an import went: what could not be carried out. An error says the same of a strict one, of which nothing was carried out.
pub type Imported = Result<LeftOut, LeftOut>;

/// An import that is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportNumber(pub(super) u64);

#[derive(Debug)]
pub(super) struct Import {
    pub(super) number: ImportNumber,
    /// Nothing is carried out where something cannot be.
    pub(super) strict: bool,
    pub(super) phase: Phase,
    /// Those that are left; what was carried out, or cannot be, is None. In place, for to move very many takes long.
    pub(super) items: Vec<Option<ImportItem>>,
    /// The one that is next.
    pub(super) next: usize,
    /// What those that were checked make.
    pub(super) made: Things,
    pub(super) failed: LeftOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Checking,
    CarryingOut,
    /// It is strict and something cannot be done. What it holds is given back, some at a time.
    GivingUp,
}

/// What the items of an import make, as far as they were checked.
#[derive(Debug, Default)]
pub(super) struct Things {
    pub(super) users: HashSet<Name>,
    pub(super) parameters: HashSet<Name>,
    pub(super) vhosts: HashMap<Name, InVhost>,
    pub(super) new_vhosts: u64,
    pub(super) new_queues: u64,
    pub(super) new_exchanges: u64,
}

/// What they make in a vhost.
#[derive(Debug, Default)]
pub(super) struct InVhost {
    pub(super) is_new: bool,
    pub(super) exchanges: Growing<Name, ExchangeRoutes, RandomState>,
    pub(super) queues: Growing<Name, QueueType, RandomState>,
    /// What they limit its queues to, if they do.
    pub(super) max_queues: Option<Option<i64>>,
}

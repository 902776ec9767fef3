//! What owners tell each other: what a shard and the catalog are told, and what the store is asked for.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Permit;
use crate::catalog::Imported;
use crate::model::administration::{AdministrationError, Applied, Change, ImportItem};
use crate::model::command::{CatalogCommand, Origin, ShardCommand};
use crate::model::counters::StoreCounts;
use crate::model::ids::{ConnectionId, ShardIndex};
use crate::model::op::{CatalogOp, Fetch, Fetched, GroupPart, Op};
use crate::model::question::{Answer, Question};

/// Where an administrator waits for how a change went.
pub(super) type AnswerTo = oneshot::Sender<Result<Applied, AdministrationError>>;

/// Where an administrator waits for how an import went.
pub(super) type ImportAnswerTo = oneshot::Sender<Imported>;

/// What the catalog is told.
#[derive(Debug)]
pub enum CatalogInput {
    Command(CatalogCommand),
    /// From an administrator, who is answered once the change is durable.
    Administer {
        change: Box<Change>,
        answer: AnswerTo,
    },
    /// From an administrator: definitions, all or nothing.
    Import {
        items: Vec<ImportItem>,
        strict: bool,
        answer: ImportAnswerTo,
    },
    /// The records of all turns up to this one are on disk.
    Durable {
        sequence: u64,
    },
    /// Works off what is there and ends.
    Stop,
}

/// What a shard is told.
#[derive(Debug)]
pub enum ShardInput {
    /// Commands of one sender, in order. The permit keeps their bytes in the sender's in-flight limit until they are
    /// done.
    Commands {
        origin: Origin,
        commands: Vec<ShardCommand>,
        permit: Option<Permit>,
    },
    /// All operations up to this turn are on disk.
    Durable {
        sequence: u64,
    },
    Loaded(Fetched),
    /// The connection has written this many bytes of this shard's deliveries.
    Drained {
        connection: ConnectionId,
        bytes: usize,
    },
    ConnectionGone(ConnectionId),
    /// Ready messages may take so many bytes of memory from now on.
    MemoryBudget(usize),
    /// Answered at the end of this turn or of a later one, in the order asked; a shard that stops drops what it was asked.
    Ask {
        question: Question,
        asker: Asker,
    },
    /// Answered once everything that came before has been worked off and handed on.
    Barrier(oneshot::Sender<()>),
    /// Works off what is there and ends.
    Stop,
}

/// Where a question's answer goes, and the place it takes among those under way: dropped, it is somebody else's.
#[derive(Debug)]
pub struct Asker {
    pub answer: oneshot::Sender<Answer>,
    pub place: Option<Arc<OwnedSemaphorePermit>>,
}

/// What the store is asked for.
#[derive(Debug)]
pub enum StoreRequest {
    /// The operations of one turn of a shard, answered with `ShardInput::Durable`.
    Ops {
        shard: ShardIndex,
        sequence: u64,
        ops: Vec<Op>,
        must_sync: bool,
        groups: Vec<GroupPart>,
        permits: Vec<Permit>,
    },
    /// Answered with `ShardInput::Loaded`.
    Fetch { shard: ShardIndex, fetch: Fetch },
    /// The records of one turn of the catalog, answered with `CatalogInput::Durable`.
    Catalog { sequence: u64, ops: Vec<CatalogOp> },
    /// What it has counted; answered at the end of the turn.
    Ask(oneshot::Sender<StoreCounts>),
    /// Commits what there is, to be closed afterwards.
    Close,
}

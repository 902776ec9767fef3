//! What an operator does to the data directory of a stopped broker: see whether it is sound, and decide about messages
//! that are kept apart because no queue is known for them.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::owners::{counted, judge, unknown_queues};
use super::random::random_number;
use crate::catalog::view::View;
use crate::catalog::{AdoptError, Catalog, CatalogEffects, Unknown};
use crate::config::Decision;
use crate::model::ids::QueueId;
use crate::model::op::Op;
use crate::store::{self, OpenError, Recovered, RedbStore, Store, StoreError, StoreOptions, VerifyReport};

/// Reads everything in a data directory and changes nothing: reports what the next start would, and more.
pub fn verify(directory: &Path) -> Result<VerifyReport, OpenError> {
    let mut report = store::verify(directory)?;
    let records = std::mem::take(&mut report.catalog);
    judge(records.clone(), &report.queues, &mut report.damage);
    report.catalog = records;
    Ok(report)
}

/// Why a decision is not carried out. Nothing was changed, but that the directory is as after a start and a clean stop.
#[derive(Debug, Error)]
pub enum DecisionError {
    #[error("cannot use the data directory: {0}")]
    Open(#[from] OpenError),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("no messages of a queue {0} are kept apart; {1}")]
    Unknown(QueueId, String),
    #[error(transparent)]
    Adopt(#[from] AdoptError),
}

/// Carries out a decision. Returns how many messages it concerned.
pub fn decide(directory: &Path, decision: &Decision) -> Result<u64, DecisionError> {
    let options = StoreOptions { salt: random_number(), ..StoreOptions::default() };
    let (mut store, recovered) = store::open(directory, &options)?;
    let decided = carry_out(&mut store, recovered, decision);
    // Also where it is refused: what the opening found out is kept.
    let closed = Box::new(store).close();
    let messages = decided?;
    closed?;
    Ok(messages)
}

fn carry_out(store: &mut RedbStore, recovered: Recovered, decision: &Decision) -> Result<u64, DecisionError> {
    let Recovered { mut damage, catalog, queues, .. } = recovered;
    let mut fx = CatalogEffects::default();
    let mut catalog = Catalog::new(Arc::clone(&View::new()), 1, random_number(), catalog, &mut fx);
    let Unknown { apart, deleted } =
        unknown_queues(&mut catalog, queues.iter().map(counted), &mut fx, &mut damage);
    let (Decision::Restore { queue, .. } | Decision::Drop { queue }) = decision;
    let Some(&(_, messages)) = apart.iter().find(|found| found.0 == *queue) else {
        let others: Vec<_> = apart.iter().map(|(queue, _)| queue.to_string()).collect();
        let others = if others.is_empty() {
            "nothing is kept apart".to_owned()
        } else {
            format!("those of {} are", others.join(", "))
        };
        return Err(DecisionError::Unknown(*queue, others));
    };
    let mut ops: Vec<Op> = deleted.into_iter().map(|queue| Op::DeleteQueue { queue }).collect();
    match decision {
        Decision::Restore { queue, vhost, name } => catalog.adopt_queue(*queue, vhost, name, &mut fx)?,
        Decision::Drop { queue } => ops.push(Op::DeleteQueue { queue: *queue }),
    }
    store.commit(ops, fx.ops)?;
    Ok(messages)
}

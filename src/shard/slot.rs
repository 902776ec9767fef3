//! What a shard has under an id of the catalog's: a queue of clients or of an exchange that delays, or what an exchange
//! remembers. Both come back after a start, are answered by the store, hold memory and end; this is where the shard need not
//! know which it is. Where all of them are is in `queues.rs`; what they do is theirs.

use std::sync::Arc;

use super::accounts::Booked;
use super::history::History;
use super::steps::Steps;
use crate::model::command::QueueLabel;
use crate::model::holdings::Holdings;
use crate::model::ids::{QueueRef, Timestamp};
use crate::model::op::RecoveredQueue;
use crate::model::settings::{QueueRole, QueueSettings};
use crate::queue::{FlowControl, Queue, QueueEffects};

#[derive(Debug)]
pub(super) enum Slot {
    Queue(Box<QueueSlot>),
    History(Box<History>),
}

impl Slot {
    /// By the role that the settings say, with what the store found of it, and asks the store for what has to be read
    /// before anything else.
    pub(super) fn recover(
        at: QueueRef,
        label: QueueLabel,
        settings: Arc<QueueSettings>,
        found: RecoveredQueue,
        account: Booked,
        now: Timestamp,
        fx: &mut QueueEffects,
    ) -> Slot {
        match settings.role {
            QueueRole::Remembers => {
                let history = History::new(at.queue, &settings, &found);
                fx.fetches.extend(history.fetch());
                Slot::History(Box::new(history))
            }
            QueueRole::Clients | QueueRole::Delays => Slot::Queue(Box::new(QueueSlot::new(
                Queue::recover(at, settings, found, now),
                label,
                account,
            ))),
        }
    }

    pub(super) fn holdings(&self, into: &mut Holdings) {
        match self {
            Slot::Queue(slot) => slot.queue.holdings(into),
            Slot::History(history) => history.holdings(into),
        }
    }

    /// Ends it with all it holds and returns how many messages were ready.
    pub(super) fn delete(self, fx: &mut QueueEffects) -> u32 {
        match self {
            Slot::Queue(slot) => slot.queue.delete(fx),
            Slot::History(history) => {
                history.delete(&mut fx.ops);
                0
            }
        }
    }
}

/// A queue and what the shard remembers of it.
#[derive(Debug)]
pub(super) struct QueueSlot {
    pub(super) queue: Queue,
    pub(super) label: QueueLabel,
    /// It is on the list of queues to be pumped.
    pub(super) touched: bool,
    /// It is on the list of queues that wait for room for dead letters.
    pub(super) waits_for_room: bool,
    /// It counts in the budget.
    pub(super) has_messages: bool,
    /// Where what it counts is added up.
    pub(super) account: Booked,
    /// Where it stands in the list of deadlines.
    pub(super) deadline: Option<Timestamp>,
    /// Of the values that were applied to it.
    pub(super) generation: u32,
    /// Where it stands in the order of the sweep. Short, for there is one in every queue.
    pub(super) place: u32,
}

impl QueueSlot {
    pub(super) fn new(queue: Queue, label: QueueLabel, account: Booked) -> QueueSlot {
        QueueSlot {
            queue,
            label,
            touched: false,
            waits_for_room: false,
            has_messages: false,
            account,
            deadline: None,
            generation: 0,
            place: 0,
        }
    }

    /// Carries out what a pump at the end of the turn would, before somebody looks: what a client sees is as if each
    /// method were carried out by itself, whatever came together with it. The queue is pumped again at the end.
    pub(super) fn catch_up(
        &mut self,
        now: Timestamp,
        flow: &mut impl FlowControl,
        steps: &mut Steps,
        fx: &mut QueueEffects,
    ) {
        if self.touched && steps.may_pump() {
            let (moved, _) = self.queue.pump(now, flow, fx);
            steps.pumped(moved);
        }
    }
}

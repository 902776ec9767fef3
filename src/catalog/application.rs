//! Policies applied to what is there, in pieces (semantics 17.4). Matching is what takes the time, and is done while
//! everybody may read the view; only what came of it is written.

use crate::model::ids::{ExchangeId, Name, QueueId};

use super::CatalogEffects;
use super::view::View;
use super::view::named::Named;
use crate::model::command::ShardCommand;

/// Patterns that a piece matches, about: each takes some tens of microseconds at the most.
const MATCHED: usize = 64;

/// Names that a piece looks at, matched or not.
const LOOKED_AT: usize = 4096;

/// What is left to be done in a vhost.
#[derive(Debug)]
pub(super) struct Application {
    vhost: Name,
    exchanges: Walk<ExchangeId>,
    queues: Walk<QueueId>,
}

/// A walk through names, in order.
#[derive(Debug)]
struct Walk<T> {
    /// The last one that was looked at.
    last: Option<Name>,
    /// What was declared since obeys from the beginning, and would make the walk endless.
    until: T,
    is_done: bool,
}

impl<T: Copy + PartialOrd> Walk<T> {
    fn new(until: T) -> Walk<T> {
        Walk { last: None, until, is_done: false }
    }

    /// The next one, where there is any among the next `most` names.
    fn next(&mut self, names: &Named<T>, most: &mut usize) -> Option<T> {
        let last = self.last.take();
        let (mut looked_at, mut found) = (None, None);
        let mut rest = names.after(last.as_ref());
        while *most > 0 && found.is_none() {
            let Some((name, id)) = rest.next() else {
                self.is_done = true;
                break;
            };
            *most -= 1;
            looked_at = Some(name.clone());
            found = Some(id).filter(|id| *id < self.until);
        }
        drop(rest);
        self.last = looked_at.or(last);
        found
    }
}

impl Application {
    /// All that is there, whose ids are below these.
    pub(super) fn new(vhost: &Name, exchanges: ExchangeId, queues: QueueId) -> Application {
        Application { vhost: vhost.clone(), exchanges: Walk::new(exchanges), queues: Walk::new(queues) }
    }

    pub(super) fn is_of_same_vhost(&self, other: &Application) -> bool {
        self.vhost == other.vhost
    }

    /// Does a piece. Returns whether it was the last one.
    pub(super) fn go_on(&mut self, view: &View, fx: &mut CatalogEffects) -> bool {
        let (mut exchanges, mut queues) = (Vec::new(), Vec::new());
        let state = view.read();
        let Some(vhost) = state.vhost(&self.vhost) else { return true };
        let cost = 1 + vhost.policies.len();
        let (mut matched, mut most) = (0, LOOKED_AT);
        while matched < MATCHED {
            matched += cost;
            if let Some(id) = self.exchanges.next(&vhost.exchanges, &mut most) {
                exchanges.extend(state.policies_of_exchange(id).map(|policies| (id, policies)));
            } else if let Some(id) = self.queues.next(&vhost.queues, &mut most) {
                queues.extend(state.policies_of_queue(id).map(|obeyed| (id, obeyed)));
            } else {
                break;
            }
        }
        fx.tell_given_up(vhost);
        drop(state);
        let mut state = view.write();
        for (id, policies) in exchanges {
            state.obey_as_exchange(id, policies);
        }
        for (id, (policies, settings)) in queues {
            if let Some((at, settings)) = state.obey_as_queue(id, policies, settings) {
                let command = ShardCommand::SetSettings { queue: at.queue, settings };
                fx.to_shards.push((at.shard, command));
            }
        }
        self.exchanges.is_done && self.queues.is_done
    }
}

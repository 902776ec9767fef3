//! Policies applied to what is there, in pieces (semantics.md 17.4). Matching is what takes the time, and is done while
//! everybody may read the view; only what came of it is written.

use crate::model::ids::{ExchangeId, Name, QueueId};

use super::CatalogEffects;
use crate::broker::command::ShardCommand;
use crate::broker::view::{View, ViewState};

/// Patterns that a piece matches, about: each takes some tens of microseconds at the most.
const MATCHED: usize = 128;

/// What is left to be done in a vhost.
#[derive(Debug)]
pub(super) struct Application {
    vhost: Name,
    /// Highest id first: the last one is next.
    exchanges: Vec<ExchangeId>,
    queues: Vec<QueueId>,
}

impl Application {
    /// All that is there. What is declared later obeys from the beginning.
    pub(super) fn new(state: &ViewState, vhost: &Name) -> Application {
        let of_vhost = state.vhost(vhost);
        let mut exchanges: Vec<_> =
            of_vhost.into_iter().flat_map(|vhost| vhost.exchanges.values().copied()).collect();
        let mut queues: Vec<_> =
            of_vhost.into_iter().flat_map(|vhost| vhost.queues.values().copied()).collect();
        exchanges.sort_unstable_by(|one, other| other.cmp(one));
        queues.sort_unstable_by(|one, other| other.cmp(one));
        Application { vhost: vhost.clone(), exchanges, queues }
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
        let mut matched = 0;
        while matched < MATCHED {
            matched += cost;
            if let Some(id) = self.exchanges.pop() {
                exchanges.extend(state.policies_of_exchange(id).map(|policies| (id, policies)));
            } else if let Some(id) = self.queues.pop() {
                queues.extend(state.policies_of_queue(id).map(|obeyed| (id, obeyed)));
            } else {
                break;
            }
        }
        let names = vhost.policies.take_given_up();
        fx.given_up.extend(names.map(|policy| (self.vhost.clone(), policy)));
        drop(state);
        let mut state = view.write();
        for (id, policies) in exchanges {
            if state.obey_as_exchange(id, policies) {
                view.changed();
            }
        }
        for (id, (policies, settings)) in queues {
            if let Some((at, settings)) = state.obey_as_queue(id, policies, settings) {
                let command = ShardCommand::SetSettings { queue: at.queue, settings: Box::new(settings) };
                fx.to_shards.push((at.shard, command));
            }
        }
        self.exchanges.is_empty() && self.queues.is_empty()
    }
}

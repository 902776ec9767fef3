//! What of the memory of the process is known by what it is for: messages, and what waits for clients or was begun by them. The rest is
//! told as one. Looked up when somebody asks, a question for each thousand queues.

use serde_json::json;

use super::answer::{Answer, Outcome};
use super::call::Call;
use crate::catalog::view::View;
use crate::model::ids::{Name, QueueRef};
use crate::model::question::MOST_ASKED;
use crate::model::settings::QueueType;

pub(super) async fn get(call: &Call<'_>) -> Outcome {
    let _turn = call.context.turns.take(&call.caller.name).await?;
    let administrator = &call.context.administrator;
    let (mut classic, mut quorum) = (0, 0);
    let vhosts: Vec<Name> = call.view().read().vhosts().map(|vhost| vhost.name.clone()).collect();
    for vhost in vhosts {
        let mut last = None;
        loop {
            let (queues, types, end) = queues(call.view(), &vhost, last.as_ref());
            let counts = administrator.counts(&queues).await?;
            for (counts, queue_type) in counts.into_iter().zip(types) {
                let of_type = if queue_type == QueueType::Quorum { &mut quorum } else { &mut classic };
                *of_type += counts.map_or(0, |counts| counts.memory_bytes);
            }
            let Some(end) = end else { break };
            last = Some(end);
        }
    }
    let total = administrator.facts().memory_used();
    let (waiting, begun) = (administrator.unwritten() as u64, administrator.begun() as u64);
    let known = classic + quorum + waiting + begun;
    Ok(Answer::Found(json!({
        "total": total,
        "parts": {
            "classic_queue_messages": classic,
            "quorum_queue_messages": quorum,
            "output_to_clients": waiting,
            "unfinished_publishes": begun,
            // The messages are counted by what they would take each, so the sum may exceed what there is.
            "other": total.saturating_sub(known),
        },
    })))
}

/// The next queues of a vhost, what they are, and the name of the last one; None behind all of them.
fn queues(view: &View, vhost: &Name, last: Option<&Name>) -> (Vec<QueueRef>, Vec<QueueType>, Option<Name>) {
    let state = view.read();
    let names = state.vhost(vhost).into_iter().flat_map(|vhost| vhost.queues_after(last)).take(MOST_ASKED);
    let names: Vec<&Name> = names.collect();
    let found = names.iter().filter_map(|name| state.queue(vhost, name));
    let (queues, types) = found.map(|queue| (queue.at, queue.settings.queue_type)).unzip();
    (queues, types, names.last().map(|&name| name.clone()))
}

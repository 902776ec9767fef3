//! Queues as they are declared, and how much is in them, which their shards say.

use std::vec;

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::json::from_table;
use super::listing::{self, Batches};
use super::listing_body::{Items, Next};
use super::page::Page;
use crate::catalog::policies::Applying;
use crate::catalog::view::{Queue, Vhost, View, ViewState};
use crate::model::ids::{Name, QueueRef};
use crate::model::names::NODE;
use crate::model::question::QueueCounts;
use crate::model::settings::QueueType;

pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let names = |state: &ViewState, vhost: &Vhost, last: Option<&Name>, most| {
        let names = vhost.queues_after(last).take(most);
        names.filter_map(|name| Some((name.clone(), state.queue(&vhost.name, name)?.at))).collect()
    };
    let items = |batches| Counted {
        batches,
        vhost: Name::default(),
        queues: vec![].into_iter(),
        counts: vec![].into_iter(),
    };
    listing::list_batches(call, vhost, Page::read(call.query)?, names, items).await
}

pub(super) async fn get(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    let (at, mut described) = {
        let state = call.view().read();
        let queue = state.queue(&vhost, name).ok_or(Refusal::NotFound)?;
        (queue.at, describe(queue, &vhost, name))
    };
    let counts = call.context.administrator.counts(&[at]).await?;
    let counts = counts.first().copied().flatten().ok_or(Refusal::NotFound)?;
    count(&mut described, counts);
    Ok(Answer::Found(described))
}

/// Queues of which some at a time are asked about.
struct Counted {
    batches: Batches<QueueRef>,
    /// What was asked about last, and what is not listed of it yet.
    vhost: Name,
    queues: vec::IntoIter<(Name, QueueRef)>,
    counts: vec::IntoIter<Option<QueueCounts>>,
}

impl Items for Counted {
    fn next(&mut self, view: &View) -> Next {
        loop {
            let Some(((name, at), counts)) = self.queues.next().zip(self.counts.next()) else {
                let Some((vhost, queues)) = self.batches.next(view) else { return Next::End };
                let asked = queues.iter().map(|&(_, at)| at).collect();
                (self.vhost, self.queues) = (vhost, queues.into_iter());
                return Next::Ask(asked);
            };
            let Some(counts) = counts else { continue };
            let state = view.read();
            // One that was declared anew meanwhile is another one.
            let queue = state.queue(&self.vhost, &name).filter(|queue| queue.at == at);
            if let Some(queue) = queue {
                let mut described = describe(queue, &self.vhost, &name);
                count(&mut described, counts);
                return Next::Item(described);
            }
        }
    }

    fn answered(&mut self, counts: Vec<Option<QueueCounts>>) {
        self.counts = counts.into_iter();
    }
}

fn describe(queue: &Queue, vhost: &str, name: &str) -> Value {
    let mut described = json!({
        "name": name,
        "vhost": vhost,
        "type": queue.settings.queue_type.as_str(),
        "durable": queue.settings.durable,
        "auto_delete": queue.settings.auto_delete,
        "exclusive": queue.exclusive_to.is_some(),
        "arguments": from_table(&queue.arguments.decode()),
        "effective_policy_definition": from_table(&queue.policies.definition),
        "node": NODE,
        "state": "running",
    });
    name_policies(&mut described, &queue.policies);
    described
}

/// Adds how much is in the queue. As in RabbitMQ, dead letters that are kept are told apart where queues of the type may keep
/// them for long, and are in the sum then.
fn count(described: &mut Value, counts: QueueCounts) {
    let QueueCounts { ready, unacked, dead_letters, consumers, ready_bytes, memory_bytes } = counts;
    let is_quorum = described["type"] == QueueType::Quorum.as_str();
    let kept = if is_quorum { dead_letters } else { 0 };
    if is_quorum {
        described["messages_dlx"] = kept.into();
    }
    described["messages"] = (ready + unacked + kept).into();
    described["messages_ready"] = ready.into();
    described["messages_unacknowledged"] = unacked.into();
    described["message_bytes_ready"] = ready_bytes.into();
    described["consumers"] = consumers.into();
    described["memory"] = memory_bytes.into();
}

/// Policies that do not apply are not named.
pub(super) fn name_policies(described: &mut Value, policies: &Applying) {
    for (key, name) in [("policy", &policies.regular), ("operator_policy", &policies.operator)] {
        if let Some(name) = name {
            described[key] = (**name).into();
        }
    }
}

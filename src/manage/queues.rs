//! Queues: how they are declared, and how much is in them, which their shards say.

use std::sync::Arc;
use std::vec;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::listing::{self, Batches, ListingKey};
use super::listing_body::{Items, Next};
use super::of_connections::{Describer, connection_details, delivery};
use super::page::{self, Found, Page};
use super::queue_json::{Content, QueueDescriber, count, declared};
use super::queue_order;
use super::rates::Windows;
use super::samples::Thing;
use super::sort::Sort;
use super::stats;
use crate::catalog::view::{Vhost, View, ViewState};
use crate::model::ids::{ConnectionId, ConsumerKey, ConsumerNumber, Name, QueueRef};
use crate::model::names::NODE;
use crate::model::question::{
    ConnectionAnswer, ConnectionQuestion, ConsumerDescription, QueueConsumers, QueueCounts,
};
use crate::model::settings::QueueType;

pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let names = |state: &ViewState, vhost: &Vhost, last: Option<&Name>, most| {
        let names = vhost.queues_after(last).take(most);
        names.filter_map(|name| Some((name.clone(), state.queue(&vhost.name, name)?.at))).collect()
    };
    let query = call.query.unwrap_or_default();
    let is_true = |name| page::value(query, name).flatten().as_deref() == Some("true");
    let content = match (is_true("disable_stats"), is_true("enable_queue_totals")) {
        (false, _) => Content::All,
        (true, true) => Content::Lengths,
        (true, false) => Content::Nothing,
    };
    let (samples, windows) = (Arc::clone(&call.context.samples), Windows::read(call.query));
    let now = call.context.administrator.facts().now();
    let describer = QueueDescriber { samples, windows, now, content };
    let (turn, mut batches) = listing::batches(call, vhost, names).await?;
    let page = Page::read(call.query)?;
    let found = if let Some(sort) = Sort::read(call.query) {
        let found;
        (found, batches) = queue_order::arrange(call, page.as_ref(), batches, &sort, &describer).await?;
        found
    } else if let Some(page) = &page {
        let found;
        (found, batches) = listing::on_page(call, page, batches).await?;
        found
    } else {
        Found::default()
    };
    let items = Counted { batches, queues: vec![].into_iter(), counts: vec![].into_iter(), describer };
    listing::begin_in_order(call, turn, Box::new(items), page.map(|page| (page, found))).await
}

pub(super) async fn get(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    let (at, owner, is_single, mut described) = {
        let state = call.view().read();
        let queue = state.queue(&vhost, name).ok_or(Refusal::NotFound)?;
        let is_single = queue.settings.single_active_consumer;
        (queue.at, queue.exclusive_to, is_single, declared(queue, &vhost, name))
    };
    let administrator = &call.context.administrator;
    let counts = administrator.counts(&[at]).await?;
    let counts = counts.first().copied().flatten().ok_or(Refusal::NotFound)?;
    let consumers = administrator.consumers(at).await?.ok_or(Refusal::NotFound)?;
    let windows = Windows::read(call.query);
    count(
        &mut described,
        (Thing::Queue(at), administrator.facts().now()),
        &counts,
        &call.context.samples,
        &windows,
    );
    let described_consumers = describe_consumers(call, &consumers).await?;
    let only = described_consumers.iter().find(|(key, _)| Some(*key) == consumers.active);
    let is_quorum = described["type"] == QueueType::Quorum.as_str();
    let no_tag = if is_quorum { Value::from("") } else { Value::Null };
    let tag = only.filter(|_| is_single).map_or(no_tag, |(_, consumer)| Value::from(&*consumer.tag));
    described.insert("single_active_consumer_tag".to_owned(), tag);
    if is_quorum {
        let by_priority =
            consumers.by_priority.iter().map(|(priority, count)| (priority.to_string(), (*count).into()));
        described.insert("messages_by_priority".to_owned(), Value::Object(by_priority.collect()));
    } else {
        let exclusive = described_consumers.iter().find(|(_, consumer)| consumer.exclusive);
        let tag = exclusive.map_or(Value::Null, |(_, consumer)| Value::from(&*consumer.tag));
        described.insert("exclusive_consumer_tag".to_owned(), tag);
    }
    described.insert("garbage_collection".to_owned(), stats::no_garbage_collection());
    described.insert("incoming".to_owned(), json!([]));
    // A listing says nothing of policies that do not apply, a single queue that there are none.
    for key in ["policy", "operator_policy"] {
        described.entry(key).or_insert(Value::Null);
    }
    tell_consumers(call, &mut described, &described_consumers, consumers.active.filter(|_| is_single));
    if let Some(client) = owner.and_then(|owner| call.clients().get(owner)) {
        described.insert("owner_pid_details".to_owned(), connection_details(&client));
    }
    Ok(Answer::Found(Value::Object(described)))
}

/// A quorum queue's one member. There is no Raft, so whatever counts the entries of its log is 0.
pub(super) async fn quorum_status(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    let queue_type = {
        let state = call.view().read();
        state.queue(&vhost, name).ok_or(Refusal::NotFound)?.settings.queue_type
    };
    if queue_type != QueueType::Quorum {
        let reason = format!("{}_queue_not_supported", queue_type.as_str());
        return Err(Refusal::Unwell(json!({"status": "failed", "reason": reason})));
    }
    Ok(Answer::Found(json!([{
        "Node Name": NODE,
        "Raft State": "leader",
        "Membership": "voter",
        "Last Log Index": 0,
        "Last Written": 0,
        "Last Applied": 0,
        "Commit Index": 0,
        "Snapshot Index": 0,
        "Term": 0,
        "Machine Version": 0,
    }])))
}

/// What their connections say of consumers; of those that have gone meanwhile nothing is told.
async fn describe_consumers(
    call: &Call<'_>,
    consumers: &QueueConsumers,
) -> Result<Vec<(ConsumerKey, ConsumerDescription)>, Refusal> {
    let mut asked: Vec<(ConnectionId, Vec<ConsumerNumber>)> = Vec::new();
    for key in &consumers.keys {
        match asked.last_mut() {
            Some((connection, numbers)) if *connection == key.connection => numbers.push(key.number),
            _ => asked.push((key.connection, vec![key.number])),
        }
    }
    let connections: Vec<ConnectionId> = asked.iter().map(|(connection, _)| *connection).collect();
    let questions = asked
        .into_iter()
        .map(|(connection, numbers)| (connection, ConnectionQuestion::TheseConsumers(numbers)))
        .collect();
    let answers = call.context.administrator.ask_connections(questions).await?;
    let mut found = Vec::new();
    for (connection, answer) in connections.into_iter().zip(answers) {
        let Some(ConnectionAnswer::Consumers { consumers, .. }) = answer else { continue };
        found.extend(
            consumers
                .into_iter()
                .map(|consumer| (ConsumerKey { connection, number: consumer.number }, consumer)),
        );
    }
    Ok(found)
}

fn tell_consumers(
    call: &Call<'_>,
    described: &mut Map<String, Value>,
    consumers: &[(ConsumerKey, ConsumerDescription)],
    active: Option<ConsumerKey>,
) {
    let describer = Describer::of(call);
    let (mut details, mut deliveries) = (Vec::new(), Vec::new());
    for (key, consumer) in consumers {
        let Some(client) = call.clients().get(key.connection) else { continue };
        let mut consumer_details = describer.consumer(key.connection, &client, consumer, active);
        let channel_details = consumer_details["channel_details"].clone();
        // The name that the client called the queue by may be an abbreviation of its own.
        consumer_details["queue"]["name"] = described["name"].clone();
        details.push(consumer_details);
        deliveries.push(delivery(consumer, &client.vhost, json!({"channel_details": channel_details})));
    }
    described.insert("consumer_details".to_owned(), Value::Array(details));
    described.insert("deliveries".to_owned(), Value::Array(deliveries));
}

/// Queues of which some at a time are asked about.
struct Counted {
    batches: Batches<QueueRef>,
    /// What was asked about last, and what is not listed of it yet.
    queues: vec::IntoIter<(ListingKey, QueueRef)>,
    counts: vec::IntoIter<Option<QueueCounts>>,
    describer: QueueDescriber,
}

impl Items for Counted {
    fn next(&mut self, view: &View) -> Next {
        loop {
            let Some(((key, at), counts)) = self.queues.next().zip(self.counts.next()) else {
                let Some(queues) = self.batches.next(view) else { return Next::End };
                let asked = queues.iter().map(|&(_, at)| at).collect();
                self.queues = queues.into_iter();
                return Next::Ask(asked);
            };
            let Some(counts) = counts else { continue };
            if let Some(described) = self.describer.describe(view, &key, at, &counts) {
                return Next::Item(described);
            }
        }
    }

    fn answered(&mut self, counts: Vec<Option<QueueCounts>>) {
        self.counts = counts.into_iter();
    }
}

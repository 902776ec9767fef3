//! Channels and consumers, which their connections tell of.

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::auth::Right;
use super::call::Call;
use super::connections;
use super::listing;
use super::of_connections::{Describer, Kind, OfConnections, by_exchange_and_queue};
use crate::model::ids::{ChannelNumber, ConnectionId, ConsumerKey, Name};
use crate::model::question::{ChannelCounts, ConnectionAnswer, ConnectionQuestion, ConsumerDescription};

/// Those of the caller's connections, to one vhost or to all; who monitors sees those of others, too.
pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    list_of(call, Kind::Channels, connections::seen(call, vhost)?).await
}

/// All consumers, of one vhost or of all that the caller sees.
pub(super) async fn consumers(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let vhost = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let seen: Vec<Name> = {
        let state = call.view().read();
        let seen = state.vhosts().filter(|vhost| call.caller.sees(vhost));
        seen.map(|vhost| vhost.name.clone()).collect()
    };
    let those = call.clients().those(|client| match &vhost {
        Some(vhost) => client.vhost == *vhost,
        None => seen.contains(&client.vhost),
    });
    list_of(call, Kind::Consumers, those).await
}

/// Those of a connection.
pub(super) async fn of_connection(call: &Call<'_>, name: &str) -> Outcome {
    let (id, client) = connections::find(call, name)?;
    call.caller.check(Right::Monitor(&client.user))?;
    list_of(call, Kind::Channels, vec![id]).await
}

async fn list_of(call: &Call<'_>, kind: Kind, connections: Vec<ConnectionId>) -> Outcome {
    let items = Box::new(OfConnections::new(Describer::of(call), kind, connections));
    match kind {
        // As in RabbitMQ, consumers come without pages.
        Kind::Consumers => listing::list_items(call, items, None).await,
        _ => listing::list_paged_items(call, items).await,
    }
}

pub(super) async fn get(call: &Call<'_>, name: &str) -> Outcome {
    let (connection, number) = split(name).ok_or(Refusal::NotFound)?;
    let (id, client) = connections::find(call, connection)?;
    call.caller.check(Right::Monitor(&client.user))?;
    let channel = ask(call, id, number).await?.ok_or(Refusal::NotFound)?;
    let consumers = consumers_of(call, id, number).await?;
    let describer = Describer::of(call);
    let mut described = describer.channel(id, &client, &channel);
    let (publishes, deliveries) = by_exchange_and_queue(&channel, &client.vhost, &consumers);
    let mut details = Vec::with_capacity(consumers.len());
    let queues: Vec<_> = consumers.iter().filter_map(|consumer| consumer.queue).collect();
    let mut counts = call.context.administrator.counts(&queues).await?.into_iter();
    for consumer in &consumers {
        let queue = consumer.queue.and_then(|_| counts.next().flatten());
        details.push(describer.consumer(id, &client, consumer, queue.and_then(|queue| queue.active)));
    }
    described["publishes"] = publishes;
    described["deliveries"] = deliveries;
    described["consumer_details"] = Value::Array(details);
    Ok(Answer::Found(described))
}

/// `CLIENT -> SERVER (NUMBER)`.
fn split(name: &str) -> Option<(&str, ChannelNumber)> {
    let (connection, number) = name.strip_suffix(')')?.rsplit_once(" (")?;
    Some((connection, number.parse().ok()?))
}

async fn ask(
    call: &Call<'_>,
    id: ConnectionId,
    number: ChannelNumber,
) -> Result<Option<ChannelCounts>, Refusal> {
    let question = ConnectionQuestion::Channels { after: number.checked_sub(1) };
    let mut answers = call.context.administrator.ask_connections(vec![(id, question)]).await?;
    let Some(Some(ConnectionAnswer::Channels { channels, .. })) = answers.pop() else { return Ok(None) };
    Ok(channels.into_iter().next().filter(|channel| channel.number == number))
}

/// As many of them as one answer has room for.
async fn consumers_of(
    call: &Call<'_>,
    id: ConnectionId,
    number: ChannelNumber,
) -> Result<Vec<ConsumerDescription>, Refusal> {
    let question = ConnectionQuestion::Consumers { of: Some(number), after: None };
    let mut answers = call.context.administrator.ask_connections(vec![(id, question)]).await?;
    match answers.pop() {
        Some(Some(ConnectionAnswer::Consumers { consumers, .. })) => Ok(consumers),
        _ => Ok(Vec::new()),
    }
}

/// Takes a consumer from its queue, and its client is told. Direct replies have none.
pub(super) async fn cancel_consumer(call: &Call<'_>, channel: &str, tag: &str) -> Outcome {
    let (connection, number) = split(channel).ok_or(Refusal::NotFound)?;
    let (id, _) = connections::find(call, connection)?;
    let mut after = None;
    loop {
        let question = ConnectionQuestion::Consumers { of: Some(number), after };
        let mut answers = call.context.administrator.ask_connections(vec![(id, question)]).await?;
        let Some(Some(ConnectionAnswer::Consumers { consumers, is_all })) = answers.pop() else {
            return Err(Refusal::NotFound);
        };
        if let Some(consumer) = consumers.iter().find(|consumer| *consumer.tag == *tag) {
            let queue = consumer.queue.ok_or_else(|| {
                Refusal::bad(
                    "this consumer takes direct replies, and has no queue that it could be taken from",
                )
            })?;
            let key = ConsumerKey { connection: id, number: consumer.number };
            call.context.administrator.cancel_consumer(queue, key);
            return Ok(Answer::Done);
        }
        after = consumers.last().filter(|_| !is_all).map(|last| (last.channel, last.tag.clone()));
        if after.is_none() {
            return Err(Refusal::NotFound);
        }
    }
}

/// Sessions are of AMQP 1.0.
pub(super) async fn sessions(call: &Call<'_>, name: &str) -> Outcome {
    connections::find(call, name)?;
    Err(Refusal::Bad(json!("connection does not use AMQP 1.0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_named_by_its_connection_and_its_number() {
        assert_eq!(split("a:1 -> b:2 (7)"), Some(("a:1 -> b:2", 7)));
        for name in ["", "a:1 -> b:2", "a (x)", "a(1)", "a (70000)"] {
            assert_eq!(split(name), None, "{name}");
        }
    }
}

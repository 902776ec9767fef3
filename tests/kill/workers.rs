//! Publishers that wait for confirms, consumers that ack within transactions (so that they know which acks are
//! committed), and the drain at the end. Each works until its connection breaks, which is what a kill looks like.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_lite::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::task::JoinSet;

use super::ledger::Ledger;

/// Confirms a publisher waits for at the most: few, so that consumers keep up and are killed in the middle of fresh
/// deliveries, not of a backlog.
const UNCONFIRMED: usize = 10;
/// Deliveries per transaction of a consumer.
const ACKS_PER_COMMIT: usize = 50;
const PREFETCH: u16 = 300;

fn queue_name(queue: u32) -> String {
    format!("kill-{queue}")
}

/// Declares the queues: durable ones.
pub(crate) async fn declare(uri: &str, queues: u32) {
    let channel = channel(uri).await.expect("the broker takes connections");
    for queue in 0..queues {
        channel
            .queue_declare(
                queue_name(queue).as_str().into(),
                QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() },
                FieldTable::default(),
            )
            .await
            .expect("a durable queue can be declared");
    }
}

/// Everybody who works during one life of the broker.
pub(crate) struct Crew {
    workers: JoinSet<()>,
}

impl Crew {
    pub(crate) async fn start(uri: &str, ledger: &Arc<Ledger>, publishers: u32, queues: u32) -> Crew {
        let mut workers = JoinSet::new();
        for publisher in 0..publishers {
            let (uri, ledger) = (uri.to_owned(), Arc::clone(ledger));
            workers.spawn(async move {
                // Every error is the kill.
                let _ = publish(&uri, &ledger, publisher, queues).await;
            });
        }
        for queue in 0..queues {
            let (uri, ledger) = (uri.to_owned(), Arc::clone(ledger));
            workers.spawn(async move {
                let _ = consume(&uri, &ledger, queue).await;
            });
        }
        Crew { workers }
    }

    /// Sends everybody home after the kill. A confirm that was on its way to a worker is not counted, which only
    /// makes the promise smaller.
    pub(crate) async fn end(mut self) {
        self.workers.shutdown().await;
    }
}

async fn channel(uri: &str) -> lapin::Result<Channel> {
    Connection::connect(uri, ConnectionProperties::default()).await?.create_channel().await
}

async fn publish(uri: &str, ledger: &Ledger, publisher: u32, queues: u32) -> lapin::Result<()> {
    let channel = channel(uri).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut unconfirmed = VecDeque::new();
    for round in 0u64.. {
        let queue = u32::try_from(round % u64::from(queues)).unwrap_or(0);
        let name = ledger.publish(publisher, queue);
        let confirm = channel
            .basic_publish(
                "".into(),
                queue_name(queue).as_str().into(),
                BasicPublishOptions::default(),
                &name.encode(),
                BasicProperties::default().with_delivery_mode(2),
            )
            .await?;
        unconfirmed.push_back((name, confirm));
        if unconfirmed.len() >= UNCONFIRMED
            && let Some((name, confirm)) = unconfirmed.pop_front()
            && matches!(confirm.await?, Confirmation::Ack(_))
        {
            ledger.confirm(name);
        }
    }
    Ok(())
}

async fn consume(uri: &str, ledger: &Ledger, queue: u32) -> lapin::Result<()> {
    let channel = channel(uri).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    channel.tx_select().await?;
    let mut consumer = channel
        .basic_consume(
            queue_name(queue).as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let mut in_transaction = Vec::new();
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let Some(name) = ledger.deliver(queue, &delivery.data, delivery.redelivered) else { continue };
        in_transaction.push(name);
        if in_transaction.len() >= ACKS_PER_COMMIT {
            in_transaction.iter().for_each(|name| ledger.ack(*name));
            delivery.ack(BasicAckOptions { multiple: true }).await?;
            channel.tx_commit().await?;
            in_transaction.drain(..).for_each(|name| ledger.commit_ack(name));
        }
    }
    Ok(())
}

/// Takes and acks all that is left.
pub(crate) async fn drain(uri: &str, ledger: &Ledger, queues: u32) {
    let channel = channel(uri).await.expect("the broker takes connections");
    for queue in 0..queues {
        while let Some(message) = channel
            .basic_get(queue_name(queue).as_str().into(), BasicGetOptions::default())
            .await
            .expect("the queue is there")
        {
            if let Some(name) = ledger.deliver(queue, &message.delivery.data, message.delivery.redelivered) {
                ledger.ack(name);
            }
            message.delivery.ack(BasicAckOptions::default()).await.expect("the broker is there");
        }
    }
}

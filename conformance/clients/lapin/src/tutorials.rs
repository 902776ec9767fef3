//! The flows of the RabbitMQ tutorials.

use anyhow::{Context, Result, ensure};
use lapin::options::{BasicAckOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer, ExchangeKind};

use crate::scope::{
    Scope, bind, bodies, consume, expect_empty, next, publish, send, table, take, temporary_queue, text,
};

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

pub async fn hello_world(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let queue = scope.queue(&channel, "hello", table([("x-queue-type", text("quorum"))])).await?;
    send(&channel, "", &queue, "Hello World!").await?;
    ensure!(bodies(&take(&scope.channel().await?, &queue, 1).await?) == ["Hello World!"]);
    Ok(())
}

pub async fn work_queues(scope: &Scope) -> Result<()> {
    let sender = scope.channel().await?;
    let queue = scope.queue(&sender, "task_queue", FieldTable::default()).await?;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let channel = scope.channel().await?;
        channel.basic_qos(1, BasicQosOptions::default()).await?;
        workers.push(consume(&channel, &queue, false).await?);
    }
    for number in 0..10 {
        publish(&sender, "", &queue, number.to_string().as_bytes(), persistent()).await?;
    }
    let mut done = Vec::new();
    for _ in 0..5 {
        for worker in &mut workers {
            let task = next(worker).await?;
            task.acker.ack(BasicAckOptions::default()).await?;
            done.extend(bodies(&[task]));
        }
    }
    done.sort();
    ensure!(done == (0..10).map(|number| number.to_string()).collect::<Vec<_>>(), "finished: {done:?}");
    Ok(())
}

pub async fn publish_subscribe(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let exchange = scope.exchange(&channel, "logs", ExchangeKind::Fanout).await?;
    let queues = [temporary_queue(&channel).await?, temporary_queue(&channel).await?];
    for queue in &queues {
        bind(&channel, queue, &exchange, "", FieldTable::default()).await?;
    }
    send(&channel, &exchange, "", "info").await?;
    for queue in &queues {
        ensure!(bodies(&take(&channel, queue, 1).await?) == ["info"]);
    }
    Ok(())
}

pub async fn routing(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let exchange = scope.exchange(&channel, "direct_logs", ExchangeKind::Direct).await?;
    let errors = temporary_queue(&channel).await?;
    bind(&channel, &errors, &exchange, "error", FieldTable::default()).await?;
    for severity in ["info", "error", "debug"] {
        send(&channel, &exchange, severity, severity).await?;
    }
    ensure!(bodies(&take(&channel, &errors, 1).await?) == ["error"]);
    expect_empty(&channel, &errors).await
}

pub async fn topics(scope: &Scope) -> Result<()> {
    const KEYS: [&str; 3] = ["kern.critical", "kern.info.disk", "auth.critical"];
    let channel = scope.channel().await?;
    let exchange = scope.exchange(&channel, "topic_logs", ExchangeKind::Topic).await?;
    let patterns: [(&str, &[&str]); 4] =
        [("#", &KEYS), ("kern.*", &KEYS[..1]), ("kern.#", &KEYS[..2]), ("auth.#", &KEYS[2..])];
    let mut queues = Vec::new();
    for (pattern, wanted) in patterns {
        let queue = temporary_queue(&channel).await?;
        bind(&channel, &queue, &exchange, pattern, FieldTable::default()).await?;
        queues.push((queue, wanted));
    }
    for key in KEYS {
        send(&channel, &exchange, key, key).await?;
    }
    for (queue, wanted) in queues {
        ensure!(bodies(&take(&channel, &queue, wanted.len()).await?) == wanted);
        expect_empty(&channel, &queue).await?;
    }
    Ok(())
}

async fn answer(server: &Channel, requests: &mut Consumer) -> Result<()> {
    let request = next(requests).await?;
    let reply_to = request.properties.reply_to().as_ref().context("a request without reply-to")?.to_string();
    let correlation =
        request.properties.correlation_id().clone().context("a request without correlation-id")?;
    let doubled = [request.data.as_slice(), request.data.as_slice()].concat();
    publish(server, "", &reply_to, &doubled, BasicProperties::default().with_correlation_id(correlation))
        .await?;
    Ok(request.acker.ack(BasicAckOptions::default()).await.map(|_| ())?)
}

pub async fn rpc(scope: &Scope) -> Result<()> {
    let (server, client) = (scope.channel().await?, scope.channel().await?);
    let queue = scope.queue(&server, "rpc_queue", FieldTable::default()).await?;
    let mut requests = consume(&server, &queue, false).await?;
    let replies = temporary_queue(&client).await?;
    let mut answers = consume(&client, &replies, true).await?;
    for call in ["a", "b"] {
        let properties = BasicProperties::default()
            .with_reply_to(replies.as_str().into())
            .with_correlation_id(call.into());
        publish(&client, "", &queue, call.as_bytes(), properties).await?;
        answer(&server, &mut requests).await?;
        let reply = next(&mut answers).await?;
        ensure!(reply.properties.correlation_id().as_ref().is_some_and(|id| id.as_str() == call));
        ensure!(bodies(&[reply]) == [call.repeat(2)]);
    }
    Ok(())
}

pub async fn publisher_confirms(scope: &Scope) -> Result<()> {
    let channel = scope.confirm_channel().await?;
    let queue = scope.queue(&channel, "confirmed", FieldTable::default()).await?;
    let wanted: Vec<_> = (0..500).map(|number: u32| number.to_string()).collect();
    let mut pending = Vec::new();
    for body in &wanted {
        let confirm = channel.basic_publish(
            "".into(),
            queue.as_str().into(),
            Default::default(),
            body.as_bytes(),
            persistent(),
        );
        pending.push(confirm.await?);
    }
    for confirm in pending {
        ensure!(confirm.await?.is_ack(), "a message was not confirmed");
    }
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let state = channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await?;
    ensure!(state.message_count() == 500, "{} messages after the confirms", state.message_count());
    ensure!(bodies(&take(&channel, &queue, 500).await?) == wanted, "the order changed");
    Ok(())
}

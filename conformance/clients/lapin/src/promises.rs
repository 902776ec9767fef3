//! What applications rely on beyond the tutorials: settling, errors and recovery, limits, and messages unchanged.

use anyhow::{Context, Result, ensure};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions,
    BasicQosOptions, ExchangeBindOptions, ExchangeUnbindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation, ConnectionProperties, ExchangeKind};

use crate::scope::{
    Scope, bind, bodies, consume, expect_empty, expect_refused, is_silent, next, publish, send, table, take,
    temporary_queue, text,
};

const PASSIVE: QueueDeclareOptions = QueueDeclareOptions {
    passive: true,
    durable: false,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

pub async fn connect_properties(scope: &Scope) -> Result<()> {
    let properties = ConnectionProperties::default()
        .with_connection_name(scope.name("connection").as_str().into())
        .with_client_property("answer".into(), "42".into());
    let channel = scope.connect(properties).await?;
    ensure!(channel.status().connected());
    Ok(())
}

pub async fn mandatory_return(scope: &Scope) -> Result<()> {
    let channel = scope.confirm_channel().await?;
    let exchange = scope.exchange(&channel, "no_bindings", ExchangeKind::Direct).await?;
    let confirmation = publish(&channel, &exchange, "nowhere", b"lost", BasicProperties::default()).await?;
    let Confirmation::Ack(Some(returned)) = confirmation else {
        anyhow::bail!("no return: {confirmation:?}")
    };
    ensure!((returned.reply_code, returned.reply_text.as_str()) == (312, "NO_ROUTE"));
    ensure!(returned.delivery.data == b"lost" && returned.delivery.routing_key.as_str() == "nowhere");
    Ok(())
}

pub async fn confirm_nack(scope: &Scope) -> Result<()> {
    let channel = scope.confirm_channel().await?;
    let limits = table([("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))]);
    let queue = scope.queue(&channel, "full", limits).await?;
    ensure!(publish(&channel, "", &queue, b"fits", BasicProperties::default()).await?.is_ack());
    ensure!(publish(&channel, "", &queue, b"too much", BasicProperties::default()).await?.is_nack());
    ensure!(bodies(&take(&channel, &queue, 1).await?) == ["fits"]);
    Ok(())
}

pub async fn prefetch(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let queue = scope.queue(&channel, "prefetch", FieldTable::default()).await?;
    for number in 0..10 {
        send(&channel, "", &queue, &number.to_string()).await?;
    }
    channel.basic_qos(3, BasicQosOptions::default()).await?;
    let mut consumer = consume(&channel, &queue, false).await?;
    for tag in 1..=3 {
        ensure!(next(&mut consumer).await?.delivery_tag == tag);
    }
    ensure!(is_silent(&mut consumer).await, "a delivery beyond the prefetch");
    channel.basic_ack(2, BasicAckOptions { multiple: true }).await?;
    for tag in 4..=5 {
        ensure!(next(&mut consumer).await?.delivery_tag == tag);
    }
    ensure!(is_silent(&mut consumer).await, "a delivery beyond two acks");
    Ok(())
}

/// The first entry of a dead letter's x-death.
fn first_death(properties: &BasicProperties) -> Result<FieldTable> {
    let headers = properties.headers().as_ref().context("no headers")?;
    let deaths = headers.inner().get("x-death").context("no x-death")?;
    let AMQPValue::FieldArray(deaths) = deaths else { anyhow::bail!("x-death is {deaths:?}") };
    ensure!(deaths.as_slice().len() == 1, "{} deaths", deaths.as_slice().len());
    match deaths.as_slice() {
        [AMQPValue::FieldTable(death)] => Ok(death.clone()),
        other => anyhow::bail!("x-death holds {other:?}"),
    }
}

fn field<'a>(table: &'a FieldTable, name: &str) -> Option<&'a AMQPValue> {
    table.inner().get(name)
}

pub async fn dead_letter_rejected(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let exchange = scope.exchange(&channel, "dlx", ExchangeKind::Fanout).await?;
    let dead = scope.queue(&channel, "dead", FieldTable::default()).await?;
    bind(&channel, &dead, &exchange, "", FieldTable::default()).await?;
    let queue = scope.queue(&channel, "source", table([("x-dead-letter-exchange", text(&exchange))])).await?;
    send(&channel, "", &queue, "bad").await?;
    let message =
        channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await?.context("nothing")?;
    message.delivery.acker.nack(BasicNackOptions::default()).await?;
    let died = take(&channel, &dead, 1).await?;
    let death = first_death(&died.first().context("nothing")?.properties)?;
    ensure!(field(&death, "count") == Some(&AMQPValue::LongLongInt(1)), "{death:?}");
    ensure!(field(&death, "reason") == Some(&text("rejected")), "{death:?}");
    ensure!(field(&death, "queue") == Some(&text(&queue)), "{death:?}");
    ensure!(matches!(field(&death, "time"), Some(AMQPValue::Timestamp(_))), "{death:?}");
    Ok(())
}

pub async fn channel_recovery(scope: &Scope) -> Result<()> {
    let broken = scope.channel().await?;
    let missing = scope.name("missing");
    let refused = broken.queue_declare(missing.as_str().into(), PASSIVE, FieldTable::default()).await;
    expect_refused(refused, 404, &format!("NOT_FOUND - no queue '{missing}' in vhost '/'"))?;
    let channel = scope.second_channel().await?;
    let queue = scope.queue(&channel, "after", FieldTable::default()).await?;
    send(&channel, "", &queue, "still here").await?;
    ensure!(bodies(&take(&channel, &queue, 1).await?) == ["still here"]);
    Ok(())
}

pub async fn connection_recovery(scope: &Scope) -> Result<()> {
    let channel = scope.confirm_channel().await?;
    let queue = scope.queue(&channel, "survivor", FieldTable::default()).await?;
    let properties = BasicProperties::default().with_delivery_mode(2);
    ensure!(publish(&channel, "", &queue, b"kept", properties).await?.is_ack());
    let mut consumer = consume(&channel, &queue, false).await?;
    ensure!(!next(&mut consumer).await?.redelivered);
    let options = BasicPublishOptions { immediate: true, ..BasicPublishOptions::default() };
    let confirm = channel
        .basic_publish("".into(), queue.as_str().into(), options, b"immediate", BasicProperties::default())
        .await?;
    expect_refused(confirm.await, 540, "NOT_IMPLEMENTED - immediate=true")?;
    let again = take(&scope.channel().await?, &queue, 1).await?;
    ensure!(bodies(&again) == ["kept"] && again.iter().all(|delivery| delivery.redelivered));
    Ok(())
}

pub async fn direct_reply_to(scope: &Scope) -> Result<()> {
    let (server, client) = (scope.channel().await?, scope.channel().await?);
    let requests = scope.queue(&server, "requests", FieldTable::default()).await?;
    let mut answers = consume(&client, DIRECT_REPLY_TO, true).await?;
    let call =
        BasicProperties::default().with_reply_to(DIRECT_REPLY_TO.into()).with_correlation_id("c-1".into());
    publish(&client, "", &requests, b"ping", call).await?;
    let request = take(&server, &requests, 1).await?;
    let reply_to =
        request.first().and_then(|one| one.properties.reply_to().clone()).context("no reply-to")?;
    ensure!(reply_to.as_str().starts_with("amq.rabbitmq.reply-to."), "reply-to is {reply_to}");
    publish(
        &server,
        "",
        reply_to.as_str(),
        b"pong",
        BasicProperties::default().with_correlation_id("c-1".into()),
    )
    .await?;
    let answer = next(&mut answers).await?;
    ensure!(
        answer.data == b"pong"
            && answer.properties.correlation_id().as_ref().is_some_and(|id| id.as_str() == "c-1")
    );
    Ok(())
}

pub async fn large_message(scope: &Scope) -> Result<()> {
    let channel = scope.confirm_channel().await?;
    let queue = scope.queue(&channel, "large", FieldTable::default()).await?;
    let body: Vec<u8> =
        (0..1_u32 << 20).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    ensure!(
        publish(&channel, "", &queue, &body, BasicProperties::default().with_delivery_mode(2))
            .await?
            .is_ack()
    );
    ensure!(publish(&channel, "", &queue, b"", BasicProperties::default()).await?.is_ack());
    let received = take(&channel, &queue, 2).await?;
    ensure!(received.iter().map(|delivery| delivery.data.len()).eq([1 << 20, 0]), "lengths");
    ensure!(received.first().is_some_and(|delivery| delivery.data == body), "the body of 1 MiB changed");
    Ok(())
}

pub async fn transaction(scope: &Scope) -> Result<()> {
    let (channel, other) = (scope.channel().await?, scope.channel().await?);
    let queue = scope.queue(&channel, "tx", FieldTable::default()).await?;
    channel.tx_select().await?;
    send(&channel, "", &queue, "rolled back").await?;
    channel.tx_rollback().await?;
    send(&channel, "", &queue, "committed").await?;
    expect_empty(&other, &queue).await?;
    channel.tx_commit().await?;
    ensure!(bodies(&take(&other, &queue, 1).await?) == ["committed"]);
    expect_empty(&other, &queue).await
}

pub async fn headers_exchange(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let exchange = scope.exchange(&channel, "headers", ExchangeKind::Headers).await?;
    let (both, either) = (temporary_queue(&channel).await?, temporary_queue(&channel).await?);
    for (queue, how) in [(&both, "all"), (&either, "any")] {
        let arguments =
            table([("x-match", text(how)), ("format", text("pdf")), ("pages", AMQPValue::LongInt(3))]);
        bind(&channel, queue, &exchange, "", arguments).await?;
    }
    for (body, format, pages) in [("both", "pdf", 3), ("format", "pdf", 4), ("none", "zip", 4)] {
        let headers = table([("format", text(format)), ("pages", AMQPValue::LongInt(pages))]);
        let properties = BasicProperties::default().with_headers(headers);
        publish(&channel, &exchange, "", body.as_bytes(), properties).await?;
    }
    ensure!(bodies(&take(&channel, &both, 1).await?) == ["both"]);
    ensure!(bodies(&take(&channel, &either, 2).await?) == ["both", "format"]);
    expect_empty(&channel, &both).await
}

pub async fn exchange_binding(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let source = scope.exchange(&channel, "source", ExchangeKind::Topic).await?;
    let destination = scope.exchange(&channel, "destination", ExchangeKind::Fanout).await?;
    let queue = temporary_queue(&channel).await?;
    bind(&channel, &queue, &destination, "", FieldTable::default()).await?;
    let (to, from): (ShortString, ShortString) = (destination.as_str().into(), source.as_str().into());
    let (bind, unbind) = (ExchangeBindOptions::default(), ExchangeUnbindOptions::default());
    channel.exchange_bind(to.clone(), from.clone(), "a.#".into(), bind, FieldTable::default()).await?;
    send(&channel, &source, "a.b", "through").await?;
    send(&channel, &source, "b.a", "not").await?;
    ensure!(bodies(&take(&channel, &queue, 1).await?) == ["through"]);
    channel.exchange_unbind(to, from, "a.#".into(), unbind, FieldTable::default()).await?;
    send(&channel, &source, "a.b", "unbound").await?;
    expect_empty(&channel, &queue).await
}

pub async fn ttl_dead_letter(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let dead = scope.queue(&channel, "dead", FieldTable::default()).await?;
    let arguments = table([("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(&dead))]);
    let queue = scope.queue(&channel, "ttl", arguments).await?;
    publish(&channel, "", &queue, b"late", BasicProperties::default().with_expiration("50".into())).await?;
    let died = take(&channel, &dead, 1).await?;
    let properties = &died.first().context("nothing")?.properties;
    let death = first_death(properties)?;
    ensure!(field(&death, "reason") == Some(&text("expired")), "{death:?}");
    ensure!(field(&death, "original-expiration") == Some(&text("50")), "{death:?}");
    ensure!(properties.expiration().is_none(), "a dead letter with an expiration");
    Ok(())
}

pub async fn priority_queue(scope: &Scope) -> Result<()> {
    let channel = scope.confirm_channel().await?;
    let queue =
        scope.queue(&channel, "priority", table([("x-max-priority", AMQPValue::LongInt(10))])).await?;
    for priority in [1, 5, 0, 10, 5, 200_u8] {
        let properties = BasicProperties::default().with_priority(priority);
        publish(&channel, "", &queue, priority.to_string().as_bytes(), properties).await?;
    }
    ensure!(bodies(&take(&channel, &queue, 6).await?) == ["10", "200", "5", "5", "1", "0"]);
    Ok(())
}

pub async fn exclusive_queue(scope: &Scope) -> Result<()> {
    let owner = scope.channel().await?;
    let queue = temporary_queue(&owner).await?;
    let other = scope.channel().await?;
    let refused = other.queue_declare(queue.as_str().into(), PASSIVE, FieldTable::default()).await;
    expect_refused(refused, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue")
}

pub async fn inequivalent_declare(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let queue = scope.queue(&channel, "declared", table([("x-max-length", AMQPValue::LongInt(5))])).await?;
    scope.queue(&channel, "declared", table([("x-max-length", AMQPValue::LongLongInt(5))])).await?;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let arguments = table([("x-max-length", AMQPValue::LongInt(6))]);
    let refused = channel.queue_declare(queue.as_str().into(), options, arguments).await;
    expect_refused(refused, 406, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue")
}

pub async fn consumer_cancel_notify(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let queue = scope.queue(&channel, "doomed", FieldTable::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel
        .basic_consume(queue.as_str().into(), "watcher".into(), options, FieldTable::default())
        .await?;
    let other = scope.channel().await?;
    other.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
    let ended = next(&mut consumer).await;
    ensure!(ended.as_ref().is_err_and(|error| error.to_string().contains("cancelled")), "got {ended:?}");
    Ok(())
}

pub async fn properties_round_trip(scope: &Scope) -> Result<()> {
    let channel = scope.channel().await?;
    let queue = scope.queue(&channel, "properties", FieldTable::default()).await?;
    let list = vec![AMQPValue::LongInt(1), text("two"), AMQPValue::Void];
    let headers = table([
        ("text", text("grüße")),
        ("bytes", AMQPValue::ByteArray(ByteArray::from(vec![0, 255]))),
        ("true", AMQPValue::Boolean(true)),
        ("byte", AMQPValue::ShortShortInt(-3)),
        ("unsigned byte", AMQPValue::ShortShortUInt(200)),
        ("short", AMQPValue::ShortInt(-300)),
        ("unsigned short", AMQPValue::ShortUInt(60_000)),
        ("int", AMQPValue::LongInt(-7)),
        ("unsigned int", AMQPValue::LongUInt(4_000_000_000)),
        ("long", AMQPValue::LongLongInt(1 << 40)),
        ("float", AMQPValue::Float(0.5)),
        ("double", AMQPValue::Double(2.5)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("when", AMQPValue::Timestamp(1_700_000_000)),
        ("nothing", AMQPValue::Void),
        ("array", AMQPValue::FieldArray(FieldArray::from(list))),
        ("table", AMQPValue::FieldTable(table([("deep", AMQPValue::FieldTable(table([("x", text("y"))])))]))),
    ]);
    let sent = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("gzip".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(9)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_expiration("60000".into())
        .with_message_id("id".into())
        .with_timestamp(1_700_000_000)
        .with_type("kind".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());
    publish(&channel, "", &queue, b"x", sent.clone()).await?;
    let received = take(&channel, &queue, 1).await?;
    let found = &received.first().context("nothing")?.properties;
    ensure!(*found == sent, "got {found:?}");
    Ok(())
}

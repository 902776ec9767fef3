//! What applications rely on: work that is shared and settled, errors and recovery, limits, and messages unchanged.

use amqprs::channel::{
    BasicAckArguments, BasicGetArguments, BasicNackArguments, BasicQosArguments, ExchangeBindArguments,
    ExchangeUnbindArguments, QueueBindArguments, QueueDeclareArguments, QueueDeleteArguments,
};
use amqprs::connection::Connection;
use amqprs::security::SecurityCredentials;
use amqprs::{
    BasicProperties, ByteArray, DELIVERY_MODE_PERSISTENT, DecimalValue, FieldArray, FieldTable, FieldValue,
};
use anyhow::{Context, Result, ensure};

use crate::scope::{Event, Scope, bodies, field, table};

const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

fn properties() -> BasicProperties {
    BasicProperties::default()
}

fn persistent() -> BasicProperties {
    properties().with_delivery_mode(DELIVERY_MODE_PERSISTENT).finish()
}

pub async fn connect_properties(scope: &Scope) -> Result<()> {
    let name = scope.name("connection");
    let _line = scope.connect(&scope.arguments()?.heartbeat(30).connection_name(&name).finish()).await?;
    let connection = scope.connection().await?;
    let server = connection.server_properties();
    ensure!(server.product() == "RabbitMQ" && server.version().starts_with("4."), "{server:?}");
    let able = server.capabilities();
    ensure!(able.publisher_confirms() && able.basic_nack() && able.consumer_cancel_notify(), "{able:?}");
    ensure!(
        able.exchange_exchange_bindings() && able.connection_blocked() && able.direct_reply_to(),
        "{able:?}"
    );
    ensure!(connection.heartbeat() == 30 && connection.connection_name() == name);
    ensure!(connection.frame_max() == 131_072 && connection.channel_max() == 2047);
    Ok(())
}

pub async fn wrong_password(scope: &Scope) -> Result<()> {
    let mut arguments = scope.arguments()?;
    arguments.credentials(SecurityCredentials::new_plain(scope.user(), "not the password"));
    ensure!(Connection::open(&arguments).await.is_err(), "a wrong password was accepted");
    Ok(())
}

pub async fn work_queue(scope: &Scope) -> Result<()> {
    let line = scope.confirm_line().await?;
    let queue = scope.queue(&line, "work", FieldTable::new()).await?;
    for number in 1..=100_u64 {
        line.publish("", &queue, number.to_string().as_bytes(), persistent()).await?;
    }
    let mut confirmed = 0;
    while confirmed < 100 {
        match line.event().await? {
            Event::Ack(tag) => confirmed = confirmed.max(tag),
            other => anyhow::bail!("{other:?} in place of a confirm"),
        }
    }
    let wanted: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
    ensure!(bodies(&line.take(&queue, 100).await?) == wanted, "the order changed");
    line.expect_empty(&queue).await
}

pub async fn mandatory_return(scope: &Scope) -> Result<()> {
    let line = scope.confirm_line().await?;
    let exchange = scope.exchange(&line, "no_bindings", "direct").await?;
    line.send(&exchange, "nowhere", "lost").await?;
    let (text, key) = ("NO_ROUTE".to_owned(), "nowhere".to_owned());
    let returned = line.event().await?;
    ensure!(returned == Event::Returned { code: 312, text, key, body: b"lost".to_vec() }, "{returned:?}");
    let confirmed = line.event().await?;
    ensure!(confirmed == Event::Ack(1), "{confirmed:?}");
    Ok(())
}

pub async fn confirm_nack(scope: &Scope) -> Result<()> {
    let line = scope.confirm_line().await?;
    let limits = table([("x-max-length", FieldValue::I(1)), ("x-overflow", "reject-publish".into())])?;
    let queue = scope.queue(&line, "full", limits).await?;
    line.send("", &queue, "fits").await?;
    let first = line.event().await?;
    line.send("", &queue, "too much").await?;
    let second = line.event().await?;
    ensure!((&first, &second) == (&Event::Ack(1), &Event::Nack(2)), "{first:?}, {second:?}");
    ensure!(bodies(&line.take(&queue, 1).await?) == ["fits"]);
    Ok(())
}

pub async fn prefetch(scope: &Scope) -> Result<()> {
    let line = scope.line().await?;
    let queue = scope.queue(&line, "prefetch", FieldTable::new()).await?;
    for number in 0..10 {
        line.send("", &queue, &number.to_string()).await?;
    }
    line.basic_qos(BasicQosArguments::new(0, 3, false)).await?;
    let mut consumer = line.consume(&queue, false).await?;
    for tag in 1..=3 {
        ensure!(consumer.next().await?.deliver.delivery_tag() == tag);
    }
    consumer.expect_silence("a delivery beyond the prefetch").await?;
    line.basic_ack(BasicAckArguments::new(2, true)).await?;
    for tag in 4..=5 {
        ensure!(consumer.next().await?.deliver.delivery_tag() == tag);
    }
    consumer.expect_silence("a delivery beyond two acks").await
}

pub async fn requeue_redelivers(scope: &Scope) -> Result<()> {
    let line = scope.line().await?;
    let queue = scope.queue(&line, "requeue", FieldTable::new()).await?;
    for body in ["first", "second"] {
        line.send("", &queue, body).await?;
    }
    let (got, _, _) = line.basic_get(BasicGetArguments::new(&queue)).await?.context("nothing")?;
    ensure!(!got.redelivered() && got.message_count() == 1);
    line.basic_nack(BasicNackArguments::new(got.delivery_tag(), false, true)).await?;
    let again = line.take(&queue, 2).await?;
    ensure!(bodies(&again) == ["first", "second"], "{:?}", bodies(&again));
    ensure!(again.iter().map(|delivery| delivery.deliver.redelivered()).eq([true, false]));
    Ok(())
}

pub async fn dead_letter_rejected(scope: &Scope) -> Result<()> {
    let line = scope.line().await?;
    let exchange = scope.exchange(&line, "dlx", "fanout").await?;
    let dead = scope.queue(&line, "dead", FieldTable::new()).await?;
    line.queue_bind(QueueBindArguments::new(&dead, &exchange, "")).await?;
    let arguments = table([("x-dead-letter-exchange", exchange.as_str().into())])?;
    let queue = scope.queue(&line, "source", arguments).await?;
    line.send("", &queue, "bad").await?;
    let (got, _, _) = line.basic_get(BasicGetArguments::new(&queue)).await?.context("nothing")?;
    line.basic_nack(BasicNackArguments::new(got.delivery_tag(), false, false)).await?;
    let died = line.take(&dead, 1).await?;
    ensure!(bodies(&died) == ["bad"]);
    let headers = died.first().and_then(|one| one.properties.headers()).context("no headers")?;
    ensure!(field(headers, "x-first-death-reason") == Some(&"rejected".into()), "{headers}");
    let Some(FieldValue::A(deaths)) = field(headers, "x-death") else {
        anyhow::bail!("no x-death in {headers}")
    };
    let deaths: Vec<FieldValue> = deaths.clone().into();
    let [FieldValue::F(death)] = deaths.as_slice() else { anyhow::bail!("x-death holds {deaths:?}") };
    ensure!(field(death, "count") == Some(&FieldValue::l(1)), "{death}");
    ensure!(field(death, "reason") == Some(&"rejected".into()), "{death}");
    ensure!(field(death, "queue") == Some(&queue.as_str().into()), "{death}");
    ensure!(matches!(field(death, "time"), Some(FieldValue::T(_))), "{death}");
    Ok(())
}

pub async fn channel_recovery(scope: &Scope) -> Result<()> {
    let line = scope.line().await?;
    let missing = scope.name("missing");
    let refused = line.queue_declare(QueueDeclareArguments::new(&missing).passive(true).finish()).await;
    ensure!(refused.is_err(), "a passive declare found a queue that does not exist");
    let closed = line.event().await?;
    let text = format!("NOT_FOUND - no queue '{missing}' in vhost '/'");
    ensure!(closed == Event::ChannelClosed(404, text), "{closed:?}");
    let line = scope.reopen(line).await?;
    let queue = scope.queue(&line, "after", FieldTable::new()).await?;
    line.send("", &queue, "still here").await?;
    ensure!(bodies(&line.take(&queue, 1).await?) == ["still here"]);
    Ok(())
}

pub async fn connection_recovery(scope: &Scope) -> Result<()> {
    let line = scope.confirm_line().await?;
    let queue = scope.queue(&line, "survivor", FieldTable::new()).await?;
    line.publish("", &queue, b"kept", persistent()).await?;
    ensure!(line.event().await? == Event::Ack(1));
    let mut consumer = line.consume(&queue, false).await?;
    ensure!(!consumer.next().await?.deliver.redelivered());
    ensure!(line.basic_qos(BasicQosArguments::new(1, 0, false)).await.is_err(), "prefetch_size was accepted");
    let closed = line.event().await?;
    let refusal = "NOT_IMPLEMENTED - prefetch_size!=0 (1)".to_owned();
    ensure!(closed == Event::ConnectionClosed(540, refusal), "{closed:?}");
    let again = scope.line().await?.take(&queue, 1).await?;
    ensure!(bodies(&again) == ["kept"] && again.iter().all(|delivery| delivery.deliver.redelivered()));
    Ok(())
}

pub async fn direct_reply_to(scope: &Scope) -> Result<()> {
    let (server, client) = (scope.line().await?, scope.line().await?);
    let requests = scope.queue(&server, "requests", FieldTable::new()).await?;
    let mut answers = client.consume(DIRECT_REPLY_TO, true).await?;
    let call = properties().with_reply_to(DIRECT_REPLY_TO).with_correlation_id("c-1").finish();
    client.publish("", &requests, b"ping", call).await?;
    let request = server.take(&requests, 1).await?;
    let reply_to = request.first().and_then(|one| one.properties.reply_to()).context("no reply-to")?;
    ensure!(reply_to.starts_with("amq.rabbitmq.reply-to."), "reply-to is {reply_to}");
    server.publish("", reply_to, b"pong", properties().with_correlation_id("c-1").finish()).await?;
    let answer = answers.next().await?;
    ensure!(answer.body == b"pong" && answer.properties.correlation_id().is_some_and(|id| id == "c-1"));
    Ok(())
}

pub async fn large_message(scope: &Scope) -> Result<()> {
    let line = scope.confirm_line().await?;
    let queue = scope.queue(&line, "large", FieldTable::new()).await?;
    let body: Vec<u8> =
        (0..1_u32 << 20).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    line.publish("", &queue, &body, persistent()).await?;
    ensure!(line.event().await? == Event::Ack(1));
    let received = line.take(&queue, 1).await?;
    ensure!(received.first().is_some_and(|delivery| delivery.body == body), "the body of 1 MiB changed");
    Ok(())
}

pub async fn transaction(scope: &Scope) -> Result<()> {
    let (line, other) = (scope.line().await?, scope.line().await?);
    let queue = scope.queue(&line, "tx", FieldTable::new()).await?;
    line.tx_select().await?;
    line.send("", &queue, "rolled back").await?;
    line.tx_rollback().await?;
    line.send("", &queue, "committed").await?;
    other.expect_empty(&queue).await?;
    line.tx_commit().await?;
    ensure!(bodies(&other.take(&queue, 1).await?) == ["committed"]);
    other.expect_empty(&queue).await
}

pub async fn topics(scope: &Scope) -> Result<()> {
    let line = scope.line().await?;
    let exchange = scope.exchange(&line, "topics", "topic").await?;
    let (orange, lazy) = (line.temporary_queue().await?, line.temporary_queue().await?);
    line.queue_bind(QueueBindArguments::new(&orange, &exchange, "*.orange.*")).await?;
    line.queue_bind(QueueBindArguments::new(&lazy, &exchange, "lazy.#")).await?;
    line.queue_bind(QueueBindArguments::new(&lazy, &exchange, "*.*.rabbit")).await?;
    for key in ["quick.orange.rabbit", "lazy.orange.elephant", "lazy.pink.rabbit", "lazy.a.b.c", "orange"] {
        line.send(&exchange, key, key).await?;
    }
    ensure!(bodies(&line.take(&orange, 2).await?) == ["quick.orange.rabbit", "lazy.orange.elephant"]);
    let wanted = ["quick.orange.rabbit", "lazy.orange.elephant", "lazy.pink.rabbit", "lazy.a.b.c"];
    ensure!(bodies(&line.take(&lazy, 4).await?) == wanted);
    line.expect_empty(&lazy).await
}

pub async fn exchange_binding(scope: &Scope) -> Result<()> {
    let line = scope.line().await?;
    let source = scope.exchange(&line, "source", "topic").await?;
    let destination = scope.exchange(&line, "destination", "fanout").await?;
    let queue = line.temporary_queue().await?;
    line.queue_bind(QueueBindArguments::new(&queue, &destination, "")).await?;
    line.exchange_bind(ExchangeBindArguments::new(&destination, &source, "a.#")).await?;
    line.send(&source, "a.b", "through").await?;
    line.send(&source, "b.a", "not").await?;
    ensure!(bodies(&line.take(&queue, 1).await?) == ["through"]);
    line.exchange_unbind(ExchangeUnbindArguments::new(&destination, &source, "a.#")).await?;
    line.send(&source, "a.b", "unbound").await?;
    line.expect_empty(&queue).await
}

pub async fn consumer_cancel_notify(scope: &Scope) -> Result<()> {
    let (other, line) = (scope.line().await?, scope.line().await?);
    let queue = scope.queue(&line, "doomed", FieldTable::new()).await?;
    let consumer = line.consume(&queue, false).await?;
    other.queue_delete(QueueDeleteArguments::new(&queue)).await?;
    let told = line.event().await?;
    ensure!(told == Event::Cancelled(consumer.tag.clone()), "{told:?}");
    Ok(())
}

pub async fn properties_round_trip(scope: &Scope) -> Result<()> {
    let line = scope.line().await?;
    let queue = scope.queue(&line, "properties", FieldTable::new()).await?;
    let list = FieldArray::try_from(vec![FieldValue::t(false), "two".into(), FieldValue::V])?;
    let headers = table([
        ("text", "grüße".into()),
        ("bytes", FieldValue::x(ByteArray::try_from(vec![0, 255])?)),
        ("yes", FieldValue::t(true)),
        ("octet", FieldValue::b(-7)),
        ("unsigned octet", FieldValue::B(200)),
        ("short", FieldValue::s(-300)),
        ("unsigned short", FieldValue::u(60_000)),
        ("long", FieldValue::I(-70_000)),
        ("unsigned long", FieldValue::i(4_000_000_000)),
        ("long long", FieldValue::l(1 << 40)),
        ("float", FieldValue::f(0.5)),
        ("double", FieldValue::d(0.25)),
        ("decimal", FieldValue::D(DecimalValue::new(2, 314))),
        ("time", FieldValue::T(1_700_000_000)),
        ("nothing", FieldValue::V),
        ("list", FieldValue::A(list)),
        ("table", FieldValue::F(table([("deep", FieldValue::F(FieldTable::new()))])?)),
    ])?;
    let mut sent = properties();
    sent.with_content_type("application/json").with_content_encoding("gzip").with_headers(headers);
    sent.with_delivery_mode(2).with_priority(9).with_correlation_id("correlation").with_reply_to("reply");
    sent.with_expiration("60000").with_message_id("id").with_timestamp(1_700_000_000);
    sent.with_message_type("kind").with_user_id(scope.user()).with_app_id("app").with_cluster_id("cluster");
    line.publish("", &queue, b"x", sent.clone()).await?;
    let received = line.take(&queue, 1).await?;
    let mut found = received.first().context("nothing")?.properties.clone();
    ensure!(found.headers() == sent.headers(), "got {found}, sent {sent}");
    // The text of a table has no order of its own, so the rest is compared without.
    found.with_headers(FieldTable::new());
    sent.with_headers(FieldTable::new());
    ensure!(found.to_string() == sent.to_string(), "got {found}, sent {sent}");
    Ok(())
}

//! Many persistent messages that are due at times of their own, in no order, nearly all of them in the store alone: delayed by
//! an exchange, or expiring, with and without somewhere to go then. Nothing comes or goes early, nothing is lost, and the
//! broker does not read the journal again and again for it. `cargo test` has a few; the long form prints its figures:
//! `LEVERET_DELAYED=1000000 cargo test --release --test delayed -- --nocapture --test-threads 1`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_lite::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Consumer, ExchangeKind};
use support::Broker;
use support::lapin_client::{arguments, bind, connect, consume, declare, persistent, text};

/// Bytes of a body. The default number of messages is more than the store's database keeps of its pages in memory.
const BODY: usize = 2048;
const UNCONFIRMED: usize = 1000;
/// How soon the first one is due after it was published, and how many are due in a second.
const FIRST: u64 = 3000;
const RATE: u64 = 2000;
/// How late one may be on the slowest day of the slowest machine, beyond the rate.
const LATE: Duration = Duration::from_secs(10);
/// Times of the broker and of the messages are whole milliseconds; these are microseconds.
const ROUNDED: u64 = 2000;
/// Of the memory for messages, in MiB, a queue keeps an eighth where they are stored.
const MESSAGE_MEMORY: &str = "8";

/// What is measured of a broker process.
struct Meter {
    broker: Broker,
    read: u64,
}

impl Meter {
    fn start() -> Meter {
        let broker = Broker::start_with(&["--message-memory", MESSAGE_MEMORY]);
        let read = bytes_read(broker.pid());
        Meter { broker, read }
    }

    /// What it has read from files since the start.
    fn read(&self) -> u64 {
        bytes_read(self.broker.pid()) - self.read
    }

    /// What it has read must be at most this many times what was published.
    fn check(&self, what: &str, messages: u64, most: f64) {
        Meter::check_read(what, self.read(), messages, most);
    }

    fn check_read(what: &str, read: u64, messages: u64, most: f64) {
        let published = messages * BODY as u64;
        println!("{what}: {messages} messages, {published} bytes published, {read} bytes read");
        assert!(
            (read as f64) <= published as f64 * most,
            "{what}: {read} bytes read of {published} published"
        );
    }
}

/// Bytes that a process has read with system calls; what comes from sockets is not among them.
fn bytes_read(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("the broker runs");
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("rchar");
    line.trim().parse().expect("a number of bytes")
}

fn messages() -> u64 {
    std::env::var("LEVERET_DELAYED").ok().map_or(20_000, |text| text.parse().expect("a number of messages"))
}

/// When a message is due after it was published, in milliseconds: the same in each run, in no order.
fn due(number: u64, messages: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    FIRST + (mixed >> 33) % (messages * 1000 / RATE).max(1)
}

/// What a message says of itself: its number, and when it is due, in microseconds after the beginning.
fn body(number: u64, due: u64) -> Vec<u8> {
    let mut body = [number.to_be_bytes(), due.to_be_bytes()].concat();
    body.resize(BODY, 0x2E);
    body
}

fn word(data: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(data[at * 8..][..8].try_into().unwrap())
}

/// Microseconds since then.
fn passed(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

/// Publishes all messages and returns when each is due at the earliest.
async fn publish_all(
    channel: &Channel,
    (exchange, key): (&str, &str),
    start: Instant,
    messages: u64,
    properties: impl Fn(u64) -> BasicProperties,
) -> Vec<u64> {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let (mut unconfirmed, mut due_at) = (VecDeque::new(), Vec::new());
    for number in 0..messages {
        let after = due(number, messages);
        let at = passed(start) + after * 1000;
        due_at.push(at);
        let options = BasicPublishOptions::default();
        let (body, properties) = (body(number, at), properties(after));
        let confirm = channel.basic_publish(exchange.into(), key.into(), options, &body, properties).await;
        unconfirmed.push_back(confirm.unwrap());
        if unconfirmed.len() >= UNCONFIRMED {
            assert_eq!(unconfirmed.pop_front().unwrap().await.unwrap(), Confirmation::Ack(None));
        }
    }
    for confirm in unconfirmed {
        assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));
    }
    due_at
}

/// Takes all messages once, none of them early. Prints how late they were.
async fn take_all(what: &str, mut consumer: Consumer, start: Instant, messages: u64) {
    let mut late: Vec<Option<u64>> = vec![None; usize::try_from(messages).unwrap()];
    for taken in 0..messages {
        let delivery = tokio::time::timeout(LATE, consumer.next()).await;
        let delivery = delivery.unwrap_or_else(|_| panic!("the next message in time, after {taken}"));
        let delivery = delivery.expect("the consumer is open").unwrap();
        let now = passed(start);
        let (number, due) = (word(&delivery.data, 0), word(&delivery.data, 1));
        assert!(now + ROUNDED >= due, "{number} came {} us early", due - now);
        let known = &mut late[usize::try_from(number).unwrap()];
        assert!(known.replace(now.saturating_sub(due) / 1000).is_none(), "{number} came twice");
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
    let mut late: Vec<u64> = late.into_iter().flatten().collect();
    assert_eq!(late.len() as u64, messages, "every message came");
    late.sort_unstable();
    let (median, most) = (late[late.len() / 2], late[late.len() * 99 / 100]);
    println!("{what}: late by {median} ms (median), {most} ms (99 %)");
}

async fn ready(channel: &Channel, queue: &str) -> u64 {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    u64::from(declared.message_count())
}

async fn prefetching(channel: &Channel, queue: &str) -> Consumer {
    channel.basic_qos(500, BasicQosOptions::default()).await.unwrap();
    consume(channel, queue, false).await.unwrap()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(test);
}

#[test]
fn delayed_messages_are_read_about_once() {
    let (meter, messages) = (Meter::start(), messages());
    run(async {
        let connection = connect(&meter.broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let kind = ExchangeKind::Custom("x-delayed-message".to_owned());
        let table = arguments(&[("x-delayed-type", text("direct"))]);
        channel.exchange_declare("later".into(), kind, options, table).await.unwrap();
        declare(&channel, "jobs", &[]).await.unwrap();
        bind(&channel, "jobs", "later", "job").await.unwrap();
        let start = Instant::now();
        let taker = connection.create_channel().await.unwrap();
        let consumer = prefetching(&taker, "jobs").await;
        let taking = tokio::spawn(take_all("delayed", consumer, start, messages));
        let delayed = |after: u64| {
            let delay = AMQPValue::LongLongInt(i64::try_from(after).unwrap());
            persistent().with_headers(arguments(&[("x-delay", delay)]))
        };
        publish_all(&channel, ("later", "job"), start, messages, delayed).await;
        assert!(taking.await.is_ok(), "{:#?}", meter.broker.log());
        assert_eq!(ready(&channel, "jobs").await, 0);
    });
    meter.check("delayed", messages, 2.0);
}

#[test]
fn messages_that_expire_and_become_dead_letters_are_read_about_once() {
    let (meter, messages) = (Meter::start(), messages());
    run(async {
        let connection = connect(&meter.broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        declare(&channel, "dead", &[]).await.unwrap();
        let fields = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
        declare(&channel, "fleeting", &fields).await.unwrap();
        let start = Instant::now();
        let taker = connection.create_channel().await.unwrap();
        let consumer = prefetching(&taker, "dead").await;
        let taking = tokio::spawn(take_all("dead letters", consumer, start, messages));
        let expiring = |after: u64| persistent().with_expiration(after.to_string().into());
        publish_all(&channel, ("", "fleeting"), start, messages, expiring).await;
        assert!(taking.await.is_ok(), "{:#?}", meter.broker.log());
        assert_eq!((ready(&channel, "fleeting").await, ready(&channel, "dead").await), (0, 0));
    });
    meter.check("dead letters", messages, 2.0);
}

#[test]
fn messages_that_expire_and_go_nowhere_are_not_read() {
    let (meter, messages) = (Meter::start(), messages());
    run(async {
        let channel = connect(&meter.broker).await.unwrap().create_channel().await.unwrap();
        declare(&channel, "fleeting", &[]).await.unwrap();
        let start = Instant::now();
        let expiring = |after: u64| persistent().with_expiration(after.to_string().into());
        let mut due_at = publish_all(&channel, ("", "fleeting"), start, messages, expiring).await;
        due_at.sort_unstable();
        let not_due = |by: u64| (due_at.len() - due_at.partition_point(|due| *due <= by)) as u64;
        let mut before_the_last = 0;
        loop {
            let (asked, read) = (passed(start), meter.read());
            let count = ready(&channel, "fleeting").await;
            let least = not_due(passed(start) + ROUNDED);
            assert!(count >= least, "{} have gone early", least.saturating_sub(count));
            let most = not_due(asked.saturating_sub(u64::try_from(LATE.as_micros()).unwrap()));
            assert!(count <= most, "{} are late", count.saturating_sub(most));
            if count > messages / 10 {
                before_the_last = read;
            }
            if count == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The database reads what it removes: small commits of which all messages are gone.
        Meter::check_read("nearly all expired", before_the_last, messages, 0.5);
    });
    // Most commits have some left until nearly all of them have gone.
    meter.check("expired and removed", messages, 1.25);
}

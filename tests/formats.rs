//! Data directories that earlier builds have left behind open, and what was confirmed is in them. There is one of each older
//! format in `tests/formats`, and this build makes its own: a broker was filled as below, and killed.
//!
//! Where the format changes, `OLDER` names the one before, and the build before it fills its directory:
//! `LEVERET_FORMAT=<of OLDER> LEVERET_WRITTEN_BY=<a binary> cargo test --test formats write -- --ignored`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueuePurgeOptions,
};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, ExchangeKind};
use support::lapin_client::{
    arguments, bind, connect, declare, persistent, publish_with, take, take_soon, text,
};
use support::{Broker, leveret};

/// What is in a directory besides what is in each.
#[derive(Clone, Copy)]
struct Later {
    /// Messages that are on their way to be delayed.
    delayed: u64,
    /// Messages that came back, and wait before they are retried.
    waiting: u64,
}

/// What this build writes.
const THIS: Later = Later { delayed: DELAYED, waiting: WAITING };
/// The formats that were written once and are not any more, or only where no message ever waited: builds of format 1 had no
/// exchanges that delay, and those of format 3 and before no queues that retry.
const OLDER: [(&str, Later); 3] = [
    ("1", Later { delayed: 0, waiting: 0 }),
    ("2", Later { delayed: DELAYED, waiting: 0 }),
    ("3", Later { delayed: DELAYED, waiting: 0 }),
];
/// Messages of each queue.
const MESSAGES: u64 = 200;
/// As many are acked, and as many come back.
const ACKED: u64 = 30;
/// Messages that are on their way to be delayed, and for how many milliseconds: 23 days, nobody waits for them here.
const DELAYED: u64 = 5;
const DELAY: i64 = 2_000_000_000;
/// Messages that wait to be retried, half of them in the journal and half in the log alone, and for how many milliseconds:
/// nine years.
const WAITING: u64 = 6;
const WAIT: i64 = 283_824_000_000;

fn fixture(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(format!("{format}.tar.gz"))
}

fn body(queue: &str, number: u64) -> String {
    format!("{queue} {number} ").repeat(1 + usize::try_from(number % 40).unwrap())
}

fn properties(number: u64) -> BasicProperties {
    persistent().with_message_id(number.to_string().into())
}

/// Everything that a directory may hold: what is declared, messages in the journal and in the log alone, some that were
/// settled, some that came back, dead letters, delayed ones, some that wait to be retried.
async fn fill(broker: &Broker, later: Later) -> lapin::Result<()> {
    let connection = connect(broker).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare("letters".into(), ExchangeKind::Topic, durable, arguments(&[])).await?;
    declare(&channel, "classic", &[]).await?;
    declare(&channel, "quorum", &[("x-queue-type", text("quorum"))]).await?;
    declare(&channel, "priorities", &[("x-max-priority", AMQPValue::LongInt(3))]).await?;
    declare(&channel, "dead", &[]).await?;
    declare(&channel, "rejecting", &[("x-dead-letter-exchange", text("letters"))]).await?;
    bind(&channel, "dead", "letters", "reject.#").await?;
    bind(&channel, "dead", "letters", "rejecting").await?;
    for number in 0..MESSAGES / 2 {
        fill_with(&channel, number).await?;
    }
    if later.delayed > 0 {
        let kind = ExchangeKind::Custom("x-delayed-message".to_owned());
        let of_direct = arguments(&[("x-delayed-type", text("direct"))]);
        channel.exchange_declare("later".into(), kind, durable, of_direct).await?;
        bind(&channel, "classic", "later", "later").await?;
    }
    for number in 0..later.delayed {
        let delay = arguments(&[("x-delay", AMQPValue::LongLongInt(DELAY))]);
        publish_with(&channel, "later", "later", "later", properties(number).with_headers(delay)).await?;
    }
    if later.waiting > 0 {
        let retries =
            [("x-delayed-retry-type", text("all")), ("x-delayed-retry-min", AMQPValue::LongLongInt(WAIT))];
        declare(&channel, "retrying", &retries).await?;
        for number in 0..later.waiting {
            publish_with(&channel, "", "retrying", &body("retrying", number), properties(number)).await?;
        }
        settle(&channel, "retrying", Action::Requeue, later.waiting / 2).await?;
    }
    channel.wait_for_confirms().await?;
    // What has lived for a second is moved on from the log.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (queue, action) in
        [("classic", Action::Ack), ("quorum", Action::Requeue), ("rejecting", Action::Reject)]
    {
        settle(&channel, queue, action, ACKED).await?;
    }
    for number in MESSAGES / 2..MESSAGES {
        fill_with(&channel, number).await?;
    }
    settle(&channel, "retrying", Action::Requeue, later.waiting - later.waiting / 2).await?;
    channel.wait_for_confirms().await?;
    // What clients are not told of is on disk within a tenth of a second.
    tokio::time::sleep(Duration::from_millis(300)).await;
    connection.close(200, "".into()).await
}

async fn fill_with(channel: &Channel, number: u64) -> lapin::Result<()> {
    for queue in ["classic", "quorum", "rejecting"] {
        publish_with(channel, "", queue, &body(queue, number), properties(number)).await?;
    }
    let urgent = properties(number).with_priority(u8::try_from(number % 4).unwrap());
    publish_with(channel, "", "priorities", &body("priorities", number), urgent).await
}

#[derive(Clone, Copy)]
enum Action {
    Ack,
    Requeue,
    Reject,
}

async fn settle(channel: &Channel, queue: &str, action: Action, count: u64) -> lapin::Result<()> {
    let mut tags = Vec::new();
    for _ in 0..count {
        let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await?;
        tags.push(got.expect("a message").delivery_tag);
    }
    for tag in tags {
        match action {
            Action::Ack => channel.basic_ack(tag, BasicAckOptions::default()).await?,
            Action::Requeue | Action::Reject => {
                let requeue = matches!(action, Action::Requeue);
                channel.basic_nack(tag, BasicNackOptions { requeue, multiple: false }).await?;
            }
        }
    }
    Ok(())
}

/// All of that is there, once and in order. Returns how many of the delayed messages were due: a directory may be old.
async fn check(broker: &Broker, later: Later) -> lapin::Result<u64> {
    let connection = connect(broker).await?;
    let channel = connection.create_channel().await?;
    let mut due = 0;
    for (queue, first) in [("classic", ACKED), ("quorum", 0), ("rejecting", ACKED)] {
        for number in first..MESSAGES {
            let found = take_soon(&channel, queue).await?;
            assert_eq!(String::from_utf8(found.data.clone()).unwrap(), body(queue, number));
            let id = found.properties.message_id().as_ref().map(ToString::to_string);
            assert_eq!(id, Some(number.to_string()));
            // Others may have been delivered when the broker was killed, for all it knows.
            assert!(found.redelivered || queue != "quorum" || number >= ACKED, "{queue} {number}");
        }
        while let Some(found) = take(&channel, queue).await? {
            assert_eq!((queue, found.data.as_slice()), ("classic", b"later".as_slice()), "it has more");
            due += 1;
        }
    }
    if later.waiting > 0 {
        assert!(take(&channel, "retrying").await?.is_none(), "they wait");
        let waiting = channel.queue_purge("retrying".into(), QueuePurgeOptions::default()).await?;
        assert_eq!(u64::from(waiting), later.waiting);
    }
    for priority in (0..4).rev() {
        for number in (0..MESSAGES).filter(|number| number % 4 == priority) {
            let found = take_soon(&channel, "priorities").await?;
            assert_eq!(String::from_utf8(found.data.clone()).unwrap(), body("priorities", number));
        }
    }
    for number in 0..ACKED {
        let found = take_soon(&channel, "dead").await?;
        assert_eq!(String::from_utf8(found.data.clone()).unwrap(), body("rejecting", number));
        let headers = found.properties.headers().clone().unwrap_or_default();
        assert!(headers.inner().contains_key("x-death"), "{headers:?}");
    }
    // The bindings and the exchanges are there, too.
    publish_with(&channel, "letters", "reject.more", "more", persistent()).await?;
    assert_eq!(take_soon(&channel, "dead").await?.data, b"more");
    connection.close(200, "".into()).await?;
    Ok(due)
}

fn unpack(archive: &Path, to: &Path) {
    let file = File::open(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    tar::Archive::new(GzDecoder::new(file)).unpack(to).unwrap();
}

/// What `verify` says of a directory: whether it is sound, and how many messages are in it.
fn verified(data: &Path) -> (bool, String) {
    let output = leveret().args(["verify", "--data-dir"]).arg(data).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn what_earlier_builds_have_written_opens_and_is_complete() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (format, later) in OLDER {
        let folder = tempfile::tempdir().unwrap();
        unpack(&fixture(format), folder.path());
        let data = folder.path().join("data");
        let mut broker = Broker::start_on(&data);
        let due = runtime.block_on(check(&broker, later)).unwrap();
        // The delayed ones are all that is left, and what is written now is of this format.
        assert!(broker.terminate(), "format {format}");
        let (is_sound, said) = verified(&data);
        assert!(is_sound, "format {format}: {said}");
        assert!(said.contains(&format!("{} messages", later.delayed - due)), "format {format}: {said}");
    }
}

/// So what is looked for in older ones is what there is to be found.
#[test]
fn what_this_build_writes_is_complete() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    runtime.block_on(fill(&broker, THIS)).unwrap();
    broker.kill_and_restart();
    runtime.block_on(check(&broker, THIS)).unwrap();
}

#[test]
#[ignore = "writes a directory into the repository, with the binary of an earlier build"]
fn write_a_directory() {
    let of = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} says nothing"));
    let format = of("LEVERET_FORMAT");
    let (format, later) = OLDER.into_iter().find(|(older, _)| *older == format).expect("an older format");
    let mut broker = Broker::start_by(Command::new(of("LEVERET_WRITTEN_BY")), &[]);
    tokio::runtime::Runtime::new().unwrap().block_on(fill(&broker, later)).unwrap();
    broker.kill();
    let gzip = GzEncoder::new(File::create(fixture(format)).unwrap(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    archive.append_dir_all("data", broker.data()).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
}

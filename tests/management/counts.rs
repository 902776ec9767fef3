//! What the API and the metrics say was counted: to the message, and no total ever falls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::api::Api;
use crate::support::lapin_client::{self, declare};
use crate::support::{Broker, free_port};

/// Connections that come and go, so many at a time, and what each of them does.
const CONNECTIONS: u64 = 1000;
const TOGETHER: u64 = 20;
const PUBLISHED: u64 = 3;

/// A broker with API and metrics.
struct Measured {
    broker: Broker,
    api: Api,
    metrics: u16,
}

impl Measured {
    fn start() -> Measured {
        let (port, metrics) = (free_port(), free_port());
        let (listen, measured) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{metrics}"));
        let broker = Broker::start_with(&["--management-listen", &listen, "--metrics-listen", &measured]);
        Measured { broker, api: Api::new(port, "guest:guest"), metrics }
    }

    /// Waits until an overview says so.
    fn wait_for(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let overview = self.api.found("overview");
            if is_so(&overview) {
                return overview;
            }
            assert!(since.elapsed() < Duration::from_secs(30), "{overview}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn text(&self, path: &str) -> String {
        let uri = format!("http://127.0.0.1:{}{path}", self.metrics);
        ureq::get(&uri).call().unwrap().body_mut().read_to_string().unwrap()
    }

    /// The value of a metric, with its labels.
    fn metric(&self, path: &str, name: &str) -> f64 {
        let text = self.text(path);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
    }
}

async fn visit(broker: &Broker) {
    let connection: Connection = lapin_client::connect(broker).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for _ in 0..PUBLISHED {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let publish = channel.basic_publish("".into(), "q".into(), options, b"body", properties);
        publish.await.unwrap().await.unwrap();
    }
    let got = channel.basic_get("q".into(), BasicGetOptions::default()).await.unwrap().unwrap();
    got.acker.ack(BasicAckOptions::default()).await.unwrap();
    connection.close(200, "".into()).await.unwrap();
}

/// Totals that an overview tells.
fn totals(overview: &Value) -> Vec<u64> {
    let stats =
        ["publish", "confirm", "get", "ack", "deliver_get"].map(|name| &overview["message_stats"][name]);
    let churn = ["connection_created", "connection_closed", "channel_created", "queue_declared"]
        .map(|name| &overview["churn_rates"][name]);
    stats
        .into_iter()
        .chain(churn)
        .map(|count| count.as_u64().unwrap_or_else(|| panic!("{overview}")))
        .collect()
}

#[test]
fn totals_are_exact_and_never_fall_while_a_thousand_connections_come_and_go() {
    let measured = Measured::start();
    let runtime = Runtime::new().unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let (mut before, mut looks) = (totals(&measured.api.found("overview")), 0);
            while !is_over.load(Ordering::Relaxed) {
                let now = totals(&measured.api.found("overview"));
                assert!(before.iter().zip(&now).all(|(before, now)| before <= now), "{before:?} {now:?}");
                (before, looks) = (now, looks + 1);
                thread::sleep(Duration::from_millis(50));
            }
            looks
        });
        runtime.block_on(async {
            let connection = lapin_client::connect(&measured.broker).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            declare(&channel, "q", &[]).await.unwrap();
            for _ in 0..CONNECTIONS / TOGETHER {
                visits(&measured.broker).await;
            }
            connection.close(200, "".into()).await.unwrap();
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(looking.join().unwrap() > 10);
    });
    let all = CONNECTIONS * PUBLISHED;
    let expected = |overview: &Value| {
        totals(overview)
            == [
                all,
                all,
                CONNECTIONS,
                CONNECTIONS,
                CONNECTIONS,
                CONNECTIONS + 1,
                CONNECTIONS + 1,
                CONNECTIONS + 1,
                1,
            ]
    };
    let overview = measured.wait_for(expected);
    assert_eq!(overview["queue_totals"]["messages"], all - CONNECTIONS);
    let queue = measured.api.found("queues/%2F/q");
    assert_eq!(
        (&queue["message_stats"]["publish"], &queue["message_stats"]["ack"]),
        (&all.into(), &CONNECTIONS.into())
    );
    let exchange = measured.api.found("exchanges/%2F/amq.default");
    assert_eq!(exchange["message_stats"]["publish_in"], all);
    let protocol = "{protocol=\"amqp091\"}";
    for (path, name, value) in [
        ("/metrics", format!("rabbitmq_global_messages_received_total{protocol}"), all),
        ("/metrics", format!("rabbitmq_message_size_bytes_count{protocol}"), all),
        ("/metrics", "rabbitmq_queue_messages_ready".to_owned(), all - CONNECTIONS),
        (
            "/metrics/per-object",
            "rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"q\"}".to_owned(),
            all - CONNECTIONS,
        ),
        (
            "/metrics/detailed?family=queue_coarse_metrics&vhost=%2F",
            "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"q\"}".to_owned(),
            all - CONNECTIONS,
        ),
    ] {
        assert_eq!(measured.metric(path, &name), f64::from(u32::try_from(value).unwrap()), "{name}");
    }
}

/// How many messages there are in a histogram's class, and in all those before it.
fn bucket(text: &str, name: &str, bound: &str) -> u64 {
    let bound = format!("le=\"{bound}\"}}");
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(&bound));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn metrics_tell_for_how_long_messages_wait_and_the_disk_takes() {
    let measured = Measured::start();
    let runtime = Runtime::new().unwrap();
    let publish = async |count| {
        let connection = lapin_client::connect(&measured.broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        declare(&channel, "q", &[]).await.unwrap();
        for _ in 0..count {
            let properties = BasicProperties::default().with_delivery_mode(2);
            let publish = channel.basic_publish(
                "".into(),
                "q".into(),
                BasicPublishOptions::default(),
                b"x",
                properties,
            );
            publish.await.unwrap().await.unwrap();
        }
        connection
    };
    let age = "leveret_queue_oldest_message_age_seconds{vhost=\"/\",queue=\"q\"}";
    let came = Instant::now();
    let connection = runtime.block_on(publish(3));
    thread::sleep(Duration::from_millis(1200));
    let path = "/metrics/detailed?family=queue_metrics";
    let told = measured.metric(path, age);
    assert!((1.2..=came.elapsed().as_secs_f64()).contains(&told), "{told}");
    runtime.block_on(async {
        let channel = connection.create_channel().await.unwrap();
        for _ in 0..3 {
            let got = channel.basic_get("q".into(), BasicGetOptions { no_ack: true }).await.unwrap();
            assert!(got.is_some());
        }
    });
    assert_eq!(measured.metric(path, age), 0.0);
    let waits = "leveret_delivery_wait_seconds";
    let since = Instant::now();
    let text = loop {
        let text = measured.text("/metrics");
        if bucket(&text, waits, "+Inf") == 3 {
            break text;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{text}");
        thread::sleep(Duration::from_millis(200));
    };
    assert_eq!((bucket(&text, waits, "1.0"), bucket(&text, waits, "600.0")), (0, 3), "{text}");
    for name in ["leveret_fsync_duration_seconds", "leveret_commit_duration_seconds"] {
        assert!(bucket(&text, name, "+Inf") >= 3, "a commit for each confirm: {text}");
    }
    assert!(measured.metric("/metrics", "leveret_log_bytes") >= 4096.0);
    assert!(measured.metric("/metrics", "leveret_journal_files") >= 1.0);
}

/// So many visits at a time.
async fn visits(broker: &Broker) {
    let visits = (0..TOGETHER).map(|_| visit(broker));
    let mut visits: Vec<_> = visits.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        visits.retain_mut(|visit| visit.as_mut().poll(context).is_pending());
        if visits.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
